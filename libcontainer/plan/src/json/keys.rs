//! The keys of the specification, to see quickly whether a file has one in another case.
use super::tree::folded;
use std::cmp::Ordering;

/// Sorted by what they are in small letters. A test compares them with the types.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    "access", "action", "additionalGids", "allow", "ambient", "annotations", "apparmorProfile", "architectures", "args",
    "blockIO", "bounding", "burst", "capabilities", "cgroupsPath", "checkBeforeUpdate", "class", "classID", "closID",
    "commandLine", "consoleSize", "containerID", "cpu", "cpus", "createContainer", "createRuntime", "cwd", "deadline",
    "defaultAction", "defaultErrnoRet", "destination", "devices", "disableOOMKiller", "domain", "domainname", "effective",
    "enableCmt", "enableMbm", "enableMonitoring", "env", "errnoRet", "execCPUAffinity", "fileMode", "final", "flags", "gid",
    "gidMappings", "hard", "hcaHandles", "hcaObjects", "height", "hooks", "hostID", "hostname", "hugepageLimits", "idle",
    "index", "inheritable", "initial", "intelRdt", "ioPriority", "kernel", "kernelTCP", "l3CacheSchema", "leafWeight",
    "limit", "linux", "listenerMetadata", "listenerPath", "major", "maskedPaths", "memBwSchema", "memory", "memoryPolicy",
    "mems", "minor", "mode", "mountLabel", "mounts", "name", "names", "namespaces", "nanosecs", "netDevices", "network",
    "nice", "nodes", "noNewPrivileges", "ociVersion", "oomScoreAdj", "op", "options", "pageSize", "path", "period",
    "permitted", "personality", "pids", "policy", "poststart", "poststop", "prestart", "priorities", "priority", "process",
    "quota", "rate", "rdma", "readonly", "readonlyPaths", "realtimePeriod", "realtimeRuntime", "reservation", "resources",
    "rlimits", "root", "rootfsPropagation", "runtime", "scheduler", "schemata", "seccomp", "secs", "selinuxLabel", "shares",
    "size", "soft", "solaris", "source", "startContainer", "swap", "swappiness", "syscalls", "sysctl", "terminal",
    "throttleReadBpsDevice", "throttleReadIOPSDevice", "throttleWriteBpsDevice", "throttleWriteIOPSDevice", "timeOffsets",
    "timeout", "type", "uid", "uidMappings", "umask", "unified", "useHierarchy", "user", "username", "value", "valueTwo",
    "vm", "weight", "weightDevice", "width", "windows", "zos",
];

/// Sets of capabilities.
const SETS: [&[u8]; 5] = [b"bounding", b"effective", b"inheritable", b"permitted", b"ambient"];

/// Whether there may be a key that differs from one of these in case only, wherever it stands; or, after the name of a set of
/// capabilities, a name that none has, which the types know how to read all the same.
pub(super) fn may_be_respelled(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut in_set = false;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let text = &rest[start + 1..];
        let Some(end) = end_of_string(text) else { return false };
        rest = text[end + 1..].trim_ascii_start();
        let text = &text[..end];
        if rest.first() != Some(&b':') {
            if in_set && !is_capability(text) {
                return true;
            }
            continue;
        }
        if is_respelled(text) {
            return true;
        }
        in_set = SETS.contains(&text);
    }
    false
}

/// As the specification spells them.
fn is_capability(name: &[u8]) -> bool {
    name.strip_prefix(b"CAP_")
        .is_some_and(|name| name.iter().all(|letter| !letter.is_ascii_lowercase()) && !name.starts_with(b"CAP_"))
}

/// Where its quote is.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        match text.get(end)? {
            b'"' => return Some(end),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

fn is_respelled(key: &[u8]) -> bool {
    match KEYS.binary_search_by(|known| compare(known.as_bytes(), key)) {
        Ok(index) => KEYS[index].as_bytes() != key,
        // An escape or a letter of another alphabet may stand for one of these.
        Err(_) if key.contains(&b'\\') => true,
        Err(_) => !key.is_ascii() && std::str::from_utf8(key).is_ok_and(|key| is_respelled_in_ascii(&folded(key))),
    }
}

fn is_respelled_in_ascii(key: &str) -> bool {
    KEYS.binary_search_by(|known| compare(known.as_bytes(), key.as_bytes())).is_ok()
}

/// In small letters.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
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
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by(|one, other| compare(one.as_bytes(), other.as_bytes()));
        assert_eq!(KEYS, found, "{found:?}");
        assert!(KEYS.is_sorted_by(|one, other| compare(one.as_bytes(), other.as_bytes()).is_lt()));
    }

    #[test]
    fn a_key_in_another_case_is_seen_and_nothing_else() {
        for text in [
            r#"{"Process": {}}"#,
            r#"{"process": {"NONEWPRIVILEGES" : true}}"#,
            "{\"proce\u{17f}s\": {}}",
            "{\"ma\u{17f}\u{212a}edPaths\": {}}",
            r#"{"\u0050rocess": {}}"#,
            r#"{"bounding": ["CAP_KILL", "SYS_ADMIN"]}"#,
            r#"{"ambient": ["cap_kill"]}"#,
        ] {
            assert!(may_be_respelled(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"bounding": ["CAP_KILL"], "args": ["sh"]}"#,
            r#"{"process": {"args": ["Process", "x\"Process"]}}"#,
            r#"{"x": 1, "ä": 2, "a"#,
            "",
            "\"",
            "\"\\",
        ] {
            assert!(!may_be_respelled(text.as_bytes()), "{text}");
        }
    }
}
