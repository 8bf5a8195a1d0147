//! The keys of the specification, to see quickly whether a file has one in another case.
use super::tree::folded;

/// By their length. A test compares them with the types.
#[rustfmt::skip]
const KEYS: &[&[&str]] = &[
    &[],
    &[],
    &["op", "vm"],
    &["cpu", "cwd", "env", "gid", "uid", "zos"],
    &["args", "cpus", "hard", "idle", "mems", "mode", "name", "nice", "path", "pids", "rate", "rdma", "root",
      "secs", "size", "soft", "swap", "type", "user"],
    &["allow", "burst", "class", "final", "flags", "hooks", "index", "limit", "linux", "major", "minor",
      "names", "nodes", "quota", "umask", "value", "width"],
    &["access", "action", "closID", "domain", "height", "hostID", "kernel", "memory", "mounts", "period",
      "policy", "shares", "source", "sysctl", "weight"],
    &["ambient", "blockIO", "classID", "devices", "initial", "network", "options", "process", "rlimits",
      "runtime", "seccomp", "solaris", "timeout", "unified", "windows"],
    &["bounding", "deadline", "errnoRet", "fileMode", "hostname", "intelRdt", "nanosecs", "pageSize",
      "poststop", "prestart", "priority", "readonly", "schemata", "syscalls", "terminal", "username",
      "valueTwo"],
    &["effective", "enableCmt", "enableMbm", "kernelTCP", "permitted", "poststart", "resources", "scheduler"],
    &["domainname", "hcaHandles", "hcaObjects", "ioPriority", "leafWeight", "mountLabel", "namespaces",
      "netDevices", "ociVersion", "priorities", "swappiness"],
    &["annotations", "cgroupsPath", "commandLine", "consoleSize", "containerID", "destination", "gidMappings",
      "inheritable", "maskedPaths", "memBwSchema", "oomScoreAdj", "personality", "reservation", "timeOffsets",
      "uidMappings"],
    &["capabilities", "listenerPath", "memoryPolicy", "selinuxLabel", "useHierarchy", "weightDevice"],
    &["architectures", "createRuntime", "defaultAction", "l3CacheSchema", "readonlyPaths"],
    &["additionalGids", "hugepageLimits", "realtimePeriod", "startContainer"],
    &["apparmorProfile", "createContainer", "defaultErrnoRet", "execCPUAffinity", "noNewPrivileges",
      "realtimeRuntime"],
    &["disableOOMKiller", "enableMonitoring", "listenerMetadata"],
    &["checkBeforeUpdate", "rootfsPropagation"],
    &[],
    &[],
    &[],
    &["throttleReadBpsDevice"],
    &["throttleReadIOPSDevice", "throttleWriteBpsDevice"],
    &["throttleWriteIOPSDevice"],
];

/// What a key of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// One of the specification's.
    Known(&'static str),
    /// It may be one, spelled otherwise.
    Respelled,
    /// The user's own, or nobody's.
    Other,
}

impl Key {
    /// Of the bytes between its quotes.
    pub(super) fn of(bytes: &[u8]) -> Key {
        let mut key = Key::Other;
        for known in KEYS.get(bytes.len()).copied().unwrap_or_default() {
            if known.as_bytes() == bytes {
                return Key::Known(known);
            }
            if known.as_bytes().eq_ignore_ascii_case(bytes) {
                key = Key::Respelled;
            }
        }
        // An escape or a letter of another alphabet may stand for one of these.
        let may_stand_for_one = |key: String| key.is_ascii() && Key::of(key.as_bytes()) != Key::Other;
        let is_foreign = || !bytes.is_ascii() && std::str::from_utf8(bytes).map(folded).is_ok_and(may_stand_for_one);
        if bytes.contains(&b'\\') || is_foreign() { Key::Respelled } else { key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::schema::Schema;
    use oci_spec::runtime::Spec;

    #[test]
    fn the_keys_are_those_of_the_types() {
        let mut found = std::collections::BTreeSet::new();
        Schema::of::<Spec>().keys(&mut found);
        assert!(KEYS.iter().enumerate().all(|(length, keys)| keys.iter().all(|key| key.len() == length)));
        let keys: std::collections::BTreeSet<_> = KEYS.concat().into_iter().collect();
        assert_eq!(keys, found);
    }

    #[test]
    fn a_key_in_another_case_is_seen_and_nothing_else() {
        assert_eq!(Key::of(b"process"), Key::Known("process"));
        for key in ["Process", "NONEWPRIVILEGES", "proce\u{17f}s", "ma\u{17f}\u{212a}edPaths", r"\u0050rocess"] {
            assert_eq!(Key::of(key.as_bytes()), Key::Respelled, "{key}");
        }
        for key in ["", "x", "\u{e4}", "org.example.process", "throttleWriteIOPSDevices"] {
            assert_eq!(Key::of(key.as_bytes()), Key::Other, "{key}");
        }
    }
}
