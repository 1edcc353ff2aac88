//! What a wheel's file name promises: for which Pythons, machines and C libraries it was built.
//!
//! Names follow "Binary distribution format" and "Platform compatibility tags" of the PyPA specifications (PEP 425, 427,
//! 513, 571, 599, 600, 656). Installers go by the name alone, and so does this.

use std::fmt;

/// A wheel's file name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    /// The distribution, as the name spells it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Python tags: `cp311`, `py3`.
    pub pythons: Vec<String>,
    /// ABI tags: `cp311`, `abi3`, `none`.
    pub abis: Vec<String>,
    /// Platform tags: `manylinux_2_17_x86_64`, `any`.
    pub platforms: Vec<String>,
}

/// Why a file name is no wheel's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WheelNameError {
    /// It does not end in `.whl`.
    #[error("its name does not end in .whl")]
    Suffix,
    /// It has not five or six parts between hyphens.
    #[error("its name is not NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl")]
    Parts,
}

/// A C library, as wheels are built for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Libc {
    /// glibc, and its release where that is known.
    Glibc(Option<(u16, u16)>),
    /// musl.
    Musl,
}

/// The Python that would install a wheel, as far as tags speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its version: `(3, 11)`.
    pub version: (u16, u16),
    /// Whether it was built without the global lock (ABI tag `cp313t`).
    pub free_threaded: bool,
    /// The machine, as tags spell it: `x86_64`.
    pub machine: String,
    /// Its C library.
    pub libc: Libc,
}

/// Why a wheel is not for an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is for another system, such as `win_amd64`.
    System(String),
    /// It is for another machine.
    Machine {
        /// The one it is for.
        wanted: String,
        /// The one that is here.
        here: String,
    },
    /// It is for musl, and this Python runs on glibc, or the other way round.
    Libc {
        /// `musl` or `glibc`.
        wanted: &'static str,
    },
    /// It needs a later glibc.
    Glibc {
        /// The release that it promises to run on.
        wanted: (u16, u16),
        /// The release that is here.
        here: (u16, u16),
    },
    /// It is for other versions or builds of Python.
    Python {
        /// Its Python and ABI tags: `cp310-cp310`.
        wanted: String,
        /// What this Python takes: `cp311-cp311`.
        here: String,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(tag) => write!(to, "built for another system ({tag})"),
            Self::Machine { wanted, here } => write!(to, "built for {wanted}, and this machine is {here}"),
            Self::Libc { wanted: "musl" } => {
                write!(to, "built for musl (musllinux), and this Python runs on glibc")
            }
            Self::Libc { wanted } => {
                write!(to, "built for {wanted} (manylinux), and this Python runs on musl")
            }
            Self::Glibc { wanted, here } => write!(
                to,
                "built for glibc {}.{} or later, and this Python runs on glibc {}.{}",
                wanted.0, wanted.1, here.0, here.1
            ),
            Self::Python { wanted, here } => {
                write!(to, "built for another Python ({wanted}), and this one takes {here}")
            }
        }
    }
}

impl WheelName {
    /// Takes a file name apart.
    pub fn parse(file_name: &str) -> Result<Self, WheelNameError> {
        let stem = file_name.strip_suffix(".whl").ok_or(WheelNameError::Suffix)?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, tags) = match parts.as_slice() {
            [name, version, tags @ ..] if tags.len() == 3 => (name, version, tags),
            [name, version, build, tags @ ..]
                if tags.len() == 3 && build.starts_with(|first: char| first.is_ascii_digit()) =>
            {
                (name, version, tags)
            }
            _ => return Err(WheelNameError::Parts),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(WheelNameError::Parts);
        }
        let split = |tag: &str| tag.split('.').map(str::to_owned).collect();
        Ok(Self {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            pythons: split(tags[0]),
            abis: split(tags[1]),
            platforms: split(tags[2]),
        })
    }

    /// Why an interpreter would not install this wheel; empty where it would. What is about the machine stands first.
    #[must_use]
    pub fn misfits(&self, interpreter: &Interpreter) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        let platforms = self.platforms.iter().map(|tag| platform(tag, interpreter));
        // Of several tags the one that comes nearest counts: another release of glibc is nearer than another machine.
        if let Some(Err((_, misfit))) = platforms.min_by_key(|judged| match judged {
            Ok(()) => 0,
            Err((distance, _)) => *distance,
        }) {
            misfits.push(misfit);
        }
        let pairs = self.pythons.iter().flat_map(|python| self.abis.iter().map(move |abi| (python, abi)));
        if !pairs.into_iter().any(|(python, abi)| python_fits(python, abi, interpreter)) {
            let (major, minor) = interpreter.version;
            let threads = if interpreter.free_threaded { "t" } else { "" };
            misfits.push(Misfit::Python {
                wanted: format!("{}-{}", self.pythons.join("."), self.abis.join(".")),
                here: format!("cp{major}{minor}-cp{major}{minor}{threads}"),
            });
        }
        misfits
    }

    /// How well a wheel fits that fits at all: of two, an installer takes the greater. As `packaging.tags` orders them: ABI
    /// first, then the newest policy that the machine satisfies.
    #[must_use]
    pub fn rank(&self) -> (u8, u16, (u16, u16)) {
        let abi = self.abis.iter().map(|abi| match abi.as_str() {
            "none" => 0,
            "abi3" => 1,
            _ => 2,
        });
        let python = self.pythons.iter().filter_map(|tag| cpython(tag)).map(|(_, minor)| minor);
        let glibc = self.platforms.iter().filter_map(|tag| policy(tag)).map(|(release, _)| release);
        (abi.max().unwrap_or(0), python.max().unwrap_or(0), glibc.max().unwrap_or((0, 0)))
    }
}

/// The release of glibc and the machine of a manylinux tag, old names included.
fn policy(tag: &str) -> Option<((u16, u16), &str)> {
    let old = [("manylinux1_", (2, 5)), ("manylinux2010_", (2, 12)), ("manylinux2014_", (2, 17))];
    for (prefix, release) in old {
        if let Some(machine) = tag.strip_prefix(prefix) {
            return Some((release, machine));
        }
    }
    release_and_machine(tag.strip_prefix("manylinux_")?)
}

fn release_and_machine(rest: &str) -> Option<((u16, u16), &str)> {
    let mut parts = rest.splitn(3, '_');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some(((major, minor), parts.next()?))
}

/// Judges one platform tag. With a misfit comes how far it is from fitting.
fn platform(tag: &str, interpreter: &Interpreter) -> Result<(), (u8, Misfit)> {
    if tag == "any" {
        return Ok(());
    }
    let machine = |wanted: &str| {
        let here = &interpreter.machine;
        if wanted == here {
            return Ok(());
        }
        Err((3, Misfit::Machine { wanted: wanted.to_owned(), here: here.clone() }))
    };
    if let Some((wanted, on)) = policy(tag) {
        machine(on)?;
        return match interpreter.libc {
            Libc::Musl => Err((2, Misfit::Libc { wanted: "glibc" })),
            Libc::Glibc(Some(here)) if here < wanted => Err((1, Misfit::Glibc { wanted, here })),
            Libc::Glibc(_) => Ok(()),
        };
    }
    if let Some((_, on)) = tag.strip_prefix("musllinux_").and_then(release_and_machine) {
        machine(on)?;
        return match interpreter.libc {
            Libc::Musl => Ok(()),
            Libc::Glibc(_) => Err((2, Misfit::Libc { wanted: "musl" })),
        };
    }
    match tag.strip_prefix("linux_") {
        Some(on) => machine(on),
        None => Err((4, Misfit::System(tag.to_owned()))),
    }
}

/// The version in a tag such as `cp311`.
fn cpython(tag: &str) -> Option<(u16, u16)> {
    version(tag.strip_prefix("cp")?)
}

/// `311` is 3.11; `3` alone is every 3.
fn version(digits: &str) -> Option<(u16, u16)> {
    let (major, minor) = digits.split_at_checked(1)?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether a CPython takes a pair of Python and ABI tags (`cpython_tags` and `compatible_tags` of `packaging.tags`).
fn python_fits(python: &str, abi: &str, interpreter: &Interpreter) -> bool {
    let here = interpreter.version;
    let threads = if interpreter.free_threaded { "t" } else { "" };
    if let Some(wanted) = cpython(python) {
        return match abi {
            "none" => wanted == here,
            "abi3" => wanted.0 == here.0 && wanted <= here && !interpreter.free_threaded,
            // PEP 803: one ABI for builds with and without the global lock, from 3.15 on.
            "abi3t" => wanted.0 == here.0 && wanted <= here && here >= (3, 15),
            // Until 3.7 a build with pymalloc was told by an `m` at the end.
            _ => wanted == here && (abi == format!("{python}{threads}") || abi == format!("{python}m")),
        };
    }
    let Some(digits) = python.strip_prefix("py") else { return false };
    let any_minor = digits.parse::<u16>() == Ok(here.0);
    let named = version(digits).is_some_and(|wanted| wanted.0 == here.0 && wanted <= here);
    abi == "none" && (any_minor || named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Interpreter {
        Interpreter {
            version: (3, 11),
            free_threaded: false,
            machine: "x86_64".to_owned(),
            libc: Libc::Glibc(Some((2, 36))),
        }
    }

    fn misfits(name: &str, interpreter: &Interpreter) -> Vec<String> {
        let name = WheelName::parse(name).unwrap();
        name.misfits(interpreter).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wheels_that_pip_would_take_fit() {
        for name in [
            "numpy-1.26.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "cryptography-42.0-cp39-abi3-manylinux_2_28_x86_64.whl",
            "ruff-0.4-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "six-1.16.0-py2.py3-none-any.whl",
            "x-1-7-py38-none-linux_x86_64.whl",
            "old-1-cp311-none-manylinux1_x86_64.whl",
        ] {
            assert!(misfits(name, &here()).is_empty(), "{name}: {:?}", misfits(name, &here()));
        }
    }

    #[test]
    fn each_misfit_is_named() {
        for (name, words) in [
            (
                "a-1-cp310-cp310-manylinux2014_x86_64.whl",
                "another Python (cp310-cp310), and this one takes cp311-cp311",
            ),
            ("a-1-cp312-abi3-manylinux2014_x86_64.whl", "another Python (cp312-abi3)"),
            ("a-1-pp310-pypy310_pp73-manylinux2014_x86_64.whl", "another Python"),
            ("a-1-cp311-cp311t-manylinux2014_x86_64.whl", "another Python"),
            ("a-1-cp311-cp311-manylinux2014_aarch64.whl", "built for aarch64, and this machine is x86_64"),
            ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", "built for musl"),
            (
                "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",
                "glibc 2.39 or later, and this Python runs on glibc 2.36",
            ),
            ("a-1-cp311-cp311-win_amd64.whl", "another system (win_amd64)"),
        ] {
            let found = misfits(name, &here());
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].contains(words), "{name}: {found:?}");
        }
    }

    #[test]
    fn what_is_about_the_machine_stands_before_what_is_about_python() {
        let found = misfits("a-1-cp310-cp310-macosx_11_0_arm64.whl", &here());
        assert!(found[0].contains("system") && found[1].contains("Python"), "{found:?}");
    }

    #[test]
    fn of_several_platforms_the_nearest_is_named() {
        let found = misfits("a-1-py3-none-win_amd64.manylinux_2_40_x86_64.whl", &here());
        assert!(found[0].contains("glibc 2.40"), "{found:?}");
    }

    #[test]
    fn on_musl_and_without_the_lock_other_wheels_fit() {
        let musl = Interpreter { libc: Libc::Musl, ..here() };
        assert!(misfits("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", &musl).is_empty());
        assert!(misfits("a-1-cp311-cp311-manylinux2014_x86_64.whl", &musl)[0].contains("runs on musl"));
        let free = Interpreter { version: (3, 14), free_threaded: true, ..here() };
        assert!(misfits("a-1-cp314-cp314t-manylinux2014_x86_64.whl", &free).is_empty());
        assert!(!misfits("a-1-cp314-cp314-manylinux2014_x86_64.whl", &free).is_empty());
        assert!(!misfits("a-1-cp39-abi3-manylinux2014_x86_64.whl", &free).is_empty());
    }

    #[test]
    fn a_later_policy_and_an_exact_abi_rank_higher() {
        let rank = |name: &str| WheelName::parse(name).unwrap().rank();
        assert!(
            rank("a-1-cp311-cp311-manylinux2014_x86_64.whl")
                > rank("a-1-cp39-abi3-manylinux_2_28_x86_64.whl")
        );
        assert!(
            rank("a-1-cp311-cp311-manylinux_2_28_x86_64.whl")
                > rank("a-1-cp311-cp311-manylinux2014_x86_64.whl")
        );
        assert!(rank("a-1-cp39-abi3-manylinux2014_x86_64.whl") > rank("a-1-py3-none-any.whl"));
    }

    #[test]
    fn other_names_are_refused() {
        assert_eq!(WheelName::parse("numpy-1.26.2.tar.gz"), Err(WheelNameError::Suffix));
        for name in ["numpy.whl", "numpy-1-py3-none.whl", "a-1-b-py3-none-any.whl", "a--py3-none-any.whl"] {
            assert_eq!(WheelName::parse(name), Err(WheelNameError::Parts), "{name}");
        }
    }
}
