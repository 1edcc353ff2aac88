//! Opening a loader, looking at it, and mapping it into the process.

use core::ffi::CStr;

use pitstop_ld::elf::{self, Fault, Header, Machine, PF_R, PF_W, PF_X, Plan, Source};
use pitstop_ld::message::Level;

use crate::arch;
use crate::report::{Report, Trouble};
use crate::sys::{self, ENOENT, Errno};

/// Bytes that are read at first: the header and, in every loader known, the program headers.
const FIRST_READ: usize = 1024;
/// The longest path that the kernel takes, with its NUL.
const PATH_MAX: usize = 4096;

/// A loader that can be mapped.
pub(crate) struct Loader {
    file: usize,
    plan: Plan,
}

/// Where a loader came to lie.
pub(crate) struct Mapped {
    /// What `AT_BASE` becomes.
    pub(crate) base: usize,
    /// Where it begins.
    pub(crate) entry: usize,
}

impl Loader {
    /// Opens the file and looks whether it can be a loader.
    pub(crate) fn open(path: &CStr, page_size: usize) -> Result<Loader, Trouble> {
        let file = open(path).map_err(|error| Trouble::Kernel("cannot be opened", error))?;
        let mut first = [0; FIRST_READ];
        let first = read(file, &mut first, 0)?;
        let machine = Machine { number: arch::MACHINE, page_size };
        let header = Header::read(first, machine).map_err(Trouble::Fault)?;
        if is_own(first) {
            return Err(Trouble::Itself);
        }
        let length = sys::length(file).map_err(|error| Trouble::Kernel("cannot be measured", error))?;
        let table = first.get(header.table_offset..).and_then(|rest| rest.get(..header.table_len));
        let plan = match table {
            Some(table) => Plan::new(header, table, length, machine),
            None => plan_far(file, header, length, machine)?,
        };
        Ok(Loader { file, plan: plan.map_err(Trouble::Fault)? })
    }

    /// Closes the file of a loader that is not to be mapped.
    pub(crate) fn close(self) {
        sys::close(self.file);
    }

    /// Maps it, as the kernel would have.
    pub(crate) fn map(self, report: Report<'_>) -> Result<Mapped, Trouble> {
        let Loader { file, plan } = self;
        let cannot = |error| Trouble::Kernel("cannot be mapped", error);
        let reserve = plan.reserve;
        let Source::File(offset) = reserve.source else { return Err(Trouble::NoEntry) };
        let start = sys::map_file(file, offset, reserve.len, protection(reserve.flags)).map_err(cannot)?;
        for act in plan.acts() {
            let at = start.wrapping_add(act.at);
            let (len, allowed) = (act.len, protection(act.flags));
            // SAFETY: the plan's acts lie in the range that was reserved above, in which nothing is yet.
            unsafe {
                match act.source {
                    Source::File(offset) => sys::map_file_at(at, file, offset, len, allowed),
                    Source::Zeros => sys::map_zeros_at(at, len, allowed),
                    Source::Hole => sys::map_zeros_at(at, len, 0),
                }
            }
            .map_err(cannot)?;
            report.line(Level::Trace, |line| {
                line.say("mapped ").number(len).say(" bytes at ").address(at);
            });
        }
        for tail in plan.tails() {
            let at = start.wrapping_add(tail.at) as *mut u8;
            // SAFETY: the plan's tails lie in pages that can be written and that were mapped above from a file which is
            // long enough.
            unsafe { at.write_bytes(0, tail.len) };
        }
        sys::close(file);
        // The file's addresses begin at `plan.first`; where that is not 0, the base may lie below all memory.
        let base = start.wrapping_sub(plan.first);
        report.line(Level::Debug, |line| {
            line.say("the loader lies at ")
                .address(start)
                .say(" (gdb: add-symbol-file LOADER -o ")
                .address(base);
            line.say(")");
        });
        Ok(Mapped { base, entry: start.wrapping_add(plan.entry) })
    }
}

fn read(file: usize, buffer: &mut [u8], offset: usize) -> Result<&[u8], Trouble> {
    sys::read_at(file, buffer, offset).map_err(|error| Trouble::Kernel("cannot be read", error))
}

/// Opens a file. nix-ld forgives a newline at the end of its name, as it stands in the file `dynamic-linker` of Nix's
/// compiler wrapper, and so do we.
fn open(path: &CStr) -> Result<usize, Errno> {
    let opened = sys::open(path);
    match path.to_bytes().strip_suffix(b"\n") {
        Some(shorter) if opened == Err(ENOENT) => open_shorter(shorter).unwrap_or(opened),
        _ => opened,
    }
}

/// Opens the file of a name that has no NUL yet, if it is not too long.
#[cold]
#[inline(never)]
fn open_shorter(name: &[u8]) -> Option<Result<usize, Errno>> {
    let mut buffer = [0; PATH_MAX];
    let place = buffer.get_mut(..name.len())?;
    place.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
    CStr::from_bytes_until_nul(&buffer).ok().map(sys::open)
}

/// Plans the mapping of a file whose program headers lie far from its beginning. By itself, for its buffer takes a page of
/// the stack.
#[cold]
#[inline(never)]
fn plan_far(
    file: usize,
    header: Header,
    length: usize,
    machine: Machine,
) -> Result<Result<Plan, Fault>, Trouble> {
    let mut far = [0; elf::PROGRAM_HEADERS_MAX * elf::PROGRAM_HEADER_LEN];
    let far = far.get_mut(..header.table_len).unwrap_or_default();
    Ok(Plan::new(header, read(file, far, header.table_offset)?, length, machine))
}

/// Whether a file begins as the shim does: it would look for its loader, find itself, and so on for ever.
fn is_own(first: &[u8]) -> bool {
    let own = arch::own_header();
    // The header and five program headers, as the linker script has them.
    let len = elf::HEADER_LEN + 5 * elf::PROGRAM_HEADER_LEN;
    // SAFETY: these are the first bytes of our own segment, which is longer.
    let own = unsafe { core::slice::from_raw_parts(own, len) };
    first.get(..len) == Some(own)
}

/// The kernel's names for what a segment allows.
fn protection(flags: u32) -> usize {
    const PROT_READ: usize = 1;
    const PROT_WRITE: usize = 2;
    const PROT_EXEC: usize = 4;
    let bit = |flag, protection| if flags & flag != 0 { protection } else { 0 };
    bit(PF_R, PROT_READ) | bit(PF_W, PROT_WRITE) | bit(PF_X, PROT_EXEC)
}
