//! What the hook costs an import, in system calls.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Failing look-ups of `import numpy` without the hook and with it.
pub(super) struct Misses {
    pub(super) without: usize,
    pub(super) with: usize,
}

pub(super) fn misses(plain: &Path, fixed: &Path) -> Result<Misses> {
    Ok(Misses { without: count(plain)?, with: count(fixed)? })
}

/// How many files are asked for in vain while numpy is imported, byte code being written already.
fn count(venv: &Path) -> Result<usize> {
    let import = |traced: bool| {
        let python = venv.join("bin/python");
        let mut command = Command::new(if traced { Path::new("strace") } else { &python });
        if traced {
            command.args(["-f", "-qq", "-e", "trace=%file", "-e", "status=failed"]).arg(&python);
        }
        let output = command.args(["-c", "import numpy"]).output().context("strace could not be started")?;
        ensure!(output.status.success(), "numpy: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stderr)
    };
    import(false)?;
    let trace = String::from_utf8_lossy(&import(true)?).into_owned();
    Ok(trace.lines().filter(|line| line.contains("ENOENT")).count())
}
