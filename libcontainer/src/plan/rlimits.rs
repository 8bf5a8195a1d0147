//! [rlimits](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-process)
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line};
use super::{host, init};
use oci_spec::runtime::PosixRlimitType::{self, *};
use oci_spec::runtime::{PosixRlimit, Process};

/// By init, while it has the privilege to raise them. In a user namespace only the host has it.
/// A fork that is still to come is measured by RLIMIT_NPROC, with one process more than the program alone will be: there only has to
/// be room for it by then, and the limit itself is for `after_fork`.
pub(super) fn lines(process: &Process, in_user_namespace: bool, forks: bool) -> Vec<Line> {
    let all = process.rlimits().iter().flatten().enumerate();
    all.filter_map(|(index, limit)| match forks && limit.typ() == RlimitNproc {
        true if in_user_namespace => None,
        true => {
            let step = InitStep::RaiseRlimit { resource: number(RlimitNproc), to: limit.hard().saturating_add(1) };
            Some(init(step, origin(index)))
        }
        false => Some(line(index, limit, in_user_namespace)),
    })
    .collect()
}

/// Lowering it takes no privilege.
pub(super) fn after_fork(process: &Process, in_user_namespace: bool) -> Option<Line> {
    let mut all = process.rlimits().iter().flatten().enumerate();
    all.find(|(_, limit)| limit.typ() == RlimitNproc).map(|(index, limit)| line(index, limit, in_user_namespace))
}

fn line(index: usize, limit: &PosixRlimit, in_user_namespace: bool) -> Line {
    let (resource, name) = (number(limit.typ()), limit.typ().to_string());
    let (soft, hard) = (limit.soft(), limit.hard());
    match in_user_namespace {
        true => host(HostStep::SetRlimit { resource, name, soft, hard }, origin(index)),
        false => init(InitStep::SetRlimit { resource, soft, hard }, origin(index)),
    }
}

fn origin(index: usize) -> String {
    format!("/process/rlimits/{index}")
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

/// resource.h: the numbers differ between architectures.
fn number(limit: PosixRlimitType) -> u32 {
    let number = match limit {
        RlimitCpu => libc::RLIMIT_CPU,
        RlimitFsize => libc::RLIMIT_FSIZE,
        RlimitData => libc::RLIMIT_DATA,
        RlimitStack => libc::RLIMIT_STACK,
        RlimitCore => libc::RLIMIT_CORE,
        RlimitRss => libc::RLIMIT_RSS,
        RlimitNproc => libc::RLIMIT_NPROC,
        RlimitNofile => libc::RLIMIT_NOFILE,
        RlimitMemlock => libc::RLIMIT_MEMLOCK,
        RlimitAs => libc::RLIMIT_AS,
        RlimitLocks => libc::RLIMIT_LOCKS,
        RlimitSigpending => libc::RLIMIT_SIGPENDING,
        RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        RlimitNice => libc::RLIMIT_NICE,
        RlimitRtprio => libc::RLIMIT_RTPRIO,
        RlimitRttime => libc::RLIMIT_RTTIME,
    };
    // Unsigned with glibc, signed with musl, and never negative.
    #[allow(clippy::unnecessary_cast)]
    let number = number as u32;
    number
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
