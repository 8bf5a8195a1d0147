//! [noNewPrivileges](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process)
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line};
use oci_spec::runtime::Process;

/// Absent is false, everywhere: the place of the seccomp filter depends on it.
pub(super) fn is_set(process: &Process) -> bool {
    process.no_new_privileges() == Some(true)
}

pub(super) fn lines(process: &Process) -> Option<Line> {
    is_set(process).then(|| init(InitStep::SetNoNewPrivs, "/process/noNewPrivileges"))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check_process;

    #[test]
    fn only_true_sets_it() {
        check_process(r#""noNewPrivileges": true"#, "/process/noNewPrivileges", "init set-no-new-privs");
        check_process(r#""noNewPrivileges": false"#, "/process/noNewPrivileges", "");
        check_process("", "/process/noNewPrivileges", "");
    }
}
