//! Nix's own words for why an attribute is refused, without the trace around them.

use super::log::plain;

/// The message of the last error that Nix printed: what the package set says, without the places in its source.
///
/// Nix up to 2.19 prints the message first and the trace after it; later releases print the trace first, and repeat
/// `error:` before the message. Continuation lines are indented by the width of `error: `.
pub(super) fn message(errors: &str) -> String {
    let text = plain(errors);
    let lines: Vec<&str> = text.lines().collect();
    let Some(start) = lines.iter().rposition(|line| line.trim_start().starts_with("error:")) else {
        return text.trim().to_owned();
    };
    let mut message: Vec<&str> = Vec::new();
    let first = lines[start].trim_start().trim_start_matches("error:").trim();
    message.push(first);
    for line in &lines[start + 1..] {
        let content = line.trim();
        if is_place(content) || content.starts_with("… ") || content.starts_with("(use '--show-trace'") {
            break;
        }
        message.push(line.strip_prefix("       ").unwrap_or(line));
    }
    let message = message.join("\n");
    let words = message.trim();
    if words.is_empty() { text.trim().to_owned() } else { words.to_owned() }
}

/// `at /path/file.nix:12:3:` and, before 2.4, `(at …)` or `while evaluating …`.
fn is_place(line: &str) -> bool {
    let numbers = |line: &str| {
        let mut fields = line.trim_end_matches(':').rsplitn(3, ':');
        let number = |field: Option<&str>| field.is_some_and(|field| field.parse::<u32>().is_ok());
        number(fields.next()) && number(fields.next())
    };
    line.strip_prefix("at ").is_some_and(numbers) || line.starts_with("while evaluating ")
}

/// The setting that allows what was refused, as far as the words name one.
pub(super) fn hint(message: &str) -> Option<String> {
    let variable = ["NIXPKGS_ALLOW_UNFREE", "NIXPKGS_ALLOW_BROKEN", "NIXPKGS_ALLOW_INSECURE"]
        .into_iter()
        .chain(["NIXPKGS_ALLOW_UNSUPPORTED_SYSTEM"])
        .find(|variable| message.contains(variable));
    if let Some(variable) = variable {
        return Some(format!(
            "If you accept that, set {variable}=1 for this command, or allow it in ~/.config/nixpkgs/config.nix"
        ));
    }
    message.contains("permittedInsecurePackages").then(|| {
        "If you accept that, list it under `permittedInsecurePackages` in ~/.config/nixpkgs/config.nix".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNFREE: &str =
        "Package ‘cuda’ in /n/default.nix:4 has an unfree license (‘unfree’), refusing to evaluate.

a) To temporarily allow unfree packages, you can use an environment variable
   for a single invocation of the nix tools.

     $ export NIXPKGS_ALLOW_UNFREE=1";

    fn indented(text: &str) -> String {
        text.lines()
            .map(|line| if line.is_empty() { "\n".into() } else { format!("       {line}\n") })
            .collect()
    }

    #[test]
    fn an_older_nix_prints_the_trace_last() {
        let errors = format!(
            "warning: something\nerror: {}\n       at /n/check-meta.nix:250:9:\n\n          249|\n          250| throw\n       … while evaluating 'x'\n(use '--show-trace' to show detailed location information)\n",
            indented(UNFREE).trim_start()
        );
        assert_eq!(message(&errors), UNFREE);
    }

    #[test]
    fn a_newer_nix_prints_the_trace_first() {
        let errors = format!(
            "error:\n       … while calling the 'deepSeq' builtin\n         at «string»:3:4:\n            2|\n       (stack trace truncated; use '--show-trace' to show the full, detailed trace)\n\n       \u{1b}[31;1merror:\u{1b}[0m {}\n",
            indented(UNFREE).trim_start()
        );
        assert_eq!(message(&errors), UNFREE);
    }

    #[test]
    fn the_allowing_setting_is_named() {
        assert!(hint(UNFREE).unwrap().contains("NIXPKGS_ALLOW_UNFREE=1"));
        assert!(hint("'x' has been renamed to 'y'").is_none());
    }

    #[test]
    fn odd_words_are_kept() {
        assert_eq!(message("Killed"), "Killed");
        assert_eq!(message(""), "");
        assert_eq!(message("error:"), "error:");
        assert_eq!(message("error: x at 12:30"), "x at 12:30");
    }
}
