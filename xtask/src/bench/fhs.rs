//! `cargo xtask bench fhs`: how fast a command starts in `pitstop fhs`, beside bwrap with the same mounts, a wrapper like
//! that of buildFHSEnv, and what no program can do without. All run in the NixOS-like root, where the packages are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nixbox::Nixbox;

use super::contest::{self, Contestant};
use super::{build, named, quoted, report};

/// Times that each contestant runs.
const ROUNDS: usize = 200;
/// Folders of the root that are made anew.
const OURS: [&str; 5] = ["usr", "bin", "etc", "lib", "lib64"];

/// Measures, and puts the figures into the page.
pub(super) fn run(rounds: Option<usize>) -> Result<()> {
    let pitstop = crate::dist::command("release")?;
    let floor =
        build(&["--package", "pitstop-host", "--example", "namespace_floor"], "examples/namespace_floor")?;
    let nixbox = Nixbox::open(&mut |line| eprintln!("nixbox: {line}"))?;
    let bwrap = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("bwrap"))
        .find(|path| path.is_file())
        .context("bwrap is not installed")?;
    let adopted = [std::env::current_exe()?, pitstop, floor, bwrap]
        .iter()
        .map(|program| nixbox.adopt(program))
        .collect::<nixbox::Result<Vec<PathBuf>>>()?;
    let libraries = nixbox.build(&["libcap", "libselinux", "pcre2"])?;
    let libraries: Vec<PathBuf> = libraries.iter().map(|path| path.join("lib")).collect();
    let machine = nixbox.machine().start()?;
    let mut inside = machine.command(&adopted[0]);
    inside.args(["bench", "fhs-inside", &rounds.unwrap_or(ROUNDS).to_string()]);
    let output = inside.args(&adopted[1..]).arg(std::env::join_paths(libraries)?).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    report::put("fhs", &format!("{}\n\n{text}", report::machine(&[])))
}

/// The same, in the root: prints the table.
pub(super) fn inside(words: &[&str]) -> Result<()> {
    let [rounds, pitstop, floor, bwrap, libraries] = words else { anyhow::bail!("not for people") };
    let home = PathBuf::from(std::env::var_os("HOME").context("no HOME")?);
    let known = std::process::Command::new(pitstop).args(["fhs", "true"]).status()?;
    ensure!(known.success(), "`pitstop fhs true` failed");
    let root = made(&home.join(".cache/pitstop/fhs"))?;
    let same = format!("LD_LIBRARY_PATH={libraries} exec {bwrap} --unsetenv LD_LIBRARY_PATH");
    let wrapper = home.join("wrapper");
    fs_write(&wrapper, &wrapper_script(&root, &same))?;
    let contestants = [
        Contestant::new("`true` itself", "exec true".to_owned()),
        Contestant::new("floor", format!("exec {floor} true")),
        Contestant::new("`pitstop fhs true`", format!("exec {pitstop} fhs true")),
        Contestant::new("bwrap, the same mounts", format!("{same} {} -- true", same_mounts(&root)?)),
        Contestant::new("wrapper like buildFHSEnv's", format!("exec bash {} true", quoted(&wrapper))),
    ];
    let figures = contest::run(&contestants, rounds.parse()?)?;
    let ours = named(&figures, "pitstop fhs")?;
    let mut text = format!("{rounds} rounds, all in turn, warm.\n\n");
    text += &report::table(&figures, ours, "`pitstop fhs`")?;
    let of = |name: &str| Ok::<f64, anyhow::Error>(named(&figures, name)?.median_ms / ours.median_ms);
    write!(
        text,
        "\nbwrap takes {:.2} times as long, the wrapper {:.1} times.",
        of("bwrap")?,
        of("wrapper")?
    )?;
    println!("{text}");
    Ok(())
}

/// The root that `pitstop fhs` has made.
fn made(kept: &Path) -> Result<PathBuf> {
    for question in std::fs::read_dir(kept)? {
        for entry in std::fs::read_dir(question?.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("root-") {
                return Ok(entry.path());
            }
        }
    }
    anyhow::bail!("{}: no root", kept.display())
}

/// What `pitstop fhs` mounts and links, as options of bwrap.
fn same_mounts(root: &Path) -> Result<String> {
    let root = root.display();
    let mut options = format!(
        "--ro-bind {root}/usr /usr --symlink usr/bin /bin --symlink usr/bin /sbin --symlink usr/lib /lib \
         --symlink usr/lib /lib64 --bind /etc /.host-etc --ro-bind {root}/ld.so.cache /etc/ld.so.cache \
         --ro-bind {root}/ld.so.conf /etc/ld.so.conf"
    );
    for entry in std::fs::read_dir("/")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && !OURS.contains(&name.as_str()) {
            write!(options, " --dev-bind /{name} /{name}")?;
        }
    }
    for entry in std::fs::read_dir("/etc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        write!(options, " --symlink /.host-etc/{name} /etc/{name}")?;
    }
    Ok(options)
}

/// A shell script that does at each start what the wrapper of buildFHSEnv does: it goes through the folders of the root and
/// the entries of /etc, and has ldconfig write the cache inside.
fn wrapper_script(root: &Path, bwrap: &str) -> String {
    let root = root.display();
    format!(
        r#"options=()
for path in /*; do
    case $path in /usr|/bin|/sbin|/lib|/lib64|/etc) continue ;; esac
    if [ -L "$path" ]; then options+=(--symlink "$(readlink "$path")" "$path")
    elif [ -d "$path" ]; then options+=(--dev-bind "$path" "$path"); fi
done
for path in /etc/*; do
    if [ -L "$path" ]; then options+=(--symlink "$(readlink "$path")" "$path")
    else options+=(--symlink "/.host-etc/$(basename "$(readlink -f "$path")")" "$path"); fi
done
{bwrap} --ro-bind {root}/usr /usr --symlink usr/bin /bin --symlink usr/bin /sbin --symlink usr/lib /lib \
    --symlink usr/lib /lib64 --tmpfs /etc --bind /etc /.host-etc --ro-bind {root}/ld.so.conf /etc/ld.so.conf \
    "${{options[@]}}" -- bash -c 'ldconfig -f /etc/ld.so.conf -C /etc/ld.so.cache >/dev/null 2>&1; exec "$@"' init "$@"
"#
    )
}

fn fs_write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
