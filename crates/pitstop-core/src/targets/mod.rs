//! What a person points pitstop at, as far as it can be told without touching anything: which environment it is,
//! what each native file in it is for, and which package brought it.

mod native;
mod python;
mod pyvenv;
mod record;
mod script;
mod wheel;

pub use native::{Native, Role, classify, module_stem};
pub use python::{Python, PythonAnswer, QUESTION};
pub use pyvenv::{PyvenvConfig, PyvenvError};
pub use record::{Owner, Owners, RecordProblem};
pub use script::{ScriptError, Shebang, WrittenFor};
pub use wheel::{Interpreter, Libc, Misfit, WheelName, WheelNameError};
