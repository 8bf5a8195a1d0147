//! [rlimits](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-process)
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line};
use super::{host, init};
use oci_spec::runtime::PosixRlimitType::{self, *};
use oci_spec::runtime::{PosixRlimit, Process};

/// By init, while it has the privilege to raise them. In a user namespace only the host has it.
///
/// One that leaves init no room to work in comes as late as can be (`tight`), and only its upper bound is raised here. A fork that is
/// still to come is measured by RLIMIT_NPROC, with one process more than the program alone will be: there only has to be room for it
/// by then, and the limit itself is for `after_fork`.
pub(super) fn lines(process: &Process, in_user_namespace: bool, forks: bool) -> Vec<Line> {
    (process.rlimits().iter().flatten().enumerate())
        .filter_map(|(index, limit)| match forks && limit.typ() == RlimitNproc {
            true if in_user_namespace => None,
            true => {
                let step = InitStep::RaiseRlimit { resource: number(RlimitNproc), to: limit.hard().saturating_add(1) };
                Some(init(step, origin(index)))
            }
            false => {
                let soft = if is_tight(limit) { limit.hard() } else { limit.soft() };
                (soft >= room(limit)).then(|| line(index, limit, soft, in_user_namespace))
            }
        })
        .collect()
}

/// Lowering it takes no privilege.
pub(super) fn after_fork(process: &Process, in_user_namespace: bool) -> Option<Line> {
    let mut all = process.rlimits().iter().flatten().enumerate();
    let (index, limit) = all.find(|(_, limit)| limit.typ() == RlimitNproc)?;
    Some(line(index, limit, limit.soft(), in_user_namespace))
}

fn line(index: usize, limit: &PosixRlimit, soft: u64, in_user_namespace: bool) -> Line {
    let (resource, name, hard) = (number(limit.typ()), limit.typ().to_string(), limit.hard());
    match in_user_namespace {
        true => host(HostStep::SetRlimit { resource, name, soft, hard }, origin(index)),
        false => init(InitStep::SetRlimit { resource, soft, hard }, origin(index)),
    }
}

/// Those that init could not work under, to be set when it needs nothing more: before it waits, or, if hooks still have to run,
/// `late`, after them. Lowering takes no privilege.
pub(super) fn tight(process: Option<&Process>, late: bool) -> (Vec<Line>, Vec<Line>) {
    let limits = process.and_then(|process| process.rlimits().as_ref()).into_iter().flatten().enumerate();
    let lines = limits.filter(|(_, limit)| is_tight(limit)).map(|(index, limit)| {
        let (resource, soft, hard) = (number(limit.typ()), limit.soft(), limit.hard());
        init(InitStep::SetRlimit { resource, soft, hard }, origin(index))
    });
    if late { (Vec::new(), lines.collect()) } else { (lines.collect(), Vec::new()) }
}

fn origin(index: usize) -> String {
    format!("/process/rlimits/{index}")
}

/// What init needs at the most; descriptors of its own, and those that it is sent.
fn room(limit: &PosixRlimit) -> u64 {
    if limit.typ() == RlimitNofile { 128 } else { 0 }
}

fn is_tight(limit: &PosixRlimit) -> bool {
    limit.soft() < room(limit)
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
    use crate::plan::tests::{check, check_process, plan_of, refused, spec_of};

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
    fn one_that_leaves_init_no_room_comes_last() {
        let order = |limits: &str, more: &str| {
            let plan = plan_of(&spec_of(&format!(
                r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{}}, "rlimits": [{limits}]}} {more}}}"#
            )));
            let names = plan.lines.iter().map(|line| format!("{} {}", line.step(), line.detail()));
            let wanted = ["set-rlimit", "set-ids", "prepare-to-wait", "await-start", "run-hook"];
            let names = names.filter(|name| wanted.iter().any(|wanted| name.starts_with(wanted)));
            names
                .map(|name| {
                    name.trim_start_matches("set-rlimit RLIMIT_").split(' ').take(2).collect::<Vec<_>>().join(" ")
                })
                .collect::<Vec<_>>()
        };
        let tiny = r#"{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 4}"#;
        assert_eq!(order(tiny, ""), ["set-ids 0:0", "prepare-to-wait ", "NOFILE 3:4", "await-start fd:0,"]);
        let soft = r#"{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 4096}"#;
        assert_eq!(
            order(soft, ""),
            ["NOFILE 4096:4096", "set-ids 0:0", "prepare-to-wait ", "NOFILE 3:4096", "await-start fd:0,"]
        );
        let hook = r#", "hooks": {"startContainer": [{"path": "/h"}]}"#;
        assert_eq!(
            order(tiny, hook),
            ["set-ids 0:0", "prepare-to-wait ", "await-start fd:0,", "run-hook /h:", "NOFILE 3:4"]
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
