//! What the shim says, all of it on standard error.

use core::ffi::CStr;

use pitstop_ld::elf::{Fault, Malformed};
use pitstop_ld::message::{Level, Message, error_text};

use crate::sys::{self, Errno};

/// The exit status of a program that could not be started, as in a shell.
pub(crate) const CANNOT_START: usize = 127;

/// Speaks of one program, as loud as it is asked to.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) level: Level,
    /// The name under which the program was started.
    pub(crate) program: &'a CStr,
}

/// Where the path of the loader comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `NIX_LD`.
    Variable,
    /// `NIX_LD_x86_64_linux`, or its like.
    SystemVariable,
    /// Built in.
    Default,
    /// Built in, because the program has rights that its caller has not.
    Secure,
}

/// What went wrong with the loader.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    Kernel(&'static str, Errno),
    Fault(Fault),
    /// It is the shim.
    Itself,
    /// The kernel has not told what the shim has to know.
    NoEntry,
}

fn write(text: &[u8]) {
    sys::write_error(text);
}

impl Report<'_> {
    /// A line to be filled, if this much is to be said.
    pub(crate) fn line(&self, level: Level, speak: impl FnOnce(&mut Message<fn(&[u8])>)) {
        if level <= self.level {
            say_line(level, speak);
        }
    }

    /// Says why the program cannot be started and what mends it, and ends the process.
    #[cold]
    #[inline(never)]
    pub(crate) fn give_up(&self, loader: &CStr, origin: Origin, trouble: Trouble) -> ! {
        // Whatever the level: nobody else will say it.
        let always = Report { level: Level::Error, ..*self };
        always.line(Level::Error, |line| {
            line.say("cannot start ").name(self.program.to_bytes());
            line.say(": the loader ").name(loader.to_bytes()).say(": ");
            match trouble {
                Trouble::Kernel(act, error) => say_error(line, act, error),
                Trouble::Fault(fault) => say_fault(line, fault),
                Trouble::Itself => {
                    line.say("this is pitstop-ld itself, not a loader");
                }
                Trouble::NoEntry => {
                    line.say("the kernel gives no AT_ENTRY or no AT_BASE");
                }
            }
        });
        always.line(Level::Error, |line| {
            let system = crate::arch::SYSTEM;
            match origin {
                Origin::Variable => line.say("NIX_LD names this loader: set it to that of a glibc"),
                Origin::SystemVariable => {
                    line.say("NIX_LD_").say(system).say(" names this loader: set it to that of a glibc")
                }
                Origin::Default => {
                    line.say("set programs.pitstop.enable = true; in the NixOS configuration, or NIX_LD")
                }
                Origin::Secure => line.say("set programs.pitstop.enable = true; in the NixOS configuration"),
            };
            match origin {
                Origin::Variable | Origin::SystemVariable => {
                    line.say(" (…/lib/ld-linux-x86-64.so.2), or unset it")
                }
                Origin::Default => line.say(" to the loader of a glibc (…/lib/ld-linux-x86-64.so.2)"),
                Origin::Secure => line.say("; a program with special rights does not look at NIX_LD"),
            };
        });
        sys::exit(CANNOT_START)
    }
}

/// Out of line: its buffer has no place in the frames of a start that has nothing to say.
#[cold]
#[inline(never)]
fn say_line(level: Level, speak: impl FnOnce(&mut Message<fn(&[u8])>)) {
    let mut line = Message::new(write as fn(&[u8]));
    line.say("pitstop-ld: ");
    if level == Level::Warn {
        line.say("warning: ");
    }
    speak(&mut line);
    line.end();
}

fn say_error(line: &mut Message<fn(&[u8])>, act: &str, error: Errno) {
    line.say(act).say(": ");
    match error_text(error.0) {
        Some((name, words)) => line.say(words).say(" (").say(name).say(")"),
        None => line.say("error ").number(error.0),
    };
}

fn say_fault(line: &mut Message<fn(&[u8])>, fault: Fault) {
    match fault {
        Fault::Empty => line.say("the file is empty"),
        Fault::NotElf => line.say("it is not an ELF file"),
        Fault::OtherClass => {
            line.say("it is an ELF file of another class or byte order (not 64-bit, little-endian)")
        }
        Fault::OtherMachine(number) => {
            line.say("it is made for another machine (e_machine ").number(usize::from(number)).say(")")
        }
        Fault::Program => line.say("it is a program linked to fixed addresses, not a loader"),
        Fault::NeedsLoader => line.say("it needs a loader itself (PT_INTERP), and is none"),
        Fault::OtherType(number) => {
            line.say("it is no shared object (e_type ").number(usize::from(number)).say(")")
        }
        Fault::Truncated => line.say("it is truncated: it ends before the last byte of its segments"),
        Fault::Malformed(what) => line.say("it is malformed: ").say(match what {
            Malformed::ProgramHeaders => "its program headers have an impossible size, number or place",
            Malformed::Segments => "it has no segment to map",
            Malformed::Segment => "a segment has an impossible size, offset, alignment or place",
            Malformed::Entry => "its entry lies outside its code",
        }),
    };
}
