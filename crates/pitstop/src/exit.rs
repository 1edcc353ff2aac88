//! The exit statuses: part of the command's contract, documented in `docs/commands.md`, which is made from them.

use std::process::ExitCode;

/// How a command ended. `run` and `fhs` give their child's own status instead; 101 is left to Rust's panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExitStatus {
    /// All is well.
    Success = 0,
    /// Something is missing, or does not load.
    Missing = 1,
    /// The command line, the settings or the target cannot be used.
    Usage = 2,
    /// Part of the input could not be read; wins over [`ExitStatus::Missing`].
    Incomplete = 3,
    /// A provider or the network failed.
    Provider = 4,
    /// A fix was refused or rolled back.
    Refused = 5,
    /// `run` and `fhs`: the command is there, and is no program.
    NotExecutable = 126,
    /// `run` and `fhs`: the command could not be started.
    NotStarted = 127,
}

/// Each status and what it means, for those who describe them.
pub(crate) const MEANINGS: &[(ExitStatus, &str)] = &[
    (ExitStatus::Success, "All is well"),
    (ExitStatus::Missing, "Something is missing, or does not load"),
    (ExitStatus::Usage, "The command line, the settings or the target cannot be used"),
    (ExitStatus::Incomplete, "Part of the input could not be read; wins over 1"),
    (ExitStatus::Provider, "A provider or the network failed"),
    (ExitStatus::Refused, "A fix was refused, rolled back or interrupted"),
    (ExitStatus::NotExecutable, "`run` and `fhs`: the command is there, and is no program"),
    (ExitStatus::NotStarted, "`run` and `fhs`: the command could not be started, for whatever reason"),
];

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;

    #[test]
    fn the_documented_numbers_hold() {
        let documented = [
            (ExitStatus::Success, 0),
            (ExitStatus::Missing, 1),
            (ExitStatus::Usage, 2),
            (ExitStatus::Incomplete, 3),
            (ExitStatus::Provider, 4),
            (ExitStatus::Refused, 5),
            (ExitStatus::NotExecutable, 126),
            (ExitStatus::NotStarted, 127),
        ];
        assert!(documented.iter().all(|(status, number)| *status as u8 == *number));
    }
}
