//! [selinuxLabel](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process)
#![forbid(unsafe_code)]

use super::line::{InitStep, Line};
use super::{given, init, z};
use crate::Result;
use oci_spec::runtime::Process;
use step::Lsm;

pub(super) fn lines(process: &Process) -> Result<Option<Line>> {
    let origin = "/process/selinuxLabel";
    let Some(label) = given(process.selinux_label()) else { return Ok(None) };
    Ok(Some(init(InitStep::SetExecLabel { lsm: Lsm::Selinux, label: z(label, origin)? }, origin)))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check_process;

    #[test]
    fn the_program_gets_the_label() {
        check_process(
            r#""selinuxLabel": "system_u:system_r:c_t:s0""#,
            "/process/selinuxLabel",
            "init set-exec-label selinux system_u:system_r:c_t:s0",
        );
        check_process(r#""selinuxLabel": """#, "/process/selinuxLabel", "");
    }
}
