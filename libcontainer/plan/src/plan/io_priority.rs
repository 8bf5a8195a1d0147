//! [ioPriority](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process): ioprio_set(2)
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line};
use crate::{Error, Result};
use oci_spec::runtime::{IOPriorityClass, Process};

pub(super) fn lines(process: &Process) -> Result<Option<Line>> {
    let Some(io_priority) = process.io_priority() else { return Ok(None) };
    let class: u32 = match io_priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let priority = u32::try_from(io_priority.priority()).ok().filter(|priority| *priority < 8);
    let priority = priority.ok_or_else(|| {
        let message = format!("invalid ioPriority.Priority: {}", io_priority.priority());
        Error::config("/process/ioPriority/priority", message)
    })?;
    Ok(Some(init(InitStep::SetIoPriority { value: class << 13 | priority }, "/process/ioPriority")))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check_process, refused_process};

    #[test]
    fn class_and_priority() {
        check_process(
            r#""ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4}"#,
            "/process/ioPriority",
            "init set-io-priority IOPRIO_CLASS_BE 4",
        );
        refused_process(
            r#""ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 8}"#,
            "/process/ioPriority/priority: invalid ioPriority.Priority: 8",
        );
    }
}
