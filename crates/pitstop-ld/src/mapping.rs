//! Opening a loader, looking at it, and mapping it into the process.

use core::ffi::CStr;

use pitstop_ld::elf::{self, Header, Machine, PF_R, PF_W, PF_X, Plan, Source, Step};
use pitstop_ld::message::Level;

use crate::arch;
use crate::report::{Report, Trouble};
use crate::sys::{self, ENOENT, Errno};

/// Bytes for the header and the program headers: all of them in every loader known.
const FIRST_READ: usize = 1024;
/// The longest path that the kernel takes, with its NUL.
const PATH_MAX: usize = 4096;

/// Where a loader came to lie.
pub(crate) struct Mapped {
    /// What `AT_BASE` becomes.
    pub(crate) base: usize,
    /// Where it begins.
    pub(crate) entry: usize,
}

/// Opens the file, looks whether it can be a loader, and maps it, as the kernel would have.
pub(crate) fn map(path: &CStr, page_size: usize, report: Report<'_>) -> Result<Mapped, Trouble> {
    with_plan(path, page_size, |file, plan| carry_out(file, &plan, report))
}

/// Opens the file and looks whether it can be a loader.
pub(crate) fn check(path: &CStr, page_size: usize) -> Result<(), Trouble> {
    with_plan(path, page_size, |_, _| Ok(()))
}

fn with_plan<T>(
    path: &CStr,
    page_size: usize,
    carry_out: impl FnOnce(usize, Plan<'_>) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let file = open(path).map_err(|error| Trouble::Kernel("cannot be opened", error))?;
    let mut first = [0; FIRST_READ];
    let first = read(file, &mut first, 0)?;
    let machine = Machine { number: arch::MACHINE, page_size };
    let header = Header::read(first, machine).map_err(Trouble::Fault)?;
    if is_own(first) {
        return Err(Trouble::Itself);
    }
    let length = sys::length(file).map_err(|error| Trouble::Kernel("cannot be measured", error))?;
    let done = match first.get(header.table_offset..).and_then(|rest| rest.get(..header.table_len)) {
        Some(table) => carry_out(file, Plan::new(header, table, length, machine).map_err(Trouble::Fault)?),
        None => with_far_table(file, header, |table| {
            carry_out(file, Plan::new(header, table, length, machine).map_err(Trouble::Fault)?)
        }),
    };
    sys::close(file);
    done
}

/// Reads a program header table that does not lie right behind the header.
#[inline(never)]
fn with_far_table<T>(
    file: usize,
    header: Header,
    then: impl FnOnce(&[u8]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut table = [0; elf::PROGRAM_HEADERS_MAX * elf::PROGRAM_HEADER_LEN];
    let table = table.get_mut(..header.table_len).unwrap_or_default();
    then(read(file, table, header.table_offset)?)
}

fn carry_out(file: usize, plan: &Plan<'_>, report: Report<'_>) -> Result<Mapped, Trouble> {
    let cannot = |error| Trouble::Kernel("cannot be mapped", error);
    let reserve = plan.reserve;
    let Source::File(offset) = reserve.source else { return Err(Trouble::NoEntry) };
    let start = sys::map_file(file, offset, reserve.len, protection(reserve.flags)).map_err(cannot)?;
    plan.steps(|step| {
        match step {
            Step::Map(act) => {
                let (at, len, allowed) = (start.wrapping_add(act.at), act.len, protection(act.flags));
                report.line(Level::Trace, |line| {
                    line.say("maps ").number(len).say(" bytes at ").address(at);
                });
                // SAFETY: the plan's steps lie in the range that was reserved above, in which nothing is yet.
                unsafe {
                    match act.source {
                        Source::File(offset) => sys::map_file_at(at, file, offset, len, allowed),
                        Source::Zeros => sys::map_zeros_at(at, len, allowed),
                        Source::Hole => sys::map_zeros_at(at, len, 0),
                    }
                }
            }
            Step::Clear(tail) => {
                let at = start.wrapping_add(tail.at) as *mut u8;
                // SAFETY: these bytes lie in a page that can be written, and that was mapped from a file which is long
                // enough.
                unsafe { at.write_bytes(0, tail.len) };
                Ok(())
            }
        }
    })
    .map_err(cannot)?;
    // The file's addresses begin at `plan.first`; where that is not 0, the base may lie below all memory.
    let base = start.wrapping_sub(plan.first);
    report.line(Level::Debug, |line| {
        line.say("the loader lies at ").address(start).say(" (gdb: add-symbol-file LOADER -o ").address(base);
        line.say(")");
    });
    Ok(Mapped { base, entry: start.wrapping_add(plan.entry) })
}

fn read(file: usize, buffer: &mut [u8], offset: usize) -> Result<&[u8], Trouble> {
    sys::read_at(file, buffer, offset).map_err(|error| Trouble::Kernel("cannot be read", error))
}

/// Opens a file. nix-ld forgives a newline at the end of its name, as it stands in the file `dynamic-linker` of Nix's
/// compiler wrapper, and so do we.
fn open(path: &CStr) -> Result<usize, Errno> {
    let opened = sys::open(path);
    match path.to_bytes().strip_suffix(b"\n") {
        Some(shorter) if opened == Err(ENOENT) => open_shorter(shorter),
        _ => opened,
    }
}

#[inline(never)]
fn open_shorter(path: &[u8]) -> Result<usize, Errno> {
    let mut buffer = [0; PATH_MAX];
    for (place, byte) in buffer.iter_mut().zip(path) {
        *place = *byte;
    }
    CStr::from_bytes_until_nul(&buffer).map_or(Err(ENOENT), sys::open)
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
