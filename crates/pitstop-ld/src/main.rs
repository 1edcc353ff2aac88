//! `pitstop-ld`: stands where foreign programs look for their loader, and hands over to the real one.
//!
//! A start, step by step:
//!
//! 1. The kernel maps the program and, as its loader, the shim, and enters [`arch`]'s `_start` with the stack pointer at
//!    `argc`. `_start` leaves room below it and calls [`begin`].
//! 2. [`Process`] measures what lies on the stack and reads the auxiliary vector and the variables.
//! 3. [`mapping`] opens the real loader, looks at its headers and maps it, as the kernel would have.
//! 4. `AT_BASE` becomes the real loader's, `AT_ENTRY` our trampoline's, and `LD_LIBRARY_PATH` the path that is to be
//!    searched; [`pitstop_ld::stack`] has the picture.
//! 5. `_start` goes to the real loader, with the stack pointer at the moved block.
//! 6. The real loader does its work and goes to `AT_ENTRY`: the trampoline. It calls [`end`], which puts environment and
//!    `AT_ENTRY` back, and goes to the program.
//!
//! Where the program has rights that its caller has not (`AT_SECURE`), only step 3 happens, with the loader that is built
//! in, and `AT_BASE` is set: no variable is honoured and none is added.
//!
//! The shim is one segment that is read and executed, and one page that `_start` relocates and makes read-only. It has no
//! memory of its own but the stack: a `static` that can be written does not link (`shim.ld`).
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "a program without a libc reads its stack and calls the kernel by itself")]

#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
mod arch;
mod by_hand;
mod mapping;
mod process;
mod report;
mod sys;

use core::ffi::CStr;

use pitstop_ld::message::Level;
use pitstop_ld::search::Search;
use pitstop_ld::stack::{self, Change, RECORD_LEN, Record};

use process::Process;
use report::{Origin, Report, Trouble};

/// The loader where no variable names one.
const DEFAULT_LOADER: &str = concat!(env!("PITSTOP_LD_DEFAULT"), "\0");
/// The search path where no variable names one.
const DEFAULT_PATH: &str = env!("PITSTOP_LD_DEFAULT_LIBRARY_PATH");

/// Where `_start` goes, and with which stack pointer.
#[repr(C)]
struct Handover {
    entry: usize,
    stack: *mut usize,
}

/// Finds the real loader, maps it and makes the process ready for it.
///
/// # Safety
///
/// `stack` is the stack pointer at the start of the process, and the [`arch::ROOM`] bytes below are free.
unsafe extern "C" fn begin(stack: *mut usize) -> Handover {
    // SAFETY: as the caller says.
    let process = unsafe { Process::read(stack) };
    let mut report = Report { level: Level::DEFAULT, program: process.name };
    if let Some(log) = process.variables.log {
        match Level::read(log.to_bytes()) {
            Some(level) => report.level = level,
            None => report.line(Level::Warn, |line| {
                line.say("NIX_LD_LOG=").name(log.to_bytes());
                line.say(" is none of off, error, warn, info, debug, trace");
            }),
        }
    }
    let (path, origin) = loader_path(&process);
    report.line(Level::Info, |line| {
        line.say("the loader is ").name(path.to_bytes()).say(match origin {
            Origin::Variable | Origin::SystemVariable => ", from the environment",
            Origin::Default | Origin::Secure => ", built in",
        });
    });
    if process.facts.base == 0 {
        by_hand::start(&process, report, path, origin);
    }
    let give_up = |trouble| -> ! { report.give_up(path, origin, trouble) };
    let mapped = mapping::map(path, process.page_size(), report).unwrap_or_else(|trouble| give_up(trouble));
    let (Some(base_at), Some(entry_at)) = (process.facts.base_at, process.facts.entry_at) else {
        give_up(Trouble::NoEntry)
    };
    // SAFETY: the index comes from reading the vector, which lies there.
    unsafe { *stack.add(process.layout.vector().start + base_at) = mapped.base };
    if process.facts.secure {
        return Handover { entry: mapped.entry, stack };
    }
    let ours = process.variables.path();
    // SAFETY: as the caller says, and nothing else refers to the block.
    let stack = unsafe {
        match ours {
            // The default itself is what the NixOS module sets in every session: nobody's choice for this program.
            Some(path) if path.to_bytes() != DEFAULT_PATH.as_bytes() => {
                let search = Search { callers: process.callers_path(), farm: b"", ours: path.to_bytes() };
                lead(&process, search, entry_at, report)
            }
            _ => lead_by_default(&process, entry_at, report),
        }
    };
    Handover { entry: mapped.entry, stack: stack.unwrap_or_else(|trouble| give_up(trouble)) }
}

/// [`lead`] where no variable names a path: with the program's own libraries, if it has any, and the default path.
///
/// Not part of `begin`, whose frame would take up pages of the stack for the buffer even where it is not needed.
///
/// # Safety
///
/// As for [`lead`].
#[inline(never)]
unsafe fn lead_by_default(
    process: &Process<'_>,
    entry_at: usize,
    report: Report<'_>,
) -> Result<*mut usize, Trouble> {
    let mut farm = [0; process::PATH_MAX];
    let len = process::find_farm(process, &mut farm, report).unwrap_or_default();
    let farm = farm.get(..len).unwrap_or_default();
    let search = Search { callers: process.callers_path(), farm, ours: DEFAULT_PATH.as_bytes() };
    // SAFETY: as the caller says.
    unsafe { lead(process, search, entry_at, report) }
}

/// The loader to hand over to, and who names it.
fn loader_path<'a>(process: &Process<'a>) -> (&'a CStr, Origin) {
    match process.variables.loader() {
        Some((path, true)) => (path, Origin::SystemVariable),
        Some((path, false)) => (path, Origin::Variable),
        None => {
            let origin = if process.facts.secure { Origin::Secure } else { Origin::Default };
            (CStr::from_bytes_until_nul(DEFAULT_LOADER.as_bytes()).unwrap_or_default(), origin)
        }
    }
}

/// Gives the real loader its search path, and the program its entry by way of the trampoline. Gives the new stack pointer.
///
/// # Safety
///
/// The block of the process, and [`arch::ROOM`] bytes below it, are there and nobody else's.
unsafe fn lead(
    process: &Process<'_>,
    search: Search<'_>,
    entry_at: usize,
    report: Report<'_>,
) -> Result<*mut usize, Trouble> {
    const WORD: usize = size_of::<usize>();
    let variable = process.variables.search.map(|(index, _)| index);
    let fixed = stack::move_min(variable) * WORD;
    let text_len = search.len();
    let is_on_stack = text_len <= arch::ROOM - fixed - arch::STACK_ALIGN;
    let room = if is_on_stack { fixed + text_len } else { fixed };
    let by = room.next_multiple_of(arch::STACK_ALIGN) / WORD;
    let text = if is_on_stack {
        // SAFETY: the block's end, less the text and what aligns it, is behind the record.
        unsafe { process.stack.add(process.layout.len()).cast::<u8>().sub(text_len) }
    } else {
        let memory = sys::memory(text_len).map_err(|error| Trouble::Kernel("its search path", error))?;
        memory.as_mut_ptr()
    };
    let cut = process
        .variables
        .search
        .map_or(0, |(_, value)| pitstop_ld::variables::SEARCH.len() + value.count_bytes());
    let change = Change {
        text: text as usize,
        variable,
        // The NUL of the text is an empty text.
        filler: text as usize + text_len - 1,
        cut,
        entry: arch::trampoline_address(),
    };
    // SAFETY: `by` words are less than the room.
    let moved = unsafe { process.stack.sub(by) };
    // SAFETY: the room and the block are there and nobody else's.
    let words = unsafe { core::slice::from_raw_parts_mut(moved, by + process.layout.len()) };
    stack::change(words, process.layout, change, entry_at).ok_or(Trouble::NoEntry)?;
    // SAFETY: the block has moved out of the way, and `search` is made of texts that lie elsewhere.
    search.write(unsafe { core::slice::from_raw_parts_mut(text, text_len) });
    report.line(Level::Info, |line| {
        // SAFETY: just written, with its NUL at the end.
        line.say("for the loader: ").name(unsafe { core::slice::from_raw_parts(text, text_len - 1) });
    });
    Ok(moved)
}

/// Puts back what the caller gave, and gives the program's entry.
///
/// # Safety
///
/// `stack` is the stack pointer with which the real loader enters the program, above which [`lead`] has put its record.
unsafe extern "C" fn end(stack: *mut usize) -> usize {
    // SAFETY: the record lies above, and the stack has no gap.
    let at = Record::find(|index| unsafe { *stack.add(index) });
    // SAFETY: all up to the end of the record was there for `lead`, and nobody else runs on this stack.
    let words = unsafe { core::slice::from_raw_parts_mut(stack, at + RECORD_LEN) };
    let Some(record) = stack::restore(words) else { sys::exit(report::CANNOT_START) };
    // SAFETY: the text is ours, and longer than the caller's part of it.
    unsafe { *((record.text + record.cut) as *mut u8) = 0 };
    record.entry
}

/// No code of the shim can panic; a test looks for this text in what was built.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::write_error(b"pitstop-ld: broken\n");
    sys::exit(report::CANNOT_START)
}
