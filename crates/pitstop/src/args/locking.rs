//! Options of `fix` for the lock.

use std::path::PathBuf;

use clap::Args;
use pitstop_core::settings::is_soname;

use crate::error::CommandError;
use crate::exit::ExitStatus;

/// What becomes of `pitstop.lock`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Locking {
    /// Provide exactly what pitstop.lock says, or fail saying what differs
    #[arg(long, conflicts_with = "upgrade")]
    pub(crate) locked: bool,

    /// Forget what pitstop.lock says, of these libraries or of all, and provide anew
    #[arg(long, value_name = "SONAME", num_args = 0..)]
    pub(crate) upgrade: Option<Vec<String>>,

    /// Begin a pitstop.lock: beside the settings of the project, else beside the environment, or as FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "not given, given, given with a file")]
    pub(crate) lock: Option<Option<PathBuf>>,
}

impl Locking {
    /// Tells the environment from the sonames: `fix --upgrade libz.so.1 VENV` gives them in one list.
    pub(crate) fn settle(mut self, venv: Option<PathBuf>) -> Result<(Self, Option<PathBuf>), CommandError> {
        let (sonames, others) = self.upgrade.take().map_or((None, Vec::new()), |named| {
            let (sonames, others) = named.into_iter().partition(|name| is_soname(name));
            (Some(sonames), others)
        });
        self.upgrade = sonames;
        let mut paths = venv.into_iter().chain(others.into_iter().map(PathBuf::from));
        let (venv, more) = (paths.next(), paths.next());
        match more {
            None => Ok((self, venv)),
            Some(more) => {
                let cause = format!("{} is neither a soname nor the environment", more.display());
                Err(CommandError::new(ExitStatus::Usage, cause)
                    .hint("name libraries as loaders ask for them, such as `libz.so.1`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(upgrade: &[&str], venv: Option<&str>) -> Result<(Option<Vec<String>>, Option<PathBuf>), ()> {
        let upgrade = Some(upgrade.iter().map(|name| (*name).to_owned()).collect());
        let locking = Locking { upgrade, ..Locking::default() };
        let settled = locking.settle(venv.map(PathBuf::from));
        settled.map(|(locking, venv)| (locking.upgrade, venv)).map_err(|_| ())
    }

    #[test]
    fn the_environment_is_told_from_sonames_wherever_it_stands() {
        let names = Some(vec!["libz.so.1".to_owned()]);
        assert_eq!(settled(&["libz.so.1"], Some("v")), Ok((names.clone(), Some("v".into()))));
        assert_eq!(settled(&["libz.so.1", "v"], None), Ok((names, Some("v".into()))));
        assert_eq!(settled(&["v"], None), Ok((Some(Vec::new()), Some("v".into()))));
        assert_eq!(settled(&["v"], Some("w")), Err(()));
        assert_eq!(settled(&["my.so/v"], None), Ok((Some(Vec::new()), Some("my.so/v".into()))));
    }
}
