//! [Capabilities](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process)
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line, Origin};
use super::namespaces::{self, Namespaces};
use crate::facts::HostFacts;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Spec};

/// capability.h: the bit of a capability is its place here.
pub const NAMES: [&str; 41] = [
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

/// Every bit that has a name.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

fn mask(set: Option<&Capabilities>) -> u64 {
    let bit = |name: String| NAMES.iter().position(|known| *known == name).map_or(0, |bit| 1 << bit);
    set.into_iter().flatten().map(|capability| bit(format!("CAP_{capability}"))).fold(0, |mask, bit| mask | bit)
}

/// `CAP_KILL,CAP_CHOWN`, in the order of their numbers.
pub(super) fn names(mask: u64) -> String {
    let named = NAMES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name);
    named.collect::<Vec<_>>().join(",")
}

/// Whether what the process starts may trace others (ptrace(2)).
pub(super) fn may_trace(process: &Process) -> bool {
    const SYS_PTRACE: u64 = 1 << 19;
    mask(process.capabilities().as_ref().and_then(|sets| sets.bounding().as_ref())) & SYS_PTRACE != 0
}

/// seccomp(2): what loading a filter takes without no_new_privs.
const SYS_ADMIN: u64 = 1 << 21;

/// What a process gets of what it asks for. "Any value which … cannot be granted MUST be logged as a warning", and is no
/// reason to fail.
pub(super) struct Granted {
    origin: &'static str,
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl Granted {
    pub(super) fn of(spec: &Spec, process: &Process, facts: &HostFacts) -> Granted {
        let asked = process.capabilities().as_ref();
        // Whoever makes a user namespace has all of them inside.
        let here = Namespaces::of(spec).has(namespaces::USER);
        let missing = if here { 0 } else { facts.missing_capabilities };
        let set =
            |which: fn(&LinuxCapabilities) -> &Option<Capabilities>| mask(asked.and_then(|sets| which(sets).as_ref()));
        let (bounding, permitted) = (set(LinuxCapabilities::bounding), set(LinuxCapabilities::permitted));
        let (effective, inheritable) = (set(LinuxCapabilities::effective), set(LinuxCapabilities::inheritable));
        let lacking = (bounding | permitted | inheritable) & missing;
        if lacking != 0 {
            log::warn!("ignoring unknown or unavailable capabilities: [{}]", names(lacking).replace(',', " "));
        }
        let (bounding, permitted, inheritable) = (bounding & !missing, permitted & !missing, inheritable & !missing);
        if effective & !permitted & !missing != 0 {
            let names = names(effective & !permitted & !missing);
            log::warn!("can't make effective what is not permitted: {names}");
        }
        // capabilities(7): "no capability can ever be ambient if it is not both permitted and inheritable".
        let (ambient, possible) = (set(LinuxCapabilities::ambient), permitted & inheritable);
        for name in names(ambient & !possible).split(',').filter(|name| !name.is_empty()) {
            log::warn!("can't raise ambient capability {name}: it is not both permitted and inheritable");
        }
        let (effective, ambient) = (effective & permitted, ambient & possible);
        // A process without `capabilities` has none.
        let origin = if asked.is_some() { "/process/capabilities" } else { Origin::DEFAULT };
        Granted { origin, bounding, effective, permitted, inheritable, ambient }
    }

    /// seccomp(2) asks for nothing that the process has not.
    pub(super) fn permit_a_filter(&self) -> bool {
        self.permitted & SYS_ADMIN != 0
    }

    pub(super) fn bounding(&self) -> Line {
        init(InitStep::DropBoundingSet { keep: self.bounding }, self.origin)
    }

    /// What the process may do from now on.
    pub(super) fn sets(&self) -> Line {
        self.line(0, 0)
    }

    /// The same, but CAP_SYS_ADMIN can still be taken up again. No program gets it: `execve` grants nothing that is
    /// not in the bounding set.
    pub(super) fn sets_but_for_the_filter(&self) -> Line {
        self.line(0, SYS_ADMIN)
    }

    /// CAP_SYS_ADMIN is taken up.
    pub(super) fn sets_for_the_filter(&self) -> Line {
        self.line(SYS_ADMIN, SYS_ADMIN)
    }

    /// It is given up, under the filter: by one call that a profile has to allow. What is left are the sets that were asked for.
    pub(super) fn after_the_filter(&self) -> Line {
        let (effective, permitted) = (self.effective, self.permitted);
        init(InitStep::KeepCapabilities { effective, permitted }, self.origin)
    }

    fn line(&self, also_effective: u64, also_permitted: u64) -> Line {
        let Granted { inheritable, ambient, .. } = *self;
        let (effective, permitted) = (self.effective | also_effective, self.permitted | also_permitted);
        init(InitStep::SetCapabilities { effective, permitted, inheritable, ambient }, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{check_on, check_process, facts, plan_of, spec_of, text_of};

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
    fn what_cannot_be_granted_is_left_out() {
        check_process(
            r#""capabilities": {"effective": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_CHOWN"]}"#,
            "/process/capabilities",
            "init drop-bounding-set but none
             init set-capabilities effective CAP_CHOWN permitted CAP_CHOWN",
        );
    }

    #[test]
    fn a_caller_without_a_capability_cannot_pass_it_on() {
        let facts = HostFacts { missing_capabilities: 1 << 5, ..facts() };
        let config = |more: &str| {
            format!(
                r#"{{"process": {{"args": ["a"], "cwd": "/", "capabilities": {{"bounding": ["CAP_KILL", "CAP_CHOWN"],
                    "effective": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"]}}}}{more}}}"#
            )
        };
        check_on(
            &facts,
            &config(""),
            "/process/capabilities",
            "init drop-bounding-set but CAP_CHOWN
             init set-capabilities effective CAP_CHOWN permitted CAP_CHOWN",
        );
        let user = r#", "linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
            "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}"#;
        check_on(
            &facts,
            &config(user),
            "/process/capabilities",
            "init drop-bounding-set but CAP_CHOWN,CAP_KILL
             init set-capabilities effective CAP_CHOWN,CAP_KILL permitted CAP_CHOWN,CAP_KILL",
        );
    }

    #[test]
    fn all_names_are_those_of_the_spec() {
        let all = serde_json::json!(NAMES.as_slice());
        let set: Capabilities = serde_json::from_value(all).unwrap();
        assert_eq!(mask(Some(&set)), ALL);
    }
}
