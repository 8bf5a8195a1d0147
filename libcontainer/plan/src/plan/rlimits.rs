//! [rlimits](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-process)
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line};
use super::{host, init};
use oci_spec::runtime::PosixRlimitType::{self, *};
use oci_spec::runtime::Process;

/// By init, while it has the privilege to raise them. In a user namespace only the host has it.
pub(super) fn lines(process: &Process, in_user_namespace: bool) -> Vec<Line> {
    (process.rlimits().iter().flatten().enumerate())
        .map(|(index, limit)| {
            let (resource, name) = (number(limit.typ()), limit.typ().to_string());
            let (soft, hard) = (limit.soft(), limit.hard());
            let origin = format!("/process/rlimits/{index}");
            match in_user_namespace {
                true => host(HostStep::SetRlimit { resource, name, soft, hard }, origin),
                false => init(InitStep::SetRlimit { resource, soft, hard }, origin),
            }
        })
        .collect()
}

/// `RLIMIT_NOFILE`, for people.
pub(super) fn name(resource: u32) -> String {
    let known = ALL.iter().find(|limit| number(**limit) == resource);
    known.map_or_else(|| resource.to_string(), ToString::to_string)
}

const ALL: [PosixRlimitType; 16] = [
    RlimitCpu,
    RlimitFsize,
    RlimitData,
    RlimitStack,
    RlimitCore,
    RlimitRss,
    RlimitNproc,
    RlimitNofile,
    RlimitMemlock,
    RlimitAs,
    RlimitLocks,
    RlimitSigpending,
    RlimitMsgqueue,
    RlimitNice,
    RlimitRtprio,
    RlimitRttime,
];

/// include/uapi/asm-generic/resource.h, which all architectures share but alpha, mips and sparc: none of them is ours.
fn number(limit: PosixRlimitType) -> u32 {
    match limit {
        RlimitCpu => 0,
        RlimitFsize => 1,
        RlimitData => 2,
        RlimitStack => 3,
        RlimitCore => 4,
        RlimitRss => 5,
        RlimitNproc => 6,
        RlimitNofile => 7,
        RlimitMemlock => 8,
        RlimitAs => 9,
        RlimitLocks => 10,
        RlimitSigpending => 11,
        RlimitMsgqueue => 12,
        RlimitNice => 13,
        RlimitRtprio => 14,
        RlimitRttime => 15,
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, check_process, refused};

    const LIMITS: &str = r#""rlimits": [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}]"#;

    #[test]
    fn init_sets_them() {
        check_process(
            LIMITS,
            "/process/rlimits",
            "init set-rlimit RLIMIT_NOFILE 512:1024
             init set-rlimit RLIMIT_CORE 0:unlimited",
        );
    }

    #[test]
    fn the_host_sets_them_in_a_user_namespace() {
        let config = format!(
            r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{}}, {LIMITS}}}, "linux": {{"namespaces": [{{"type": "user"}}, {{"type": "mount"}}],
                "uidMappings": [{{"containerID": 0, "hostID": 1, "size": 1}}], "gidMappings": [{{"containerID": 0, "hostID": 1, "size": 1}}]}}}}"#
        );
        check(
            &config,
            "/process/rlimits",
            "host set-rlimit RLIMIT_NOFILE 512:1024
             host set-rlimit RLIMIT_CORE 0:unlimited",
        );
    }

    #[test]
    fn each_only_once() {
        refused(
            r#"{"process": {"args": ["a"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                "rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]}}"#,
            "config.json: /process/rlimits/1: duplicate rlimit RLIMIT_CPU",
        );
    }
}
