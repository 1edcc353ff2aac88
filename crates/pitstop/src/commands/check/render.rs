//! The report of `check` as a person reads it: in three seconds.

use pitstop_core::locate::{Distribution, Suite, hint};
use pitstop_core::report::{BuildReport, MissingReport, NeederReport, Report};

use crate::output::{Output, Table, Tone, shown};

/// The answer: what is missing, a row each, and one line of what to do.
pub(super) fn report(report: &Report, distribution: &Distribution) -> String {
    let mut text = head(report);
    for misfit in &report.misfits {
        let file = Tone::Bad.paint(&misfit.file);
        text.push_str(&format!("{file} cannot be installed here: {}\n", misfit.why.join("; ")));
    }
    for build in &report.to_build {
        text.push_str(&format!("{} must be built first{}\n", Tone::Strong.paint(&build.file), with(build)));
    }
    if !report.missing.is_empty() {
        text.push('\n');
        text.push_str(&missing(&report.missing, distribution));
    }
    text.push_str(&optional(&report.optional, distribution));
    for mismatch in &report.mismatched {
        text.push('\n');
        let (soname, version) = (Tone::Bad.paint(&mismatch.soname), Tone::Strong.paint(&mismatch.version));
        text.push_str(&format!(
            "{soname} does not define version {version}, which {} needs\n",
            needers(&mismatch.needed_by)
        ));
        if let Some(found) = &mismatch.found {
            let whose = match &mismatch.found_package {
                Some(package) => format!(" ({package})"),
                None if mismatch.is_pythons_own => " (this Python's own)".to_owned(),
                None => String::new(),
            };
            text.push_str(&format!("  found: {found}{whose}\n"));
        }
        text.push_str(&format!("  {}\n", advice(mismatch.found_package.as_deref(), &mismatch.soname)));
    }
    for unusable in &report.unusable {
        text.push_str(&format!(
            "\n{} cannot be loaded: {}\n  needed by {}; install that package again\n",
            Tone::Bad.paint(&unusable.path),
            unusable.why,
            needers(&unusable.needed_by)
        ));
    }
    text.push_str(&programs(report));
    text
}

/// What a package is built with, as the end of a sentence.
fn with(build: &BuildReport) -> String {
    let all: Vec<String> =
        build.packages.iter().chain(&build.programs).map(|part| shown(part.as_str())).collect();
    if all.is_empty() { String::new() } else { format!(", with {}", all.join(", ")) }
}

fn head(report: &Report) -> String {
    let well = report.missing.is_empty()
        && report.mismatched.is_empty()
        && report.unusable.is_empty()
        && report.misfits.is_empty();
    let count =
        |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let about = format!(
        "Python {}, {} in {}",
        report.python.version,
        count(report.files, "native file", "native files"),
        count(report.packages, "package", "packages")
    );
    let verdict = if well {
        Tone::Good.paint("nothing is missing")
    } else {
        let mut parts = Vec::new();
        if !report.misfits.is_empty() {
            parts.push(format!(
                "{} no wheel that fits",
                count(report.misfits.len(), "package has", "packages have")
            ));
        }
        if !report.missing.is_empty() {
            parts.push(format!("{} missing", count(report.missing.len(), "library", "libraries")));
        }
        if !report.mismatched.is_empty() {
            parts.push(count(report.mismatched.len(), "version clash", "version clashes"));
        }
        if !report.unusable.is_empty() {
            parts.push(count(report.unusable.len(), "damaged file", "damaged files"));
        }
        Tone::Bad.paint(&parts.join(", "))
    };
    format!("{}: {about}: {verdict}\n", Tone::Strong.paint(&report.environment))
}

fn missing(rows: &[MissingReport], distribution: &Distribution) -> String {
    let mut table = Table::new(&["missing", "needed by", "who has it"]);
    for row in rows {
        table.row([
            (shown(&row.soname), Tone::Bad),
            (needers(&row.needed_by), Tone::Plain),
            (who_has_it(row, distribution), Tone::Strong),
        ]);
    }
    table.render()
}

/// What packages ask for by name and can do without, in one short block: `fix --optional` provides it.
fn optional(rows: &[MissingReport], distribution: &Distribution) -> String {
    const SHOWN: usize = 5;
    let asked: Vec<&MissingReport> =
        rows.iter().filter(|row| row.needed_by.iter().any(|needer| !needer.asks.is_empty())).collect();
    if asked.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["optional", "asked for by", "who has it"]);
    for row in asked.iter().take(SHOWN) {
        let needed_by = needers(&row.needed_by);
        table.row([
            (shown(&row.soname), Tone::Plain),
            (needed_by, Tone::Plain),
            (who_has_it(row, distribution), Tone::Plain),
        ]);
    }
    let mut text = format!("\n{}", table.render());
    if asked.len() > SHOWN {
        text.push_str(&format!("and {} more (see --json)\n", asked.len() - SHOWN));
    }
    text
}

fn needers(needers: &[NeederReport]) -> String {
    const SHOWN: usize = 3;
    let by_name = |needer: &NeederReport| {
        let at = needer.asks.first().filter(|_| needer.files.is_empty())?;
        let (file, line) = (at.file.as_deref()?, at.line?);
        Some(format!(" (by name, {}:{line})", shown(file)))
    };
    let name = |needer: &NeederReport| match (&needer.package, &needer.version) {
        (Some(package), Some(version)) => {
            format!("{} {}{}", shown(package), shown(version), by_name(needer).unwrap_or_default())
        }
        _ if needer.files.is_empty() && needer.asks.iter().any(|ask| ask.how == "settings") => {
            "the project's settings".to_owned()
        }
        _ => needer.files.first().cloned().unwrap_or_default(),
    };
    let mut text = needers.iter().take(SHOWN).map(name).collect::<Vec<_>>().join(", ");
    if needers.len() > SHOWN {
        text.push_str(&format!(" and {} more", needers.len() - SHOWN));
    }
    text
}

/// Who has it, in the words of this machine: Python itself, a wheel of the environment, Nix on NixOS, apt on Debian.
fn who_has_it(row: &MissingReport, distribution: &Distribution) -> String {
    if let Some(here) = &row.here {
        return match here.from {
            "python" => "this Python".to_owned(),
            "wheel" => format!("another wheel: {}", here.path),
            _ => here.path.clone(),
        };
    }
    if row.class == "driver" {
        return "the GPU driver of this machine".to_owned();
    }
    let source = match distribution {
        Distribution::Debian(Suite::Debian12) => "debian12",
        Distribution::Debian(Suite::Debian13) => "debian13",
        Distribution::NixOs | Distribution::Other(_) => "nix",
        other => {
            let hint = hint(other, [row.soname.as_str()]);
            return hint.command.unwrap_or_else(|| "nobody that is known".to_owned());
        }
    };
    let from = |source: &str| row.candidates.iter().find(|candidate| candidate.source == source);
    let any = || from(source).or_else(|| from("nix")).or_else(|| row.candidates.first());
    match any() {
        Some(candidate) => {
            let provider = if candidate.source == "nix" { "nix" } else { "apt" };
            let other = if candidate.exact { String::new() } else { format!(" (as {})", candidate.soname) };
            format!("{provider}: {}{other}", candidate.name)
        }
        None => "nobody that is known".to_owned(),
    }
}

fn advice(found_package: Option<&str>, soname: &str) -> String {
    match found_package {
        Some(package) => {
            format!("two packages do not fit together: upgrade {package}, or downgrade the other")
        }
        None if soname == "libc.so.6" => {
            "the wheel was built for a newer glibc: install an older version of it, or use a newer Python"
                .to_owned()
        }
        None => "use a newer build of that library, or an older version of the package".to_owned(),
    }
}

fn programs(report: &Report) -> String {
    const SHOWN: usize = 8;
    if report.programs.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["program that cannot start", "from", "because"]);
    for program in report.programs.iter().take(SHOWN) {
        let because = if program.loader_exists {
            format!("{} missing", program.missing.join(", "))
        } else {
            format!("there is no {}", program.loader)
        };
        let package = program.package.clone().unwrap_or_default();
        table.row([(program.path.clone(), Tone::Bad), (package, Tone::Plain), (because, Tone::Plain)]);
    }
    let mut text = format!("\n{}", table.render());
    if report.programs.len() > SHOWN {
        text.push_str(&format!("and {} more (see --json)\n", report.programs.len() - SHOWN));
    }
    text
}

/// What stands beside the answer: what could not be read, what is optional, what to do next.
///
/// `is_installed` tells an environment from packages that are still to be installed.
pub(super) fn asides(report: &Report, is_installed: bool, output: &Output) {
    let unread = report.unread.iter().map(|unread| (unread.path.as_str(), unread.cause.as_str()));
    super::target::tell_unread(unread, output);
    for note in &report.notes {
        output.note(&format!("note: {note}"));
    }
    let by_name = |missing: &&MissingReport| missing.needed_by.iter().any(|needer| !needer.asks.is_empty());
    let (asked, plugins): (Vec<_>, Vec<_>) = report.optional.iter().partition(by_name);
    if !plugins.is_empty() {
        let names: Vec<&str> = plugins.iter().map(|missing| missing.soname.as_str()).collect();
        let many = names.len();
        output.note(&format!(
            "note: {many} more {} only by plugins that nothing links (see --json)",
            if many == 1 { "library is asked for" } else { "libraries are asked for" }
        ));
        output.detail(&format!("  {}", names.join(" ")));
    }
    if !asked.is_empty() && is_installed {
        output
            .hint(&format!("`pitstop fix --optional {}` provides what is optional, too", report.environment));
    }
    if report.missing.is_empty() {
        return;
    }
    output.hint(&if is_installed {
        format!("`pitstop fix {}` provides what is missing, and changes no file of pip's", report.environment)
    } else {
        "once these are installed, `pitstop fix` provides what is missing".to_owned()
    });
}
