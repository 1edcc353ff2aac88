//! Environment markers (PEP 508), for one Python on Linux.

use std::str::FromStr as _;

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder, MarkerTree};

use super::RequirementsError;
use crate::targets::Interpreter;

/// The conditions of one Python, against which markers are held.
#[derive(Debug)]
pub struct Markers {
    environment: Option<MarkerEnvironment>,
}

impl Markers {
    /// Those of a CPython on Linux. The kernel's release is left out: no package depends on it in earnest.
    #[must_use]
    pub fn of(interpreter: &Interpreter) -> Self {
        let (major, minor) = interpreter.version;
        let version = format!("{major}.{minor}");
        let full = format!("{version}.0");
        let built = MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name: "posix",
            platform_machine: &interpreter.machine,
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full,
            python_version: &version,
            sys_platform: "linux",
        };
        Self { environment: MarkerEnvironment::try_from(built).ok() }
    }

    /// Whether the condition that stands with a package holds. No condition always does.
    pub(super) fn hold(&self, name: &str, marker: Option<&str>) -> Result<bool, RequirementsError> {
        let (Some(marker), Some(environment)) = (marker, &self.environment) else { return Ok(true) };
        // PEP 751 allows conditions on extras and groups; no extra is asked for here, and every group that is locked is.
        if marker.contains("dependency_groups") || marker.contains("extras") {
            return Ok(true);
        }
        let unread = |cause: &str| RequirementsError::Marker {
            name: name.to_owned(),
            marker: marker.to_owned(),
            cause: cause.to_owned(),
        };
        // pep508_rs 0.9 counts letters where it means bytes, and panics. Versions and names of systems are ASCII.
        if !marker.is_ascii() {
            return Err(unread("it has letters beyond ASCII"));
        }
        let tree = MarkerTree::from_str(marker)
            .map_err(|error| unread(error.to_string().lines().next().unwrap_or_default()))?;
        Ok(tree.evaluate(environment, &[]))
    }
}
