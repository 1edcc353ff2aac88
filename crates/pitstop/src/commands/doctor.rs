//! `pitstop doctor`: what this machine is, what is set up, and what is not.

mod findings;
mod render;

use pitstop_core::report::SCHEMA;
use pitstop_host::machine::Machine;
use serde::Serialize;

use super::{Done, answer_json};
use crate::exit::ExitStatus;
use crate::output::Output;
use findings::Finding;

/// The answer, as other programs read it.
#[derive(Debug, Serialize)]
struct DoctorReport {
    /// The version of this document.
    schema: u32,
    /// What was found, a line each.
    findings: Vec<Finding>,
    /// What to do next, a sentence each.
    hints: Vec<String>,
}

/// Looks at the machine. That something is absent is no failure.
pub(super) fn run(json: bool, output: &Output) -> Done {
    let machine = Machine::look();
    let variable = |name: &str| std::env::var_os(name);
    let (findings, hints) = findings::of(&machine, &variable);
    let report = DoctorReport { schema: SCHEMA, findings, hints };
    if json {
        return answer_json(output, &report);
    }
    output.answer(&render::report(&report));
    for hint in &report.hints {
        output.hint(hint);
    }
    Ok(ExitStatus::Success)
}
