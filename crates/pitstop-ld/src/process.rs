//! What the kernel tells a new process, read once.

use core::ffi::CStr;

use pitstop_ld::auxv::Facts;
use pitstop_ld::farm;
use pitstop_ld::message::Level;
use pitstop_ld::stack::Layout;
use pitstop_ld::variables::Variables;

use crate::arch;
use crate::report::Report;
use crate::sys::{self, EINVAL};

/// The longest path that the kernel takes, with its NUL.
pub(crate) const PATH_MAX: usize = 4096;

/// The program behind every process.
const PROGRAM: &CStr = c"/proc/self/exe";

/// Where a script's name stands at most: the kernel follows five interpreters, each with an argument (fs/binfmt_script.c).
const SCRIPT_ARGUMENTS_MAX: usize = 10;

/// What lies on the stack at the start.
pub(crate) struct Process<'a> {
    pub(crate) stack: *mut usize,
    pub(crate) layout: Layout,
    pub(crate) facts: Facts,
    /// None at all under `AT_SECURE`.
    pub(crate) variables: Variables<'a>,
    /// The name under which the program was started.
    pub(crate) name: &'a CStr,
}

impl<'a> Process<'a> {
    /// Reads it.
    ///
    /// # Safety
    ///
    /// `stack` is the stack pointer at the start of the process, and the texts that it leads to stay as they are for `'a`.
    pub(crate) unsafe fn read(stack: *mut usize) -> Process<'a> {
        // SAFETY: the kernel has put each part there, with its end.
        let layout = Layout::measure(|index| unsafe { *stack.add(index) });
        let vector = layout.vector();
        // SAFETY: the range has just been measured; nobody writes to it while the slice is read.
        let facts =
            Facts::read(unsafe { core::slice::from_raw_parts(stack.add(vector.start), vector.len()) });
        let mut variables = Variables::default();
        if !facts.secure {
            // SAFETY: the range has just been measured.
            let pointers =
                unsafe { core::slice::from_raw_parts(stack.add(layout.variables_start()), layout.variables) };
            for (index, pointer) in pointers.iter().enumerate() {
                let text = *pointer as *const u8;
                // SAFETY: the kernel has put a text with its NUL there. Looking at the first byte saves reading all of
                // them to their ends.
                if Variables::may_begin_with(unsafe { *text }) {
                    // SAFETY: the same.
                    variables.note(index, unsafe { CStr::from_ptr(text.cast()) }, arch::SYSTEM.as_bytes());
                }
            }
        }
        let name = if facts.name == 0 {
            c"a program without a name"
        } else {
            // SAFETY: the kernel has put a text with its NUL there.
            unsafe { CStr::from_ptr(facts.name as *const _) }
        };
        Process { stack, layout, facts, variables, name }
    }

    /// Bytes of a page.
    pub(crate) fn page_size(&self) -> usize {
        if self.facts.page_size == 0 { arch::PAGE_SIZE } else { self.facts.page_size }
    }

    /// The arguments, with the program's own name first.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &'a CStr> {
        let stack = self.stack;
        // SAFETY: `argc` pointers follow `argc`, each to a text with its NUL.
        (1..=self.layout.arguments).map(move |index| unsafe { CStr::from_ptr(*stack.add(index) as *const _) })
    }

    /// The caller's own `LD_LIBRARY_PATH`; empty where unset.
    pub(crate) fn callers_path(&self) -> &'a [u8] {
        self.variables.search.map_or(b"", |(_, value)| value.to_bytes())
    }
}

/// Looks for the program's own libraries, and puts the path into `buffer`. Gives its length, if there are any.
pub(crate) fn find_farm(
    process: &Process<'_>,
    buffer: &mut [u8; PATH_MAX],
    report: Report<'_>,
) -> Option<usize> {
    let mut len = own_path(process, buffer)?;
    for _ in 0..2 {
        let place = farm::beside(buffer, len)?;
        len = place.folder_len;
        let Ok(path) = CStr::from_bytes_until_nul(buffer) else { continue };
        let Ok(status) = sys::link_status(path) else { continue };
        let owner = sys::status(PROGRAM).ok()?.owner;
        if status.is_folder_or_link() && status.owner == owner {
            return Some(place.len);
        }
        report.line(Level::Warn, |line| {
            line.name(path.to_bytes()).say(" is passed over: ");
            line.say(if status.owner == owner {
                "it is neither a folder nor a link to one"
            } else {
                "it does not belong to the program's owner"
            });
        });
    }
    None
}

/// Puts the path of the program's file into `buffer`, and gives its length.
///
/// The name under which it was started is that path where it is absolute and no link. `/proc/self/exe` always is, but to make
/// the process's folder in /proc, and to remove it at the end, takes the kernel longer than all that the shim does for this
/// otherwise. A script's name is not its interpreter's; that gets it among its arguments.
fn own_path(process: &Process<'_>, buffer: &mut [u8; PATH_MAX]) -> Option<usize> {
    let name = process.name.to_bytes();
    let is_script =
        process.arguments().skip(1).take(SCRIPT_ARGUMENTS_MAX).any(|argument| argument == process.name);
    if name.starts_with(b"/") && !is_script && sys::read_link(process.name, buffer).err() == Some(EINVAL) {
        let place = buffer.get_mut(..name.len())?;
        for (place, byte) in place.iter_mut().zip(name) {
            *place = *byte;
        }
        return Some(name.len());
    }
    Some(sys::read_link(PROGRAM, buffer).ok()?.len())
}
