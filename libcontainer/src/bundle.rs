//! A bundle: a directory with a config.json. Whatever is wrong with the file is named by its JSON pointer.
#![forbid(unsafe_code)]

use crate::features::{MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES};
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A bundle whose config.json has been read.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub(crate) path: PathBuf,
    pub(crate) spec: Spec,
    pub(crate) config: Vec<u8>,
}

impl Bundle {
    /// Read `config.json` of the bundle at `directory`.
    pub fn open(directory: impl AsRef<Path>) -> Result<Bundle> {
        Bundle::open_with(directory, "config.json")
    }

    /// The same with another name (or an absolute path) for the file.
    pub fn open_with(directory: impl AsRef<Path>, config_name: impl AsRef<Path>) -> Result<Bundle> {
        let (path, config) = read(directory.as_ref(), config_name.as_ref())?;
        Bundle::from_parts(path, config)
    }

    /// The absolute path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What config.json says.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// config.json, byte for byte.
    pub fn config_bytes(&self) -> &[u8] {
        &self.config
    }

    /// A bundle from the parts that were kept of one: its directory and the bytes of its config.json.
    pub(crate) fn from_parts(path: PathBuf, config: Vec<u8>) -> Result<Bundle> {
        let mut spec: Spec = parse(&config, mend).map_err(Problem::in_config)?;
        if let Some(resources) = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut()) {
            drop_unasked_pids(resources, &config, "/linux/resources/pids/limit");
        }
        Ok(Bundle { path, spec, config })
    }

    /// Reads a `process` object (`exec --process FILE`).
    pub fn process_from_slice(json: &[u8]) -> Result<Process> {
        parse(json, mend_process).map_err(|problem| problem.in_file("process.json"))
    }

    /// Reads an array of mounts (`mounts add ID FILE`).
    pub fn mounts_from_slice(json: &[u8]) -> Result<Vec<Mount>> {
        parse(json, |_| Ok(())).map_err(|problem| problem.in_file("mounts"))
    }

    /// Reads a `linux.resources` object (`update --resources FILE`).
    pub fn resources_from_slice(json: &[u8]) -> Result<LinuxResources> {
        let mut resources = parse(json, mend_resources).map_err(|problem| problem.in_file("resources"))?;
        drop_unasked_pids(&mut resources, json, "/pids/limit");
        Ok(resources)
    }
}

/// The absolute path of a bundle's directory, and what is in the file.
pub(crate) fn read(directory: &Path, config_name: &Path) -> Result<(PathBuf, Vec<u8>)> {
    // Made absolute, but not resolved: engines compare the path with the one that they gave.
    let path = std::path::absolute(directory)
        .map_err(|error| Error::io(format!("bundle {}", directory.display()), "getcwd", &error))?;
    let config = std::fs::read(path.join(config_name)).map_err(|error| match error.kind() {
        // may fail: it only chooses the words of an error.
        std::io::ErrorKind::NotFound if !path.is_dir() => {
            Error::io(format!("bundle {}", path.display()), "open", &error)
        }
        std::io::ErrorKind::NotFound => {
            let message = format!("JSON specification file {} not found", config_name.display());
            Error::new(ErrorKind::InvalidConfig, message)
        }
        _ => Error::io(format!("read {}", path.join(config_name).display()), "open", &error),
    })?;
    Ok((path, config))
}

/// `"pids": {}` asks for nothing (runtime-spec 1.3: `limit` is a pointer), which oci-spec 0.10 takes for a limit of 0.
fn drop_unasked_pids(resources: &mut LinuxResources, json: &[u8], pointer: &str) {
    if resources.pids().as_ref().is_some_and(|pids| pids.limit() == 0) {
        let tree: Value = serde_json::from_slice(json).unwrap_or_default();
        if tree.pointer(pointer).is_none_or(Value::is_null) {
            resources.set_pids(None);
        }
    }
}

/// The same for what is spelled out.
fn drop_null_pids(resources: Option<&mut Value>) {
    let Some(members) = resources.and_then(Value::as_object_mut) else { return };
    let pids = members.get("pids").and_then(Value::as_object);
    if pids.is_some_and(|pids| pids.get("limit").is_none_or(Value::is_null)) {
        members.remove("pids");
    }
}

/// `update` leaves device rules alone.
fn mend_resources(resources: &mut Value) -> std::result::Result<(), Problem> {
    if let Some(members) = resources.as_object_mut() {
        members.remove("devices");
    }
    drop_null_pids(Some(resources));
    if let Some(memory) = resources.get_mut("memory").and_then(Value::as_object_mut) {
        // Docker writes -1 where nothing was asked for.
        memory.retain(|key, value| key != "swappiness" || *value != -1);
    }
    Ok(())
}

/// What is wrong, and where.
struct Problem {
    pointer: Option<String>,
    message: String,
}

impl Problem {
    fn new(pointer: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { pointer: Some(pointer.into()), message: message.into() }
    }

    fn in_config(self) -> Error {
        match self.pointer {
            Some(pointer) => Error::config(pointer, self.message),
            None => self.in_file("config.json"),
        }
    }

    /// In another file, of which no plan has lines.
    fn in_file(self, file: &str) -> Error {
        let place = self.pointer.map(|pointer| format!("{pointer}: ")).unwrap_or_default();
        Error::new(ErrorKind::InvalidConfig, format!("{file}: {place}{}", self.message))
    }
}

type Mend = fn(&mut Value) -> std::result::Result<(), Problem>;

/// Straight from the bytes; only if that fails as a tree, to mend what oci-spec takes for wrong and to find the place.
fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8], mend: Mend) -> std::result::Result<T, Problem> {
    // The kernel's strings end at a NUL, ours would not: `/etc\u0000/x` means two different things.
    let may_hold_nul = starts_of(bytes, b'\\').any(|rest| rest.starts_with(br"\u0000"));
    let may_misplace_arrays = may_misplace_arrays(bytes);
    if !may_hold_nul
        && !may_misplace_arrays
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return Ok(value);
    }
    let mut tree: Value =
        serde_json::from_slice(bytes).map_err(|error| Problem { pointer: None, message: error.to_string() })?;
    if may_hold_nul && let Some(pointer) = find_nul(&tree, &mut String::new()) {
        return Err(Problem::new(pointer, "a string must not contain a NUL"));
    }
    mend(&mut tree)?;
    let value: T = serde_path_to_error::deserialize(&tree)
        .map_err(|error| Problem::new(json_pointer(error.path()), error.inner().to_string()))?;
    let understood = if may_misplace_arrays { serde_json::to_value(&value).unwrap_or_default() } else { Value::Null };
    match misplaced_array(&tree, &understood, &mut String::new()) {
        Some(pointer) => Err(Problem::new(pointer, "an array where there must be an object")),
        None => Ok(value),
    }
}

/// serde takes an array for an object whose members are given in order: `"linux": []` would be a container without namespaces.
/// Whether there may be one; strings are not told apart.
fn may_misplace_arrays(bytes: &[u8]) -> bool {
    const OBJECTS: &[&[u8]] = &[
        b"process",
        b"root",
        b"hooks",
        b"linux",
        b"user",
        b"consoleSize",
        b"capabilities",
        b"scheduler",
        b"ioPriority",
        b"execCPUAffinity",
        b"resources",
        b"memory",
        b"cpu",
        b"pids",
        b"blockIO",
        b"network",
        b"seccomp",
        b"intelRdt",
        b"personality",
        b"memoryPolicy",
        b"monotonic",
        b"boottime",
    ];
    // Their objects have names of the user's.
    const OF_OBJECTS: [&[u8]; 2] = [br#""netDevices""#, br#""rdma""#];
    if starts_of(bytes, b'"').any(|rest| OF_OBJECTS.iter().any(|key| rest.starts_with(key))) {
        return true;
    }
    let trimmed = |end: usize| bytes[..end].trim_ascii_end();
    starts_of(bytes, b'[').any(|rest| match trimmed(bytes.len() - rest.len()) {
        // One in another is nowhere in these files, nor is the whole one (but for `mounts add`).
        [] | [.., b'[' | b','] => true,
        [key @ .., b':'] => {
            let key = key.trim_ascii_end();
            OBJECTS.iter().any(|name| key.strip_suffix(b"\"").is_some_and(|key| key.ends_with(name)))
        }
        _ => false,
    })
}

/// Where there is an array in `tree` of what was understood to be an object.
fn misplaced_array(tree: &Value, understood: &Value, at: &mut String) -> Option<String> {
    let length = at.len();
    let mut inside = |key: &str, one: &Value, other: Option<&Value>| {
        at.truncate(length);
        at.push_str(&format!("/{}", escape_key(key)));
        misplaced_array(one, other?, at)
    };
    match (tree, understood) {
        (Value::Array(_), Value::Object(_)) => Some(if at.is_empty() { "/".to_owned() } else { at.clone() }),
        (Value::Array(ones), Value::Array(others)) => (0..)
            .zip(ones.iter().zip(others))
            .find_map(|(index, (one, other))| inside(&index.to_string(), one, Some(other))),
        (Value::Object(ones), Value::Object(others)) => {
            ones.iter().find_map(|(key, one)| inside(key, one, others.get(key)))
        }
        _ => None,
    }
}

/// What begins with each of these bytes.
fn starts_of(bytes: &[u8], first: u8) -> impl Iterator<Item = &[u8]> {
    (0..).zip(bytes).filter(move |(_, byte)| **byte == first).map(|(at, _)| &bytes[at..])
}

fn find_nul(value: &Value, at: &mut String) -> Option<String> {
    let length = at.len();
    let found = match value {
        Value::String(text) => text.contains('\0').then(|| at.clone()),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            at.truncate(length);
            at.push_str(&format!("/{index}"));
            find_nul(item, at)
        }),
        Value::Object(members) => members.iter().find_map(|(key, item)| {
            at.truncate(length);
            at.push('/');
            at.push_str(&escape_key(&key.replace('\0', "\u{2400}")));
            if key.contains('\0') { Some(at.clone()) } else { find_nul(item, at) }
        }),
        _ => None,
    };
    at.truncate(length);
    found
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape_key(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn json_pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape_key(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    if pointer.is_empty() { "/".into() } else { pointer }
}

/// What config.json may say and oci-spec 0.10 does not take.
fn mend(tree: &mut Value) -> std::result::Result<(), Problem> {
    let Some(members) = tree.as_object_mut() else { return Ok(()) };
    // Other platforms' parts are not ours to judge.
    for platform in ["solaris", "windows", "vm", "zos", "freebsd", "uidMappings", "gidMappings"] {
        members.remove(platform);
    }
    if let Some(process) = members.get_mut("process") {
        mend_process(process).map_err(|problem| Problem {
            pointer: problem.pointer.map(|pointer| format!("/process{pointer}")),
            ..problem
        })?;
    }
    drop_null_pids(tree.pointer_mut("/linux/resources"));
    // `"type": ""` in a device rule is how Go writes "all".
    if let Some(rules) = tree.pointer_mut("/linux/resources/devices").and_then(Value::as_array_mut) {
        for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
            if rule.get("type").and_then(Value::as_str) == Some("") {
                rule.remove("type");
            }
        }
    }
    if let Some(policy) = tree.pointer_mut("/linux/memoryPolicy").and_then(Value::as_object_mut) {
        policy.entry("mode").or_insert_with(|| Value::String(String::new()));
    }
    known(tree, "/linux/memoryPolicy/mode", MEMORY_POLICY_MODES, "memory policy mode")?;
    known(tree, "/linux/memoryPolicy/flags", MEMORY_POLICY_FLAGS, "memory policy flag")
}

/// `invalid memory policy mode "X"`: runc's spelling.
fn known(tree: &Value, pointer: &str, names: &[&str], what: &str) -> std::result::Result<(), Problem> {
    let one = |pointer: String, value: &Value| match value.as_str() {
        Some(name) if !names.contains(&name) => Err(Problem::new(pointer, format!("invalid {what} \"{name}\""))),
        _ => Ok(()),
    };
    match tree.pointer(pointer) {
        Some(Value::Array(items)) => {
            items.iter().enumerate().try_for_each(|(index, item)| one(format!("{pointer}/{index}"), item))
        }
        Some(value) => one(pointer.to_owned(), value),
        None => Ok(()),
    }
}

fn mend_process(process: &mut Value) -> std::result::Result<(), Problem> {
    let Some(members) = process.as_object_mut() else { return Ok(()) };
    // Missing is what an empty value means; `validate` has the better words for an empty cwd.
    members.entry("user").or_insert_with(|| Value::Object(Default::default()));
    members.entry("cwd").or_insert_with(|| Value::String(String::new()));
    if let Some(sets) = members.get_mut("capabilities").and_then(Value::as_object_mut) {
        drop_unknown_capabilities(sets);
    }
    if let Some(affinity) = members.get_mut("execCPUAffinity").and_then(Value::as_object_mut) {
        for list in affinity.values_mut() {
            if let Value::String(text) = list {
                text.retain(|letter| !letter.is_ascii_whitespace());
            }
        }
        affinity.retain(|_, list| list.as_str() != Some(""));
    }
    if let Some(flags) = process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut) {
        for flag in flags {
            match flag.as_str() {
                Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
                Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
                _ => {}
            }
        }
    }
    Ok(())
}

/// "The runtime MUST log a warning … and SHOULD NOT fail" (config.md, capabilities).
fn drop_unknown_capabilities(sets: &mut serde_json::Map<String, Value>) {
    let mut unknown = std::collections::BTreeSet::new();
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let known = serde::Deserialize::deserialize(name).is_ok_and(|_: oci_spec::runtime::Capability| true);
            if let (false, Some(name)) = (known, name.as_str()) {
                unknown.insert(name.to_owned());
            }
            known || !name.is_string()
        });
    }
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.into_iter().collect();
        log::warn!("ignoring unknown or unavailable capabilities: [{}]", names.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<Spec> {
        Ok(Bundle::from_parts("/bundle".into(), json.into())?.spec)
    }

    fn wrong(json: &str) -> String {
        spec(json).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_type_is_named_by_its_pointer() {
        assert_eq!(
            wrong(r#"{"ociVersion": "1.0.0", "process": {"user": {"uid": "zero", "gid": 0}, "cwd": "/"}}"#),
            r#"config.json: /process/user/uid: invalid type: string "zero", expected u32"#
        );
        assert_eq!(
            wrong(r#"{"mounts": [{"destination": "/a"}, {"destination": 3}]}"#),
            "config.json: /mounts/1/destination: invalid type: integer `3`, expected path string"
        );
    }

    #[test]
    fn a_nul_is_named_by_its_pointer() {
        assert_eq!(
            wrong(r#"{"linux": {"sysctl": {"a/b": "x\u0000y"}}}"#),
            "config.json: /linux/sysctl/a~1b: a string must not contain a NUL"
        );
        assert!(spec(r#"{"hostname": "back\\u0000slash"}"#).is_ok());
    }

    /// The pointers of all objects in a value.
    fn find_objects(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    find_objects(member, format!("{at}/{}", escape_key(key)), found);
                }
                found.push(at);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    find_objects(item, format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn an_array_is_no_object() {
        for (config, pointer) in [
            ("[]", "/"),
            (r#"{"ociVersion": "1.0.0", "linux": []}"#, "/linux"),
            (r#"{"ociVersion": "1.0.0", "root" : [ "rootfs", true ] }"#, "/root"),
            (r#"{"ociVersion": "1.0.0", "linux": {"namespaces": [["pid"]]}}"#, "/linux/namespaces/0"),
            (r#"{"ociVersion": "1.0.0", "mounts": [{"destination": "/a"}, ["/b"]]}"#, "/mounts/1"),
        ] {
            assert_eq!(wrong(config), format!("config.json: {pointer}: an array where there must be an object"));
        }
        // Nor any other of all there are.
        for seed in ["everything", "resources-v1"] {
            let path = format!("{}/fuzz/seeds/config/{seed}.json", env!("CARGO_MANIFEST_DIR"));
            let whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            assert!(spec(&whole.to_string()).is_ok(), "{seed}");
            let mut objects = Vec::new();
            find_objects(&whole, String::new(), &mut objects);
            for object in objects {
                let mut changed = whole.clone();
                *changed.pointer_mut(&object).unwrap() = Value::Array(Vec::new());
                assert!(spec(&changed.to_string()).is_err(), "{seed}: {object}");
            }
        }
        // Text, and what nobody reads.
        let fine = r#"{"ociVersion": "1.0.0", "hostname": "a,[b", "windows": {"process": []}, "x": [[1]]}"#;
        assert_eq!(spec(fine).unwrap().hostname().as_deref(), Some("a,[b"));
        assert!(Bundle::mounts_from_slice(br#"[{"destination": "/a"}]"#).is_ok());
    }

    #[test]
    fn broken_json_is_named_by_its_line() {
        assert_eq!(wrong("{"), "config.json: EOF while parsing an object at line 1 column 1");
    }

    #[test]
    fn what_oci_spec_does_not_know_is_mended() {
        let spec = spec(
            r#"{"ociVersion": "1.3.0", "windows": 3, "linux": {"resources": {"devices": [{"allow": false, "type": ""}]}},
                "process": {"capabilities": {"bounding": ["CAP_FUTURE", "CAP_KILL"]},
                    "execCPUAffinity": {"initial": "", "final": "0, 2-3"},
                    "scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"]}}}"#,
        );
        let process = spec.unwrap().process().clone().unwrap();
        assert_eq!(process.capabilities().as_ref().unwrap().bounding().as_ref().unwrap().len(), 1);
        assert_eq!(process.scheduler().as_ref().unwrap().flags().as_ref().unwrap().len(), 2);
        let affinity = process.exec_cpu_affinity().as_ref().unwrap();
        assert_eq!((affinity.initial(), affinity.cpu_affinity_final().as_deref()), (&None, Some("0,2-3")));
    }

    #[test]
    fn an_unknown_memory_policy_is_named_as_runc_does() {
        assert_eq!(
            wrong(r#"{"linux": {"memoryPolicy": {"mode": "MPOL_X", "nodes": "0"}}}"#),
            r#"config.json: /linux/memoryPolicy/mode: invalid memory policy mode "MPOL_X""#
        );
    }
}
