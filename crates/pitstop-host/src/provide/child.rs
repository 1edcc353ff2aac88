//! Running the tools of others: their lines as they come, their last words, and an end to them when we are told to stop.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;

/// A wish to stop, that a signal handler or another thread may express.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks for a stop. Only stores a flag, so it may be called in a signal handler.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for those who set it by other means.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Which of its streams a child wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

/// A child that came to its end by itself.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    /// The last lines of standard error.
    pub(super) errors: String,
}

/// Variables that act on every program that the dynamic loader starts. Somebody set them for one program, and tools
/// such as `git` or `apt-get` break when they load that program's libraries.
const HARMFUL: [&str; 4] = ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_BIND_NOT"];

/// How many lines of standard error are kept.
const ERROR_LINES_LIMIT: usize = 400;
/// How long a line may be. An evaluation's answer is one line.
const LINE_BYTES_LIMIT: u64 = 64 << 20;
/// How often the interrupt is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a child may take to obey before it is killed, and a grandchild to let go of the streams.
const GRACE: Duration = Duration::from_secs(2);

/// A command for one of the tools, with an environment that does it no harm and nothing to read.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in HARMFUL {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end, giving each line to `on_line` as it comes, without its terminator.
pub(super) fn run(
    command: &mut Command,
    missing_hint: &str,
    interrupt: &Interrupt,
    on_line: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Finished, Error> {
    if interrupt.is_requested() {
        return Err(Error::Interrupted);
    }
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Ended(spawned.map_err(|error| start_failed(command, missing_hint, &error))?);
    let (sender, lines) = mpsc::channel();
    if let (Some(output), Some(errors)) = (child.0.stdout.take(), child.0.stderr.take()) {
        read_lines(output, Stream::Output, sender.clone());
        read_lines(errors, Stream::Error, sender);
    }

    let mut output = Vec::new();
    let mut errors: VecDeque<Vec<u8>> = VecDeque::new();
    let mut ended_at: Option<Instant> = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok((stream, line)) => {
                on_line(stream, line.strip_suffix(b"\n").unwrap_or(&line));
                if stream == Stream::Output {
                    output.extend_from_slice(&line);
                } else {
                    if errors.len() == ERROR_LINES_LIMIT {
                        errors.pop_front();
                    }
                    errors.push_back(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // The child may have left a helper behind that keeps the streams open.
            Err(RecvTimeoutError::Timeout) if child.0.try_wait()?.is_some() => {
                if ended_at.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupt.is_requested() {
            return Err(Error::Interrupted);
        }
    }
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        if interrupt.is_requested() {
            return Err(Error::Interrupted);
        }
        thread::sleep(Duration::from_millis(1));
    };
    let errors = String::from_utf8_lossy(&errors.into_iter().flatten().collect::<Vec<u8>>()).into_owned();
    Ok(Finished { status, output, errors })
}

fn start_failed(command: &Command, missing_hint: &str, error: &std::io::Error) -> Error {
    let program = command.get_program().to_string_lossy().into_owned();
    match error.kind() {
        ErrorKind::NotFound => Error::ToolMissing { program, hint: missing_hint.to_owned() },
        _ => Error::ToolFailed { program, words: error.to_string(), hint: None },
    }
}

/// Sends what comes, line by line, until the stream ends.
fn read_lines(stream: impl Read + Send + 'static, name: Stream, sender: Sender<(Stream, Vec<u8>)>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LINE_BYTES_LIMIT).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) || sender.send((name, line)).is_err() {
                return;
            }
        }
    });
}

/// A child that does not outlive our interest in it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        // A package manager tidies up when it is asked to end; killed, it would leave its locks and temporary files.
        if let Ok(id) = i32::try_from(self.0.id())
            && let Some(id) = rustix::process::Pid::from_raw(id)
        {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let asked_at = Instant::now();
        while asked_at.elapsed() < GRACE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = command("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_come_from_both_streams() {
        let mut seen = Vec::new();
        let finished = run(
            &mut shell("echo one; echo two >&2; printf three; exit 3"),
            "",
            &Interrupt::default(),
            &mut |stream, line| seen.push((stream, String::from_utf8(line.to_vec()).unwrap())),
        )
        .unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.output, b"one\nthree");
        assert_eq!(finished.errors, "two\n");
        seen.sort_by_key(|(stream, _)| *stream == Stream::Error);
        assert_eq!(seen.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(), ["one", "three", "two"]);
    }

    #[test]
    fn an_interrupt_ends_the_child() {
        let interrupt = Interrupt::default();
        let remote = interrupt.clone();
        let started = Instant::now();
        let result = run(&mut shell("echo $$; exec sleep 60"), "", &interrupt, &mut |_, _| remote.request());
        assert!(matches!(result, Err(Error::Interrupted)));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_left_behind_helper_does_not_hold_us_up() {
        let started = Instant::now();
        let finished =
            run(&mut shell("sleep 20 & echo done"), "", &Interrupt::default(), &mut |_, _| {}).unwrap();
        assert!(finished.status.success());
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_missing_tool_is_named_with_the_way_to_get_it() {
        let mut command = command("/nonexistent/tool");
        let error = run(&mut command, "Install it", &Interrupt::default(), &mut |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "`/nonexistent/tool` was not found");
        assert_eq!(error.hint().as_deref(), Some("Install it"));
    }

    #[test]
    fn loader_variables_do_not_reach_the_child() {
        let command = command("true");
        for name in HARMFUL {
            assert!(command.get_envs().any(|(key, value)| key == name && value.is_none()), "{name}");
        }
    }
}
