//! [Capabilities](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process)
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line, Origin};
use crate::{Error, Result};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process};

/// capability.h: the bit of a capability is its place here.
pub(crate) const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

fn mask(set: Option<&Capabilities>) -> u64 {
    let bit = |name: String| NAMES.iter().position(|known| *known == name).map_or(0, |bit| 1 << bit);
    set.into_iter().flatten().map(|capability| bit(format!("CAP_{capability}"))).fold(0, |mask, bit| mask | bit)
}

/// `CAP_KILL,CAP_CHOWN`, in the order of their numbers.
pub(crate) fn names(mask: u64) -> String {
    let named = NAMES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name);
    named.collect::<Vec<_>>().join(",")
}

/// A process without `capabilities` has none.
fn origin(process: &Process) -> &'static str {
    if process.capabilities().is_some() { "/process/capabilities" } else { Origin::DEFAULT }
}

fn set(process: &Process, which: impl Fn(&LinuxCapabilities) -> &Option<Capabilities>) -> u64 {
    mask(process.capabilities().as_ref().and_then(|sets| which(sets).as_ref()))
}

pub(super) fn bounding(process: &Process) -> Line {
    init(InitStep::DropBoundingSet { keep: set(process, LinuxCapabilities::bounding) }, origin(process))
}

/// seccomp(2): what loading a filter takes without no_new_privs.
const SYS_ADMIN: u64 = 1 << 21;

/// What the process may do from now on.
pub(super) fn sets(process: &Process) -> Result<Line> {
    let warn = |name: &str| {
        log::warn!("can't raise ambient capability {name}: it is not both permitted and inheritable");
    };
    line(process, 0, 0, &warn)
}

/// The same, but CAP_SYS_ADMIN can still be taken up again. No program gets it: `execve` grants nothing that is
/// not in the bounding set.
pub(super) fn sets_but_for_the_filter(process: &Process) -> Result<Line> {
    line(process, 0, SYS_ADMIN, &|_| ())
}

/// CAP_SYS_ADMIN is taken up.
pub(super) fn sets_for_the_filter(process: &Process) -> Result<Line> {
    line(process, SYS_ADMIN, SYS_ADMIN, &|_| ())
}

fn line(process: &Process, also_effective: u64, also_permitted: u64, warn: &dyn Fn(&str)) -> Result<Line> {
    let effective = set(process, LinuxCapabilities::effective);
    let permitted = set(process, LinuxCapabilities::permitted);
    let inheritable = set(process, LinuxCapabilities::inheritable);
    let ambient = set(process, LinuxCapabilities::ambient);
    if effective & !permitted != 0 {
        let missing = names(effective & !permitted);
        return Err(Error::config("/process/capabilities/effective", format!("{missing} without being in permitted")));
    }
    // capabilities(7): "no capability can ever be ambient if it is not both permitted and inheritable". The spec
    // wants a warning and not an error for what cannot be granted.
    let possible = permitted & inheritable;
    for name in names(ambient & !possible).split(',').filter(|name| !name.is_empty()) {
        warn(name);
    }
    let (effective, permitted) = (effective | also_effective, permitted | also_permitted);
    let step = InitStep::SetCapabilities { effective, permitted, inheritable, ambient: ambient & possible };
    Ok(init(step, origin(process)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{check_process, plan_of, refused, spec_of, text_of};

    #[test]
    fn the_five_sets() {
        check_process(
            r#""capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
                "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN", "CAP_KILL"]}"#,
            "/process/capabilities",
            "init drop-bounding-set but CAP_CHOWN,CAP_KILL
             init set-capabilities effective CAP_KILL permitted CAP_CHOWN,CAP_KILL inheritable CAP_CHOWN ambient CAP_CHOWN",
        );
    }

    #[test]
    fn without_capabilities_there_are_none() {
        let text = text_of(&plan_of(&spec_of("{}")), "(default)");
        assert!(text.contains("init drop-bounding-set but none"), "{text}");
        assert!(text.contains("init set-capabilities none"), "{text}");
    }

    #[test]
    fn effective_has_to_be_permitted() {
        refused(
            r#"{"process": {"args": ["a"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": {"effective": ["CAP_KILL"]}}}"#,
            "config.json: /process/capabilities/effective: CAP_KILL without being in permitted",
        );
    }

    #[test]
    fn all_names_are_those_of_the_spec() {
        let all = serde_json::json!(NAMES.as_slice());
        let set: Capabilities = serde_json::from_value(all).unwrap();
        assert_eq!(mask(Some(&set)), (1 << 41) - 1);
    }
}
