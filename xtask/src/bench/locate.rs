//! `cargo xtask bench locate`: `pitstop locate` beside nix-locate, on a database of nixpkgs' size made from Debian's
//! Contents.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::contest::{self, Contestant};
use super::{build, quoted, report};
use crate::run;

/// Where nothing else is said.
const ROUNDS: usize = 9;
/// Packs a database anew so that zstd's window is that of nix-index's own level, 22, which would take an hour.
const REPACK: &str = "{ head -c 12 plain; tail -c +13 plain | zstd -dcq | zstd -qc -12 -T0 --long=27; } > new && mv new files && rm plain";
const CONTENTS: &[&str] = &["Contents-amd64", "Contents-all"];

/// Words that name a question, and its words for both programs.
const TIMED: &[(&str, &str)] = &[
    ("literal", "libpng16.so.16"),
    ("regex", "-r 'lib[a-z]+\\.so\\.[0-9]+$'"),
    ("regex without a literal", "-r '[0-9]{4}-[0-9]{2}'"),
    ("rare", "bin/zsh"),
    ("frequent", "/share/"),
    ("nothing found", "this-is-nowhere"),
];

/// What a wheel or two may lack.
const FIFTEEN: &[&str] = &[
    "libz.so.1",
    "libm.so.6",
    "libc.so.6",
    "libdl.so.2",
    "libpng16.so.16",
    "libssl.so.3",
    "libX11.so.6",
    "libGL.so.1",
    "libodbc.so.2",
    "libpulse.so.0",
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libffi.so.8",
    "libexpat.so.1",
    "libxml2.so.2",
];

#[derive(Default)]
struct Options {
    peer: Option<PathBuf>,
    database: Option<PathBuf>,
    mirror: Option<String>,
    rounds: Option<usize>,
}

/// Runs what the words say.
pub(super) fn run_words(words: &[&str]) -> Result<()> {
    let mut options = Options::default();
    for pair in words.chunks(2) {
        match pair {
            ["--peer", peer] => {
                let path = peer.strip_prefix("nix-locate=").context("--peer nix-locate=PATH")?;
                options.peer = Some(path.into());
            }
            ["--database", path] => options.database = Some(path.into()),
            ["--mirror", url] => options.mirror = Some((*url).to_owned()),
            ["--rounds", number] => options.rounds = Some(number.parse()?),
            _ => bail!("what does {} mean?", pair.join(" ")),
        }
    }
    let peer = options.peer.clone().context("name the peer with --peer nix-locate=PATH")?;
    let pitstop = crate::dist::command("release")?;
    let database = match &options.database {
        Some(path) => path.clone(),
        None => made(&options.mirror.clone().map_or_else(apts_mirror, Ok)?)?,
    };
    let compared = compare(&pitstop, &peer, &database)?;
    time(&pitstop, &peer, &database, options.rounds.unwrap_or(ROUNDS), &compared)
}

/// Where this machine's apt gets Debian from.
fn apts_mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]);
    let text = String::from_utf8(command.output()?.stdout)?;
    let first = text.lines().find(|line| !line.contains("security"));
    Ok(first.context("apt knows no archive: name one with --mirror URL")?.trim_end_matches('/').to_owned())
}

/// The folder of the database, made where it is not whole.
fn made(mirror: &str) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("there is no HOME to keep a database in")?;
    let folder = Path::new(&home).join(".cache/pitstop-bench/nix-index");
    if !folder.join("files").exists() {
        fs::create_dir_all(&folder)?;
        let example = build(
            &["--package", "pitstop-host", "--example", "contents_database"],
            "examples/contents_database",
        )?;
        let mut command = Command::new(example);
        command.current_dir(&folder).args(["plain", "3"]).args(CONTENTS);
        for name in CONTENTS {
            let url = format!("{mirror}/dists/bookworm/main/{name}.gz");
            let fetch = format!("curl -fsSL '{url}' | gzip -d > {name}");
            run(Command::new("sh").current_dir(&folder).args(["-c", &fetch]))?;
        }
        run(&mut command)?;
        run(Command::new("sh").current_dir(&folder).args(["-c", REPACK]))?;
    }
    Ok(folder)
}

/// Two hundred questions: of each of twenty-five words, eight kinds.
fn questions() -> Vec<Vec<String>> {
    const WORDS: &[&str] = &[
        "libz.so.1",
        "libpng16.so.16",
        "bin/zsh",
        "include/zlib.h",
        "libssl",
        "zoneinfo/Europe",
        "man1/ls.1",
        "python3",
        "pkgconfig",
        "libQt5Core.so.5",
        "share/locale/de",
        "bin/gcc",
        "fonts/truetype",
        "README.Debian",
        "libc.a",
        "numpy",
        "bin/x",
        "systemd/system",
        "x86_64-linux-gnu/lib",
        "LICENSE",
        "perl5",
        "so.6",
        "libstdc++.so.6",
        "applications/firefox",
        "größe",
    ];
    const KINDS: &[&[&str]] = &[
        &[],
        &["--all"],
        &["--whole-name"],
        &["--minimal"],
        &["--type", "x", "--type", "s"],
        &["--package", "lib"],
        &["--regex", "--no-group"],
        &["--regex", "--at-root"],
    ];
    let mut questions = Vec::new();
    for (number, word) in WORDS.iter().enumerate() {
        for kind in KINDS {
            let mut words: Vec<String> = kind.iter().map(|&word| word.to_owned()).collect();
            words.push(match kind.first() {
                Some(&"--regex") if number % 2 == 0 => format!("{}[^/]*$", word.replace('+', r"\+")),
                Some(&"--regex") => format!("(?:/[a-z]+)?/?{}[0-9]+", word.replace('+', r"\+")),
                _ => (*word).to_owned(),
            });
            questions.push(words);
        }
    }
    questions
}

/// Asks both all questions; their answers must be the same bytes.
fn compare(pitstop: &Path, peer: &Path, database: &Path) -> Result<String> {
    let (mut lines, questions) = (0, questions());
    for words in &questions {
        let ask = |program: &Path, first: &[&str]| -> Result<Vec<u8>> {
            let mut command = Command::new(program);
            command.args(first).arg("--db").arg(database).args(words);
            Ok(command.output().with_context(|| program.display().to_string())?.stdout)
        };
        let (ours, theirs) = (ask(pitstop, &["locate"])?, ask(peer, &[])?);
        ensure!(ours == theirs, "the answers to {} differ", words.join(" "));
        lines += ours.split(|byte| *byte == b'\n').count() - 1;
    }
    Ok(format!("{} questions, {lines} lines: the same bytes from both.", questions.len()))
}

fn time(pitstop: &Path, peer: &Path, database: &Path, rounds: usize, compared: &str) -> Result<()> {
    let database_file = database.join("files");
    let sonames = || sonames(pitstop, peer, database, rounds);
    let (pitstop, peer, folder) = (quoted(pitstop), quoted(peer), quoted(database));
    let mut text = String::new();
    let size = fs::metadata(&database_file)?.len();
    writeln!(
        text,
        "{}\n\nA database of {size} bytes; {rounds} rounds, in turn, warm. {compared}\n",
        report::machine(&[])
    )?;
    text.push_str(
        "| question | nix-locate, ms | `pitstop locate`, ms | ratio of medians | middle halves within, ms \
         | peak, MiB: nix-locate | pitstop | anonymous, MiB: nix-locate | pitstop |\n",
    );
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    let unpack = format!("tail -c +13 {} | zstd -dcq --no-progress > /dev/null", quoted(&database_file));
    let fifteen = format!("-w {}", FIFTEEN.join(" "));
    let pairs = TIMED.iter().map(|(name, words)| (*name, *words, *words));
    let mut floor = None;
    for (name, ours, theirs) in
        pairs.chain([("fifteen sonames (nix-locate: one)", fifteen.as_str(), "-w libz.so.1")])
    {
        let theirs = format!("exec {peer} --db {folder} {theirs}");
        let ours = format!("exec {pitstop} locate --db {folder} {ours}");
        let own = [anonymous_mib(&theirs)?, anonymous_mib(&ours)?];
        let figures = contest::run(
            &[
                Contestant::new("nix-locate", theirs),
                Contestant::new("pitstop", ours),
                Contestant::new("floor", unpack.clone()),
            ],
            rounds,
        )?;
        let [theirs, ours, unpacked] = figures.as_slice() else { bail!("three were to run") };
        writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {:.2} | {:.0}, {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            theirs.median_ms,
            ours.median_ms,
            ours.median_ms / theirs.median_ms,
            theirs.spread_ms,
            ours.spread_ms,
            theirs.peak_mib,
            ours.peak_mib,
            own[0],
            own[1]
        )?;
        floor = Some((unpacked.median_ms, unpacked.spread_ms));
    }
    if let Some((median, spread)) = floor {
        writeln!(text, "\n`zstd -dc` alone: {median:.0} ms, the middle half within {spread:.0}.")?;
    }
    text.push_str(&sonames()?);
    report::put("locate", &text)
}

/// The soname index of the same database: built, asked for one, asked for fifteen. What takes no longer than a shell is
/// started without one, and runs more often.
fn sonames(pitstop: &Path, peer: &Path, database: &Path, rounds: usize) -> Result<String> {
    const QUICK: usize = 20;
    let cache = std::env::temp_dir().join(format!("pitstop-bench-sonames-{}", std::process::id()));
    let path = |path: &Path| path.to_str().map(str::to_owned).context("not UTF-8");
    let (program, peer, folder, home) = (path(pitstop)?, path(peer)?, path(database)?, path(&cache)?);
    let variables = [("XDG_CACHE_HOME", home.as_str()), ("NIX_INDEX_DATABASE", folder.as_str())];
    let build = format!(
        "rm -rf {0}; XDG_CACHE_HOME={0} NIX_INDEX_DATABASE={1} exec {2} locate libz.so.1",
        quoted(&cache),
        quoted(database),
        quoted(pitstop)
    );
    let slow = [
        Contestant::direct("nix-locate, one soname", &[&peer, "--db", &folder, "-w", "libz.so.1"], &[]),
        Contestant::new("`pitstop locate`, one, the index built first", build),
    ];
    let ask = |name, sonames: &[&str]| {
        Contestant::direct(name, &[&[program.as_str(), "locate"], sonames].concat(), &variables)
    };
    let quick = [
        ask("`pitstop locate`, one soname", &FIFTEEN[..1]),
        ask("`pitstop locate`, fifteen sonames", FIFTEEN),
        Contestant::direct("`pitstop --version`", &[&program, "--version"], &[]),
        Contestant::direct("`true`", &["/bin/true"], &[]),
    ];
    let mut figures = contest::run(&slow, rounds)?;
    figures.extend(contest::run(&quick, rounds * QUICK)?);
    let size = folder_bytes(&cache.join("pitstop/index"))?;
    fs::remove_dir_all(&cache)?;
    let share = 100.0 * float(size) / float(fs::metadata(database.join("files"))?.len());
    let mut text = format!("\nThe soname index of it: {size} bytes, {share:.1} % of the database.\n\n");
    text.push_str(
        "| | median, ms | least, ms | middle half within, ms | processor, ms | nix-locate takes so many times as long | runs |\n",
    );
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    let theirs = figures.first().context("nobody ran")?.median_ms;
    for one in &figures {
        let times = theirs / one.median_ms;
        writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {times:.1} | {} |",
            one.name, one.median_ms, one.least_ms, one.spread_ms, one.processor_ms, one.runs
        )?;
    }
    Ok(text)
}

/// The memory that a command has for itself alone: of what it holds at most, not the pages of its own file and of libc's,
/// of which the kernel maps many that nobody asked for. Looked at again and again while it runs.
fn anonymous_mib(command: &str) -> Result<f64> {
    const PAUSE: Duration = Duration::from_millis(2);
    let mut child = Command::new("/bin/sh").args(["-c", command]).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0_u64;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        most = most.max(kib.and_then(|kib| kib.parse().ok()).unwrap_or_default());
        std::thread::sleep(PAUSE);
    }
    ensure!(most > 0, "{command} ended before it was looked at");
    Ok(float(most) / 1024.0)
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
