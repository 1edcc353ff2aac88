//! The figures as a page: `docs/performance.md`, between its markers.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use super::contest::Figures;
use super::hook::Misses;
use super::named;
use super::tree::Size;
use crate::page;

pub(super) struct Report {
    pub(super) size: Size,
    pub(super) rounds: usize,
    pub(super) on_large: Vec<Figures>,
    pub(super) on_small: Vec<Figures>,
    pub(super) misses: Misses,
}

/// Prints the report, and puts it into the page.
pub(super) fn write(report: &Report) -> Result<()> {
    put("check", &text(report)?)
}

/// Prints a text, and puts it into the page where the bench of this name has its place.
pub(super) fn put(bench: &str, text: &str) -> Result<()> {
    println!("{text}");
    page::put("performance.md", &format!("bench {bench}"), text)
}

fn text(report: &Report) -> Result<String> {
    let Size { native_files, files, gigabytes } = &report.size;
    let (large, small) = (&report.on_large, &report.on_small);
    let mut text = String::new();
    writeln!(text, "{}", machine(&["libtree", "pax-utils"]))?;
    writeln!(
        text,
        "\n{native_files} native files among {files}, {gigabytes:.1} GB; {} rounds, all in turn, warm.\n",
        report.rounds
    )?;
    text += &table(large, named(large, "check`")?, "`check`")?;
    writeln!(text, "\nA small environment (numpy, pandas, pyodbc), fixed:\n")?;
    text += &table(small, named(small, "check`")?, "`check`")?;
    let (without, with) = (named(small, "without")?, named(small, "with it")?);
    writeln!(
        text,
        "\nThe hook adds {:.2} ms to Python's start (medians; {:.2} ms by the least times), and `import numpy` \
         looks {} times for what is not there, {} times without the hook.",
        with.median_ms - without.median_ms,
        with.least_ms - without.least_ms,
        report.misses.with,
        report.misses.without
    )?;
    Ok(text)
}

pub(super) fn table(figures: &[Figures], one: &Figures, name: &str) -> Result<String> {
    let mut text = format!(
        "| | median, ms | least, ms | middle half within, ms | processor, ms | peak, MiB | times {name} | runs |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for figures in figures {
        let Figures { name, runs, median_ms, least_ms, spread_ms, processor_ms, peak_mib } = figures;
        let times = median_ms / one.median_ms;
        writeln!(
            text,
            "| {name} | {median_ms:.1} | {least_ms:.1} | {spread_ms:.1} | {processor_ms:.1} | {peak_mib:.1} | \
             {times:.2} | {runs} |"
        )?;
    }
    Ok(text)
}

/// What ran: processor, kernel and versions, with those of these Debian packages.
pub(super) fn machine(packages: &[&str]) -> String {
    let first = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "{} × {cores}, Linux {}, {}, {}",
        cpu.map_or("an unknown processor", |(_, name)| name),
        first("uname", &["-r"]),
        first("ldd", &["--version"]),
        first("python3", &["--version"]),
    );
    for package in packages {
        text += &format!(", {package} {}", first("dpkg-query", &["-W", "-f", "${Version}", package]));
    }
    text + "."
}
