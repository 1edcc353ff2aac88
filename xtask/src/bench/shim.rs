//! `cargo xtask bench shim`: what the loader shim costs a program's start, beside other shims, and beside none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::report;
use crate::run;

pub(super) const USAGE: &str = "cargo xtask bench shim [--shim PATH] [--peer NAME=SHIM]… [--rounds N]";
const LAUNCHER: &str = include_str!("shim/launcher.c");
/// A loader that is nothing but its end, so that all the time is the shim's.
const NO_LOADER: &str = "__asm__(\".globl _start\\n_start: mov $60, %eax\\n mov $7, %edi\\n syscall\");";
/// All of it in one segment, so that there is as little to map as can be.
const NO_LOADER_LAYOUT: &str = "ENTRY(_start)
     PHDRS { text PT_LOAD FILEHDR PHDRS FLAGS(5); dynamic PT_DYNAMIC FLAGS(4); stack PT_GNU_STACK FLAGS(6); }
     SECTIONS {
       . = SIZEOF_HEADERS;
       .gnu.hash : { *(.gnu.hash) } :text
       .dynsym : { *(.dynsym) } :text
       .dynstr : { *(.dynstr) } :text
       .text : { *(.text*) } :text
       .dynamic : { *(.dynamic) } :text :dynamic
       /DISCARD/ : { *(.note*) *(.comment) *(.eh_frame*) }
     }";
/// A program with a loader; it ends as the loader without a program does.
const PROGRAM: &str = "int main(void) { return 7; }";
/// What both end with, so that a program that never reached its loader is noticed.
const STATUS: &str = "7";
const ROUNDS: usize = 10_000;

struct Options {
    /// Ours; built where none is named.
    shim: Option<PathBuf>,
    peers: Vec<(String, PathBuf)>,
    rounds: usize,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { shim: None, peers: Vec::new(), rounds: ROUNDS };
        for pair in words.chunks(2) {
            match pair {
                ["--peer", peer] => {
                    let (name, path) = peer.split_once('=').context(USAGE)?;
                    options.peers.push((name.to_owned(), std::path::absolute(path)?));
                }
                ["--shim", path] => options.shim = Some(std::path::absolute(path)?),
                ["--rounds", number] => options.rounds = number.parse()?,
                _ => bail!("what does {} mean? {USAGE}", pair.join(" ")),
            }
        }
        Ok(options)
    }
}

/// One way of starting a program.
struct Case {
    name: String,
    program: PathBuf,
    variables: Vec<String>,
}

/// What came of it.
struct Figures {
    name: String,
    least: f64,
    quarter: f64,
    median: f64,
    three_quarters: f64,
    faults: u64,
    calls: usize,
}

pub(super) fn run_words(words: &[&str]) -> Result<()> {
    let options = Options::parse(words)?;
    let ours = options.shim.map_or_else(built_shim, Ok)?;
    let mut shims = vec![("pitstop-ld".to_owned(), ours)];
    shims.extend(options.peers);
    let room = Room::new()?;
    let layout = room.folder.join("no-loader.ld");
    std::fs::write(&layout, NO_LOADER_LAYOUT)?;
    let script = format!("-Wl,-T,{}", layout.display());
    let no_loader =
        room.compile("no-loader", NO_LOADER, &["-nostdlib", "-static-pie", "-Wl,--build-id=none", &script])?;
    let glibc = Path::new("/lib64/ld-linux-x86-64.so.2");

    let mut text = format!("{}\n", report::machine(&[]));
    for (heading, loader) in [("A loader that ends at once", &*no_loader), ("glibc's loader", glibc)] {
        let figures = room.race(&shims, loader, options.rounds)?;
        write!(text, "\n{heading}, {} starts of each, in turn:\n\n{}", options.rounds, table(&figures))?;
    }
    report::put("shim", &text)
}

/// Builds the shim as it is installed.
fn built_shim() -> Result<PathBuf> {
    let mut cargo = Command::new(crate::cargo());
    cargo.args(["build", "--locked", "--quiet", "--profile", "shim", "--package", "pitstop-ld"]);
    run(cargo.args(["--features", "standalone"]))?;
    let xtask = std::env::current_exe()?;
    let target = xtask.ancestors().nth(2).context("xtask lies in no target folder")?;
    Ok(target.join("shim/pitstop-ld"))
}

/// A folder for what is compiled, gone afterwards.
struct Room {
    folder: PathBuf,
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed is left in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Room {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("pitstop-bench-shim-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder })
    }

    fn compile(&self, name: &str, source: &str, options: &[&str]) -> Result<PathBuf> {
        let (code, program) = (self.folder.join(name).with_extension("c"), self.folder.join(name));
        std::fs::write(&code, source)?;
        run(Command::new("gcc").args(["-O2", "-o"]).arg(&program).arg(&code).args(options))?;
        Ok(program)
    }

    /// Starts a program that has each shim for its loader, and one that has the loader itself.
    fn race(&self, shims: &[(String, PathBuf)], loader: &Path, rounds: usize) -> Result<Vec<Figures>> {
        let mut cases = vec![self.case("none", loader, "LD_LIBRARY_PATH", loader)?];
        for (name, shim) in shims {
            cases.push(self.case(name, shim, "NIX_LD_LIBRARY_PATH", loader)?);
        }
        let launcher = self.compile("launcher", LAUNCHER, &["-Wall", "-Werror"])?;
        let mut command = Command::new(launcher);
        command.args([&rounds.to_string(), STATUS]);
        for case in &cases {
            command.arg(&case.program).args(&case.variables).arg(";");
        }
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout)?;
        cases.into_iter().zip(lines.lines()).map(|(case, line)| figures(case, line)).collect()
    }

    /// A program whose loader is `interpreter`, with variables that lead a shim to `loader`. All have as many variables, and a
    /// folder to search that has nothing.
    fn case(&self, name: &str, interpreter: &Path, path: &str, loader: &Path) -> Result<Case> {
        let file = format!("{name}-{}", loader.file_name().unwrap_or_default().display());
        let linker = format!("-Wl,--dynamic-linker={}", interpreter.display());
        let program = self.compile(&file, PROGRAM, &[&linker])?;
        let mut variables: Vec<String> =
            (0..30).map(|number| format!("VARIABLE_{number}=as long as such values often are")).collect();
        variables.push(format!("NIX_LD={}", loader.display()));
        variables.push(format!("{path}={}", self.folder.display()));
        Ok(Case { name: name.to_owned(), program, variables })
    }
}

fn figures(case: Case, line: &str) -> Result<Figures> {
    let numbers: Vec<u32> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [least, quarter, median, three_quarters, faults] = numbers[..] else {
        bail!("the launcher said {line}")
    };
    let micros = |nanos: u32| f64::from(nanos) / 1000.0;
    Ok(Figures {
        calls: system_calls(&case)?,
        name: case.name,
        least: micros(least),
        quarter: micros(quarter),
        median: micros(median),
        three_quarters: micros(three_quarters),
        faults: u64::from(faults),
    })
}

/// How many system calls a start takes, from execve to exit.
fn system_calls(case: &Case) -> Result<usize> {
    let mut command = Command::new("strace");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).arg("-qq");
    for variable in &case.variables {
        command.args(["-E", variable]);
    }
    // strace's own variable would otherwise reach the program.
    let output =
        command.args(["-E", "PATH"]).arg(&case.program).output().context("strace could not be started")?;
    let trace = String::from_utf8_lossy(&output.stderr);
    Ok(trace.lines().filter(|line| line.contains('(')).count())
}

fn table(figures: &[Figures]) -> String {
    let mut text = String::from(
        "| shim | median, µs | least, µs | middle half, µs | more than none, µs | by the least, µs | page faults | system calls |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let Some(none) = figures.first() else { return text };
    for one in figures {
        let Figures { name, least, quarter, median, three_quarters, faults, calls } = one;
        let _ = writeln!(
            text,
            "| {name} | {median:.1} | {least:.1} | {quarter:.1} to {three_quarters:.1} | {:.1} | {:.1} | {faults} | {calls} |",
            median - none.median,
            least - none.least
        );
    }
    text
}
