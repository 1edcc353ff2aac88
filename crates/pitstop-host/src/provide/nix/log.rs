//! Nix's `internal-json` log: one JSON object a line after `@nix `, as `src/libutil/logging.cc` of Nix writes it.
//!
//! The format is internal indeed: fields come and go between releases. Whatever is not understood is passed over.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use serde_json::Value;

use crate::provide::{Cost, Event};

/// `ActivityType` of Nix, those that matter here.
mod activity {
    pub(super) const COPY_PATH: u64 = 100;
    pub(super) const FILE_TRANSFER: u64 = 101;
    pub(super) const BUILD: u64 = 105;
}

/// `ResultType` of Nix, those that matter here.
mod result {
    pub(super) const BUILD_LOG_LINE: u64 = 101;
    pub(super) const PROGRESS: u64 = 105;
}

/// `Verbosity` of Nix.
const LEVEL_ERROR: u64 = 0;
const LEVEL_WARNING: u64 = 1;

/// How many errors are remembered.
const WORDS_LIMIT: usize = 200;
/// How many lines of a build.
const BUILD_LINES_LIMIT: usize = 10;

#[derive(Debug)]
enum Activity {
    Build(String),
    Copy(String),
    Transfer { done: u64, expected: u64 },
}

/// What Nix has said so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    running: BTreeMap<u64, Activity>,
    /// Bytes of transfers that ended.
    transferred: u64,
    copied: u64,
    /// The tool's own words: errors, and lines that are not JSON.
    words: Vec<String>,
    /// Every derivation whose build came to an end, and the last lines of what it said.
    builds: BTreeMap<String, VecDeque<String>>,
}

impl Log {
    /// Takes one line of standard error, and says what it means.
    pub(super) fn line(&mut self, line: &[u8]) -> Option<Event> {
        let Some(json) = line.strip_prefix(b"@nix ") else {
            let text = plain(&String::from_utf8_lossy(line));
            if let Some(warning) = text.strip_prefix("warning: ") {
                return Some(Event::Warning(warning.to_owned()));
            }
            remember(&mut self.words, text);
            return None;
        };
        let message: Value = serde_json::from_slice(json).ok()?;
        let id = message["id"].as_u64();
        match message["action"].as_str()? {
            "start" => self.start(id?, &message),
            "stop" => self.stop(id?),
            "result" => self.result(id?, &message),
            "msg" => self.message(&message),
            _ => None,
        }
    }

    /// What it took. The time is the caller's to measure.
    pub(super) fn cost(&self) -> Cost {
        let built = self.builds.keys().filter(|derivation| !self.has_failed(derivation)).count();
        Cost { built: built as u64, downloaded: self.copied, bytes: self.bytes().0, ..Cost::default() }
    }

    /// The tool's own words about what went wrong with one derivation. What concerns only the `others` is left out.
    pub(super) fn words(&self, derivation: &str, others: &[&str]) -> String {
        let elsewhere =
            |text: &str| !text.contains(derivation) && others.iter().any(|other| text.contains(*other));
        // The last error of all only lists what the earlier ones say.
        let sums_up = |line: &str| line.starts_with("build of ") || line.starts_with("Build failed due to ");
        let mut words: Vec<&str> = self
            .words
            .iter()
            .map(|line| line.strip_prefix("error: ").unwrap_or(line).trim())
            .filter(|line| !elsewhere(line) && !sums_up(line))
            .collect();
        for (failed, lines) in
            self.builds.iter().filter(|(name, _)| !elsewhere(name) && self.has_failed(name))
        {
            if !lines.is_empty() && !words.iter().any(|line| line.contains("log lines")) {
                words.push("last lines of the build:");
                words.extend(self.builds[failed].iter().map(String::as_str));
            }
        }
        words.join("\n")
    }

    fn has_failed(&self, derivation: &str) -> bool {
        let quoted = format!("'{derivation}' failed");
        self.words
            .iter()
            .any(|line| line.contains(&quoted) || line.contains(&format!("build '{derivation}'")))
    }

    fn start(&mut self, id: u64, message: &Value) -> Option<Event> {
        let path = || message["fields"][0].as_str().unwrap_or_default();
        let (activity, event) = match message["type"].as_u64()? {
            activity::BUILD => {
                (Activity::Build(path().to_owned()), Some(Event::Building(package_name(path()))))
            }
            activity::COPY_PATH => {
                let name = package_name(path());
                (Activity::Copy(name.clone()), Some(Event::Downloading(name)))
            }
            activity::FILE_TRANSFER => (Activity::Transfer { done: 0, expected: 0 }, None),
            _ => return None,
        };
        self.running.insert(id, activity);
        event
    }

    fn stop(&mut self, id: u64) -> Option<Event> {
        match self.running.remove(&id)? {
            // A build that failed stops like one that succeeded; what became of it is seen in the store.
            Activity::Build(derivation) => {
                let event = Event::Finished(package_name(&derivation));
                self.builds.entry(derivation).or_default();
                Some(event)
            }
            Activity::Copy(name) => {
                self.copied += 1;
                Some(Event::Finished(name))
            }
            Activity::Transfer { done, .. } => {
                self.transferred = self.transferred.saturating_add(done);
                None
            }
        }
    }

    fn result(&mut self, id: u64, message: &Value) -> Option<Event> {
        let fields = &message["fields"];
        match message["type"].as_u64()? {
            result::PROGRESS => {
                let Activity::Transfer { done, expected } = self.running.get_mut(&id)? else { return None };
                (*done, *expected) = (fields[0].as_u64()?, fields[1].as_u64().unwrap_or(0));
                let (done, expected) = self.bytes();
                Some(Event::Bytes { done, expected })
            }
            result::BUILD_LOG_LINE => {
                let Activity::Build(derivation) = self.running.get(&id)? else { return None };
                let lines = self.builds.entry(derivation.clone()).or_default();
                if lines.len() == BUILD_LINES_LIMIT {
                    lines.pop_front();
                }
                lines.push_back(plain(fields[0].as_str()?));
                None
            }
            _ => None,
        }
    }

    fn message(&mut self, message: &Value) -> Option<Event> {
        let text = plain(message["msg"].as_str()?);
        match message["level"].as_u64().unwrap_or(LEVEL_ERROR) {
            LEVEL_ERROR => {
                remember(&mut self.words, text);
                None
            }
            LEVEL_WARNING => {
                let text = text.strip_prefix("warning: ").unwrap_or(&text);
                Some(Event::Warning(text.to_owned()))
            }
            _ => None,
        }
    }

    /// Bytes of all transfers so far, and expected.
    fn bytes(&self) -> (u64, u64) {
        self.running.values().fold((self.transferred, self.transferred), |sum, activity| match activity {
            Activity::Transfer { done, expected } => {
                (sum.0.saturating_add(*done), sum.1.saturating_add((*expected).max(*done)))
            }
            _ => sum,
        })
    }
}

fn remember(lines: &mut Vec<String>, line: String) {
    if lines.len() < WORDS_LIMIT && !line.trim().is_empty() {
        lines.push(line);
    }
}

/// `zlib-1.3` of `/nix/store/<hash>-zlib-1.3.drv`.
fn package_name(path: &str) -> String {
    let file = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
    let name = file.split_once('-').map_or(file, |(_, name)| name);
    name.strip_suffix(".drv").unwrap_or(name).to_owned()
}

/// A text without terminal escape sequences and other control letters.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // CSI: parameters, then one final letter from `@` to `~` (ECMA-48, 5.4).
            '\u{1b}' if letters.clone().next() == Some('[') => {
                letters.next();
                for letter in letters.by_ref() {
                    if ('@'..='~').contains(&letter) {
                        break;
                    }
                }
            }
            '\n' | '\t' => plain.push(letter),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(log: &mut Log, lines: &[&str]) -> Vec<Event> {
        lines.iter().filter_map(|line| log.line(line.as_bytes())).collect()
    }

    #[test]
    fn a_build_starts_and_finishes() {
        let mut log = Log::default();
        let seen = events(
            &mut log,
            &[
                r#"@nix {"action":"start","id":1,"level":6,"text":"querying info about missing paths","type":0}"#,
                r#"@nix {"action":"start","fields":["/nix/store/xykl-zlib-1.3.drv","",1,1],"id":61,"level":3,"text":"building","type":105}"#,
                r#"@nix {"action":"result","fields":["checking"],"id":61,"type":101}"#,
                r#"@nix {"action":"result","fields":[1,1,0,0],"id":58,"type":105}"#,
                r#"@nix {"action":"stop","id":61}"#,
                r#"@nix {"action":"stop","id":61}"#,
            ],
        );
        assert_eq!(seen, [Event::Building("zlib-1.3".into()), Event::Finished("zlib-1.3".into())]);
        assert_eq!(log.cost(), Cost { built: 1, ..Cost::default() });
    }

    #[test]
    fn downloads_are_counted_in_bytes() {
        let mut log = Log::default();
        let seen = events(
            &mut log,
            &[
                r#"@nix {"action":"start","fields":["/nix/store/aaaa-zlib-1.3","https://cache","local"],"id":1,"level":3,"text":"","type":100}"#,
                r#"@nix {"action":"start","fields":["https://cache/nar/a"],"id":2,"level":4,"text":"","type":101}"#,
                r#"@nix {"action":"result","fields":[10,100,0,0],"id":2,"type":105}"#,
                r#"@nix {"action":"result","fields":[100,100,0,0],"id":2,"type":105}"#,
                r#"@nix {"action":"stop","id":2}"#,
                r#"@nix {"action":"stop","id":1}"#,
            ],
        );
        assert_eq!(
            seen,
            [
                Event::Downloading("zlib-1.3".into()),
                Event::Bytes { done: 10, expected: 100 },
                Event::Bytes { done: 100, expected: 100 },
                Event::Finished("zlib-1.3".into()),
            ]
        );
        assert_eq!(log.cost(), Cost { downloaded: 1, bytes: 100, ..Cost::default() });
    }

    #[test]
    fn errors_keep_their_words_and_lose_their_colours() {
        let mut log = Log::default();
        let seen = events(
            &mut log,
            &[
                r#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m builder for '\u001b[35;1mx.drv\u001b[0m' failed"}"#,
                r#"@nix {"action":"msg","level":1,"msg":"\u001b[35;1mwarning:\u001b[0m cannot reach the cache"}"#,
                "warning: a plain one",
                "error: a plain line",
            ],
        );
        let warning = |text: &str| Event::Warning(text.into());
        assert_eq!(seen, [warning("cannot reach the cache"), warning("a plain one")]);
        assert_eq!(log.words("x.drv", &[]), "builder for 'x.drv' failed\na plain line");
    }

    #[test]
    fn each_failure_is_told_by_itself() {
        let mut log = Log::default();
        for (id, name, line) in [(1, "a", "cc1: error"), (2, "dep", "no space"), (3, "good", "fine")] {
            events(
                &mut log,
                &[
                    &format!(r#"@nix {{"action":"start","fields":["/s/{name}.drv"],"id":{id},"type":105}}"#),
                    &format!(r#"@nix {{"action":"result","fields":["{line}"],"id":{id},"type":101}}"#),
                    &format!(r#"@nix {{"action":"stop","id":{id}}}"#),
                ],
            );
        }
        for line in [
            "error: builder for '/s/a.drv' failed with exit code 1",
            "error: builder for '/s/dep.drv' failed with exit code 2",
            "error: 1 dependencies of derivation '/s/b.drv' failed to build",
            "error: build of '/s/a.drv', '/s/b.drv' failed",
        ] {
            log.line(line.as_bytes());
        }
        assert_eq!(log.cost().built, 1);
        assert_eq!(
            log.words("/s/b.drv", &["/s/a.drv"]),
            "builder for '/s/dep.drv' failed with exit code 2\n\
             1 dependencies of derivation '/s/b.drv' failed to build\n\
             last lines of the build:\nno space"
        );
    }

    #[test]
    fn no_line_is_ever_fatal() {
        let seeds = [
            r#"@nix {"action":"start","fields":["/nix/store/a-b.drv","",1,1],"id":61,"level":3,"text":"b","type":105}"#,
            r#"@nix {"action":"result","fields":[10,100,0,0],"id":2,"type":105}"#,
            r#"@nix {"action":"start","fields":["u"],"id":2,"type":101}"#,
            r#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m x"}"#,
            r#"@nix {"action":"stop","id":18446744073709551615}"#,
        ];
        let mut log = Log::default();
        // A linear congruential generator: the same bytes each time, without a crate.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap()
        };
        for round in 0..50_000 {
            let mut line = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..random() % 4 {
                let at = random() % line.len();
                match random() % 3 {
                    0 => line[at] = random().to_le_bytes()[0],
                    1 => line.truncate(at.max(1)),
                    _ => line.insert(at, b"0\"[]{},-9"[random() % 9]),
                }
            }
            log.line(&line);
        }
        for odd in ["", "@nix", "@nix ", "@nix []", "@nix null", "@nix {\"action\":1}", "\u{1b}[", "\u{1b}"] {
            log.line(odd.as_bytes());
        }
        log.cost();
        log.words("", &["a", ""]);
    }
}
