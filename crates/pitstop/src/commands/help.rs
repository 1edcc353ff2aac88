//! `pitstop help`: what users ask, and what commands take.

use super::Done;
use crate::args::{self, Help};
use crate::error::CommandError;
use crate::exit::ExitStatus;
use crate::output::{Output, Tone, shown};

/// What is explained.
struct Topic {
    /// Its name, then others that lead to it.
    names: &'static [&'static str],
    about: &'static str,
    text: &'static str,
}

const TOPICS: [Topic; 4] = [
    Topic {
        names: &["imports", "import", "numpy", "nixos"],
        about: "why an import fails, on NixOS and elsewhere",
        text: include_str!("../help/imports.txt"),
    },
    Topic {
        names: &["changes"],
        about: "what `pitstop fix` changes, and how to take it back",
        text: include_str!("../help/changes.txt"),
    },
    Topic {
        names: &["choosing", "nix-ld"],
        about: "which command for what: fix, run, shell, fhs, nix-ld",
        text: include_str!("../help/choosing.txt"),
    },
    Topic {
        names: &["containers", "ci", "docker"],
        about: "continuous integration and containers",
        text: include_str!("../help/containers.txt"),
    },
];

/// The names by which topics are listed, and what each is about.
pub(super) fn topics() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOPICS.iter().map(|topic| (topic.names[0], topic.about))
}

/// Explains a topic or a command, or says what there is.
pub(super) fn run(help: &Help, output: &Output) -> Done {
    let text = match help.words.as_slice() {
        [] => whole(),
        words => args::help_of(words).or_else(|| of_topic(words)).ok_or_else(|| unknown(words))?,
    };
    output.answer(&text);
    Ok(ExitStatus::Success)
}

/// The help of pitstop itself, and the topics.
fn whole() -> String {
    let mut text = args::help_of(&[]).unwrap_or_default();
    text.push_str(&format!("\n{}\n", Tone::Strong.paint("Topics (pitstop help TOPIC):")));
    for topic in &TOPICS {
        text.push_str(&format!("  {:<12} {}\n", topic.names[0], topic.about));
    }
    text
}

fn of_topic(words: &[String]) -> Option<String> {
    let [word] = words else { return None };
    let topic = TOPICS.iter().find(|topic| topic.names.contains(&word.to_lowercase().as_str()))?;
    let (title, rest) = topic.text.split_once('\n')?;
    Some(format!("{}\n{rest}", Tone::Strong.paint(title)))
}

fn unknown(words: &[String]) -> CommandError {
    let name = shown(words.join(" "));
    let topics: Vec<&str> = topics().map(|(name, _)| name).collect();
    CommandError::new(ExitStatus::Usage, format!("there is no topic and no command `{name}`"))
        .hint(format!("the topics are {}; `pitstop --help` lists the commands", topics.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_fit_a_terminal_and_a_screen() {
        for topic in &TOPICS {
            for line in topic.text.lines() {
                assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line}");
            }
            assert!(topic.text.lines().count() <= 40, "{}", topic.names[0]);
        }
        assert!(whole().lines().all(|line| anstream::adapter::strip_str(line).to_string().len() <= 100));
    }

    #[test]
    fn no_topic_stands_in_the_way_of_a_command() {
        let command = args::command();
        for name in TOPICS.iter().flat_map(|topic| topic.names) {
            assert!(command.find_subcommand(name).is_none(), "{name}");
        }
    }

    /// Every `pitstop …` of a topic is a command that there is, with options that it takes.
    #[test]
    fn what_topics_name_exists() {
        let mut whole = args::command();
        whole.build();
        let mut found = 0;
        for topic in &TOPICS {
            for line in topic.text.lines() {
                for (at, _) in line.match_indices("pitstop ") {
                    let is_prose = line[..at]
                        .ends_with(|letter: char| letter.is_alphanumeric() || "/.".contains(letter));
                    let rest = line[at + "pitstop ".len()..].split(['`', '(', ';']).next().unwrap();
                    let rest = rest.split("   ").next().unwrap();
                    let mut words = rest.split_whitespace();
                    let Some(command) = words.next() else { continue };
                    let meant = whole.find_subcommand(command);
                    assert!(is_prose || meant.is_some() || command == "unless", "{line}");
                    let Some(meant) = meant else { continue };
                    found += 1;
                    for option in words.filter_map(|word| word.strip_prefix("--")) {
                        let has = meant.get_arguments().any(|it| it.get_long() == Some(option));
                        assert!(has, "{command} has no --{option}: {line}");
                    }
                }
            }
        }
        assert!(found > 20, "{found}");
    }
}
