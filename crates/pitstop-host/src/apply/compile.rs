//! The hook's bytecode: compiled by the environment's own Python, so that no start has to do it, and written by us, so
//! that undo knows it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pitstop_core::plan::hook::{Bytecode, SOURCE, SOURCE_NAME};

use super::ApplyError;
use crate::child;

/// Compiling takes some 20 ms.
const LIMIT: Duration = Duration::from_mins(1);

/// Takes the source as its second argument, to the byte; writes the file name, a newline and the bytecode. The bytecode is never checked
/// against the source (PEP 552): neither a copied venv nor a changed time makes Python compile it again.
const SCRIPT: &str = "\
import sys, _imp, importlib.util, importlib._bootstrap_external as external
name = sys.argv[1]
source = sys.argv[2].encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
code = compile(source, name, 'exec', dont_inherit=True)
stamp = importlib.util.source_hash(source)
file = importlib.util.cache_from_source(name).rpartition('/')[2]
sys.stdout.buffer.write(file.encode() + b'\\n' + bytes(external._code_to_hash_pyc(code, stamp, False)))
";

/// Compiles the hook with `python`, alone and apart: no site, no environment, nothing written.
///
/// An environment works without it, too: Python then compiles the hook at its first start.
pub fn compile_hook(python: &Path) -> Result<Bytecode, ApplyError> {
    let failed = |reason: String| ApplyError::Compile { python: python.to_owned(), reason };
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-B", "-c", SCRIPT, SOURCE_NAME, SOURCE]).env_clear();
    let output = child::run(&mut command, LIMIT).map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.last_words()));
    }
    let newline = output.stdout.iter().position(|&byte| byte == b'\n');
    let (name, bytes) = newline.and_then(|at| output.stdout.split_at_checked(at)).unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let named = name.strip_prefix("_pitstop.").and_then(|rest| rest.strip_suffix(".pyc"));
    if named.is_none_or(|tag| tag.contains('/')) || bytes.len() < 17 {
        return Err(failed("it gave no bytecode".to_owned()));
    }
    Ok(Bytecode { name, bytes: bytes.get(1..).unwrap_or_default().to_vec() })
}
