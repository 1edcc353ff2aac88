//! Libraries of the GPU driver: the running kernel's, so only the machine has them. One without a driver lacks nothing
//! that could be provided, and what asks for them does without, or is of no use on it.

use std::cell::OnceCell;

use bstr::{BStr, ByteSlice};
use pitstop_core::diagnose::Diagnosis;
use pitstop_core::elf::Target;
use pitstop_core::files::Files;
use pitstop_core::locate::{Class, locate};

use super::Places;

/// Whether this machine's GPU driver has a library. Its places are looked for when first asked.
pub struct Drivers<'a> {
    files: &'a dyn Files,
    target: Target,
    places: OnceCell<Places>,
}

impl<'a> Drivers<'a> {
    /// The drivers for programs of this kind.
    #[must_use]
    pub const fn new(files: &'a dyn Files, target: Target) -> Self {
        Self { files, target, places: OnceCell::new() }
    }

    #[cfg(test)]
    pub(super) fn at(files: &'a dyn Files, target: Target, places: Places) -> Self {
        Self { files, target, places: OnceCell::from(places) }
    }

    /// Whether a soname is a driver's, and this machine does not have it.
    #[must_use]
    pub fn lacks(&self, soname: &BStr) -> bool {
        is_of_driver(soname) && !self.has(soname)
    }

    fn has(&self, soname: &BStr) -> bool {
        let places = self.places.get_or_init(|| Places::of_this_machine(self.files, self.target));
        let mut files = places.of(&soname.to_str_lossy()).into_iter();
        files.any(|file| !matches!(self.files.open(&file), pitstop_core::files::Opened::Absent))
    }

    /// Settles what is required of the driver: all that it has is at hand, and no more can be had.
    pub fn settle(&self, diagnosis: &mut Diagnosis) {
        for missing in &mut diagnosis.missing {
            if is_of_driver(missing.soname.as_ref()) {
                missing.optional = !self.has(missing.soname.as_ref());
            }
        }
    }
}

/// Whether a library comes with a GPU driver and with nothing else.
#[must_use]
pub fn is_of_driver(soname: &BStr) -> bool {
    locate(&soname.to_str_lossy()).class == Class::Driver
}

/// What is to be said, once, of what only a driver has. Nothing where nothing of it is wanted.
#[must_use]
pub fn note(sonames: &[String]) -> Option<String> {
    let (first, more) = sonames.split_first()?;
    let and = match more.len() {
        0 => " comes".to_owned(),
        1 => format!(" and {} come", more[0]),
        many => format!(" and {many} more come"),
    };
    Some(format!("this machine has no GPU driver that has them: {first}{and} with it, and with no package"))
}
