//! Whether a file means to serde what it means: one look at each byte, as most of the time it does.
use super::keys::Key;

/// Entries that are objects. serde takes an array for an object whose members are given in order.
const OBJECTS: &[&str] = &[
    "process",
    "root",
    "hooks",
    "linux",
    "user",
    "consoleSize",
    "capabilities",
    "scheduler",
    "ioPriority",
    "execCPUAffinity",
    "resources",
    "memory",
    "cpu",
    "pids",
    "blockIO",
    "network",
    "seccomp",
    "intelRdt",
    "personality",
    "memoryPolicy",
    "monotonic",
    "boottime",
];

/// Entries whose objects have names of the user's.
const OF_OBJECTS: [&str; 2] = ["netDevices", "rdma"];

/// Sets of capabilities.
const SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];

/// Whether there is no key that differs from one of the specification's in case only, wherever it stands; after the name of a set of
/// capabilities no name that none has, which the types know how to read all the same; no array where there must be an object; and no
/// NUL.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let mut at = 0;
    // The last byte that is neither space nor in a string, and the last key.
    let (mut before, mut key) = (0, "");
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'"' => {
                let Some(end) = end_of_string(bytes, at) else { return true };
                let text = &bytes[at..end];
                at = end + 1;
                let rest = bytes[at..].trim_ascii_start();
                if rest.first() == Some(&b':') {
                    key = match Key::of(text) {
                        Key::Known(known) if OF_OBJECTS.contains(&known) => return false,
                        Key::Known(known) => known,
                        Key::Respelled => return false,
                        // Clocks are the user's to name.
                        Key::Other => OBJECTS.iter().find(|name| name.as_bytes() == text).unwrap_or(&""),
                    };
                } else if SETS.contains(&key) && !is_capability(text) {
                    return false;
                }
                if has_nul(text) {
                    return false;
                }
            }
            // One in another is nowhere in these files, nor is the whole one (but for `mounts add`).
            b'[' if matches!(before, 0 | b'[' | b',') || before == b':' && OBJECTS.contains(&key) => return false,
            _ => {}
        }
        before = *byte;
    }
    true
}

/// As the specification spells them.
fn is_capability(name: &[u8]) -> bool {
    name.strip_prefix(b"CAP_")
        .is_some_and(|name| name.iter().all(|letter| !letter.is_ascii_lowercase()) && !name.starts_with(b"CAP_"))
}

/// Where the quote is of the string that begins `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn has_nul(text: &[u8]) -> bool {
    text.contains(&b'\\') && text.windows(6).any(|escape| escape == br"\u0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_would_take_otherwise_is_not_plain_and_nothing_else() {
        for text in [
            r#"{"Process": {}}"#,
            r#"{"process": {"NONEWPRIVILEGES" : true}}"#,
            r#"{"\u0050rocess": {}}"#,
            r#"{"bounding": ["CAP_KILL", "SYS_ADMIN"]}"#,
            r#"{"ambient": ["cap_kill"]}"#,
            r#"{"process" : []}"#,
            r#"{"mounts": [["a"]]}"#,
            r#"{"mounts": [{}, ["a"]]}"#,
            r#"{"mounts": ["a", [1]]}"#,
            r#"{"linux": {"netDevices": {"a": []}}}"#,
            r#"{"timeOffsets": {"monotonic": []}}"#,
            r#" []"#,
            r#"{"hostname": "a\u0000"}"#,
        ] {
            assert!(!is_plain(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"bounding": ["CAP_KILL"], "args": ["sh"]}"#,
            r#"{"process": {"args": ["Process", "x\"Process"]}}"#,
            r#"{"hostname": "a,[b", "root": {}}"#,
            r#"{"x": 1, "ä": 2, "a"#,
            "",
            "\"",
            "\"\\",
        ] {
            assert!(is_plain(text.as_bytes()), "{text}");
        }
    }
}
