//! Running other programs: with a time limit, without our standard input, and never left behind.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The most that is kept of what a child prints on one stream. More is read and dropped, so that the child never waits.
const KEPT_BYTES: u64 = 16 << 20;

/// Why a child gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("it could not be started: {0}")]
    Start(#[source] io::Error),
    /// It was still running when its time was up, and was killed.
    #[error("it did not answer within {} s and was stopped", .0.as_secs_f32())]
    TimedOut(Duration),
    /// What it said could not be read to its end, so that nobody knows what it was.
    #[error("its answer could not be read: {0}")]
    Unread(#[source] io::Error),
}

/// What a child did.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed on standard output.
    pub stdout: Vec<u8>,
    /// What it printed on standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The last line of standard error that says something, or how the child ended where it said nothing.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        match text.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => line.trim().to_owned(),
            None => match (self.status.code(), self.status.signal()) {
                (Some(code), _) => format!("it ended with status {code} and said nothing"),
                (None, Some(signal)) => format!("it was ended by signal {signal}"),
                (None, None) => "it ended and said nothing".to_owned(),
            },
        }
    }
}

/// Runs `command` to its end, or kills it and all that it started when `limit` has passed.
///
/// The child gets a process group of its own, so that what it starts ends with it.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished, ChildError> {
    run_keeping(command, limit, KEPT_BYTES)
}

/// The same for a child with a long answer: up to a gigabyte of it is kept.
pub fn run_large(command: &mut Command, limit: Duration) -> Result<Finished, ChildError> {
    run_keeping(command, limit, 1 << 30)
}

fn run_keeping(command: &mut Command, limit: Duration, kept: u64) -> Result<Finished, ChildError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(ChildError::Start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let errors = thread::spawn(move || read_all(stderr, KEPT_BYTES));
        let stdout = read_all(stdout, kept);
        let stderr = errors.join().unwrap_or_else(|_| Err(io::Error::other("its reader ended")));
        // Where nobody waits any more the time was up, and what was said is of no use.
        let _ = sender.send((stdout, stderr));
    });
    let Ok((stdout, stderr)) = receiver.recv_timeout(limit) else {
        kill_group(&mut child);
        let _ = reader.join();
        return Err(ChildError::TimedOut(limit));
    };
    let status = child.wait().map_err(ChildError::Start)?;
    Ok(Finished {
        status,
        stdout: stdout.map_err(ChildError::Unread)?,
        stderr: stderr.map_err(ChildError::Unread)?,
    })
}

fn read_all(stream: Option<impl Read>, most: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(most).read_to_end(&mut kept)?;
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(kept)
}

fn kill_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_status_are_given_back() {
        let finished = run(&mut shell("echo out; echo err >&2; exit 3"), Duration::from_mins(1)).unwrap();
        assert_eq!(finished.stdout, b"out\n");
        assert_eq!(finished.last_words(), "err");
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn a_child_that_does_not_end_is_killed_with_all_that_it_started() {
        let result = run(&mut shell("sleep 1000 & sleep 1000"), Duration::from_millis(50));
        assert!(matches!(result, Err(ChildError::TimedOut(_))));
    }

    #[test]
    fn a_silent_death_is_described() {
        let finished = run(&mut shell("kill -9 $$"), Duration::from_mins(1)).unwrap();
        assert_eq!(finished.last_words(), "it was ended by signal 9");
    }
}
