//! The shim started by hand, as `pitstop-ld [OPTION]… PROGRAM [ARGUMENT]…`: the real loader is executed in its place, so that
//! everything is as with the real one, but for its search path.

use core::ffi::CStr;

use pitstop_ld::message::Level;
use pitstop_ld::options::Options;
use pitstop_ld::search::Search;
use pitstop_ld::variables::SEARCH;

use crate::process::Process;
use crate::report::{self, Origin, Report, Trouble};
use crate::{DEFAULT_LOADER, DEFAULT_PATH, arch, mapping, sys};

/// The real loader's own option: no variable is needed, and no child sees one.
const OPTION: &CStr = c"--library-path";

/// Executes the real loader with the arguments that the shim was given.
#[cold]
#[inline(never)]
pub(crate) fn start(process: &Process<'_>, report: Report<'_>, path: &CStr, origin: Origin) -> ! {
    if process.layout.arguments <= 1 {
        explain();
        sys::exit(report::CANNOT_START);
    }
    let options = Options::read(process.arguments().skip(1));
    let report = Report { program: options.program.unwrap_or(report.program), ..report };
    // The kernel would say of all but the worst files that they are no programs.
    if let Err(trouble) = mapping::check(path, process.page_size()) {
        report.give_up(path, origin, trouble);
    }
    let stack = process.stack;
    // SAFETY: the arguments follow `argc`, and the variables follow those and a null.
    let (mut arguments, variables) = unsafe { (stack.add(1), stack.add(process.layout.variables_start())) };
    if !options.has_library_path && !process.facts.secure {
        let ours = process.variables.path().map_or(DEFAULT_PATH.as_bytes(), CStr::to_bytes);
        let search = Search { callers: process.callers_path(), farm: b"", ours };
        let text = match sys::memory(search.len()) {
            Ok(text) => text,
            Err(error) => report.give_up(path, origin, Trouble::Kernel("its search path", error)),
        };
        search.write(text);
        let value = text.get(SEARCH.len()..).unwrap_or_default();
        report.line(Level::Info, |line| {
            line.say("--library-path ").name(value.strip_suffix(b"\0").unwrap_or_default());
        });
        // The list begins two words earlier, at the one below `argc`, which makes place for two arguments.
        //
        // SAFETY: those words, and the first argument's, are nobody else's: room lies below the block.
        unsafe {
            arguments = arguments.sub(2);
            *arguments.add(1) = OPTION.as_ptr() as usize;
            *arguments.add(2) = value.as_ptr() as usize;
        }
    }
    // The real loader takes the first argument for its own path, and so do those who look for its symbols.
    //
    // SAFETY: the word is the first argument's, or the one below `argc`.
    unsafe { *arguments = path.as_ptr() as usize };
    // SAFETY: both lists are the kernel's own, with their ends; what was put in leads to texts with a NUL.
    let error = unsafe { sys::execute(path, arguments, variables) };
    report.give_up(path, origin, Trouble::Kernel("cannot be executed", error))
}

/// Says what the shim is.
fn explain() {
    let report = Report { level: Level::Error, program: c"" };
    let line = |words: &str, value: &str| {
        report.line(Level::Error, |line| {
            line.say(words).say(value);
        });
    };
    line("stands where programs made for other Linux systems look for their loader,", "");
    line("and hands over to the real one. By hand: pitstop-ld [OPTION]... PROGRAM [ARGUMENT]...", "");
    line("the loader: NIX_LD_", arch::SYSTEM);
    line("  else NIX_LD, else ", DEFAULT_LOADER.trim_end_matches('\0'));
    line("searched after LD_LIBRARY_PATH: NIX_LD_LIBRARY_PATH_", arch::SYSTEM);
    line("  else NIX_LD_LIBRARY_PATH, else pitstop-libs beside the program, then ", DEFAULT_PATH);
    line("messages: NIX_LD_LOG=off, error, warn, info, debug or trace", "");
}
