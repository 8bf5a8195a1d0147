//! [apparmorProfile](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process)
#![forbid(unsafe_code)]

use super::line::{InitStep, Line};
use super::{given, init, z};
use crate::Result;
use oci_spec::runtime::Process;
use step::Lsm;

pub(super) fn lines(process: &Process) -> Result<Option<Line>> {
    let origin = "/process/apparmorProfile";
    let Some(label) = given(process.apparmor_profile()) else { return Ok(None) };
    Ok(Some(init(InitStep::SetExecLabel { lsm: Lsm::Apparmor, label: z(label, origin)? }, origin)))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check_process;

    #[test]
    fn the_program_gets_the_label() {
        check_process(
            r#""apparmorProfile": "docker-default""#,
            "/process/apparmorProfile",
            "init set-exec-label apparmor docker-default",
        );
        check_process(r#""apparmorProfile": """#, "/process/apparmorProfile", "");
    }
}
