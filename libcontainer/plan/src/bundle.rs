//! A bundle: a directory and the bytes of its config.json. Whatever is wrong with the file is named by its JSON pointer.
#![forbid(unsafe_code)]

use crate::Result;
use crate::json::{self, FOREIGN, Mend, Parsed, Problem, Respelled};
use crate::plan::{CAPABILITY_NAMES, MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES};
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A bundle whose config.json has been read. Clones share what it says.
#[derive(Debug, Clone)]
pub struct Bundle {
    path: PathBuf,
    spec: Arc<Spec>,
    config: Arc<Vec<u8>>,
}

impl Bundle {
    /// The absolute path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What config.json says.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Whether the container's process gets a terminal.
    pub fn has_terminal(&self) -> bool {
        crate::plan::has_terminal(self.spec.process().as_ref())
    }

    /// config.json, byte for byte, but for keys in another case than the specification's: those are as it spells them.
    pub fn config_bytes(&self) -> &[u8] {
        &self.config
    }

    /// A bundle from the bytes of a config.json that somebody has written; keys that are spelled otherwise than in the
    /// specification are warned of.
    pub fn from_config(path: PathBuf, config: Vec<u8>) -> Result<Bundle> {
        let (bundle, respelled) = Bundle::parse(path, config)?;
        warn_of(&respelled, "config.json");
        Ok(bundle)
    }

    /// A bundle from the parts that were kept of one: its directory and the bytes of its config.json.
    pub fn from_parts(path: PathBuf, config: Vec<u8>) -> Result<Bundle> {
        Ok(Bundle::parse(path, config)?.0)
    }

    /// The same with the keys that are spelled otherwise than the specification does.
    fn parse(path: PathBuf, config: Vec<u8>) -> Result<(Bundle, Vec<Respelled>)> {
        let parsed: Parsed<Spec> = json::parse(&config, mend).map_err(Problem::in_config)?;
        // Whoever changes it later, as `update` does, has to find what is there.
        let (config, respelled) = match parsed.rewritten {
            Some((tree, respelled)) => (tree.to_string().into_bytes(), respelled),
            None => (config, Vec::new()),
        };
        let mut spec = parsed.value;
        if let Some(resources) = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut()) {
            drop_unasked_pids::<Spec>(resources, &config, "/linux/resources/pids/limit");
        }
        Ok((Bundle { path, spec: Arc::new(spec), config: Arc::new(config) }, respelled))
    }

    /// Reads a `process` object (`exec --process FILE`).
    pub fn process_from_slice(json: &[u8]) -> Result<Process> {
        parse(json, mend_process, "process.json")
    }

    /// Reads an array of mounts (`mounts add ID FILE`).
    pub fn mounts_from_slice(json: &[u8]) -> Result<Vec<Mount>> {
        parse(json, |_| Ok(()), "mounts")
    }

    /// Reads a `linux.resources` object (`update --resources FILE`).
    pub fn resources_from_slice(json: &[u8]) -> Result<LinuxResources> {
        let mut resources = parse(json, mend_resources, "resources")?;
        drop_unasked_pids::<LinuxResources>(&mut resources, json, "/pids/limit");
        Ok(resources)
    }
}

/// Another file than config.json.
fn parse<T: DeserializeOwned>(bytes: &[u8], mend: Mend, file: &str) -> Result<T> {
    let parsed = json::parse(bytes, mend).map_err(|problem| problem.in_file(file))?;
    if let Some((_, respelled)) = parsed.rewritten {
        warn_of(&respelled, file);
    }
    Ok(parsed.value)
}

/// runc reads them without a word.
fn warn_of(respelled: &[Respelled], file: &str) {
    respelled.iter().for_each(|key| log::warn!("{file}: {key}"));
}

/// `"pids": {}` asks for nothing (runtime-spec 1.3: `limit` is a pointer), which oci-spec 0.10 takes for a limit of 0.
fn drop_unasked_pids<T: DeserializeOwned>(resources: &mut LinuxResources, json: &[u8], pointer: &str) {
    if resources.pids().as_ref().is_some_and(|pids| pids.limit() == 0) {
        let tree = json::tree::<T>(json).map(|(tree, _)| tree).unwrap_or_default();
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

/// What config.json may say and oci-spec 0.10 does not take.
fn mend(tree: &mut Value) -> std::result::Result<(), Problem> {
    let Some(members) = tree.as_object_mut() else { return Ok(()) };
    FOREIGN.iter().for_each(|platform| _ = members.remove(*platform));
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
            let Some(name) = name.as_str() else { return true };
            // As runc knows them: a name without CAP_, or in small letters, is none.
            let known = CAPABILITY_NAMES.contains(&name);
            if !known {
                unknown.insert(name.to_owned());
            }
            known
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
    use crate::error::escape_key;

    fn spec(json: &str) -> Result<Spec> {
        Ok(Bundle::from_parts("/bundle".into(), json.into())?.spec().clone())
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
            let path = format!("{}/../fuzz/seeds/config/{seed}.json", env!("CARGO_MANIFEST_DIR"));
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

    fn seed(name: &str) -> String {
        let path = format!("{}/../fuzz/seeds/config/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    /// Whether the keys of the object at a pointer are the user's.
    fn is_map(pointer: &str) -> bool {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        ["annotations", "sysctl", "unified", "rdma", "netDevices", "timeOffsets"].contains(&key)
    }

    #[test]
    fn a_key_in_another_case_is_the_same_key() {
        for name in ["everything", "resources-v1"] {
            let whole: Value = serde_json::from_str(&seed(name)).unwrap();
            let expected = spec(&whole.to_string()).unwrap();
            let mut objects = Vec::new();
            find_objects(&whole, String::new(), &mut objects);
            for pointer in objects {
                let keys: Vec<_> = whole.pointer(&pointer).unwrap().as_object().unwrap().keys().cloned().collect();
                for key in keys.into_iter().filter(|_| !is_map(&pointer)) {
                    for spelled in
                        [key.to_uppercase(), key.to_lowercase(), key.replace('s', "\u{17f}").replace('k', "\u{212a}")]
                    {
                        let mut changed = whole.clone();
                        let object = changed.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
                        let value = object.remove(&key).unwrap();
                        object.insert(spelled.clone(), value);
                        let (bundle, respelled) =
                            Bundle::parse("/bundle".into(), changed.to_string().into_bytes()).unwrap();
                        assert_eq!(*bundle.spec(), expected, "{name}: {pointer}/{spelled}");
                        let kept: Value = serde_json::from_slice(bundle.config_bytes()).unwrap();
                        assert_eq!(kept, whole, "{name}: {pointer}/{spelled}");
                        let told: Vec<_> = respelled.iter().map(|key| (key.pointer.clone(), key.known)).collect();
                        let at = format!("{pointer}/{spelled}");
                        let expected = [(at, key.as_str())];
                        assert_eq!(told, if spelled == key { &[][..] } else { &expected[..] }.to_vec());
                    }
                }
            }
        }
    }

    #[test]
    fn keys_of_the_users_own_stay_as_they_are() {
        let config = r#"{"ociVersion": "1.0.0", "ANNOTATIONS": {"Process": "a", "process": "b"},
            "linux": {"sysctl": {"Net.ipv4.ip_forward": "1"}, "resources": {"unified": {"Memory.max": "1", "LIMIT": "2"}}}}"#;
        let spec = spec(config).unwrap();
        assert_eq!(spec.annotations().as_ref().unwrap()["Process"], "a");
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.sysctl().as_ref().unwrap().contains_key("Net.ipv4.ip_forward"));
        assert_eq!(linux.resources().as_ref().unwrap().unified().as_ref().unwrap().len(), 2);
    }

    #[test]
    fn an_entry_is_there_once() {
        for (config, place) in [
            (r#"{"ociVersion": "1.0.0", "hostname": "a", "hostname": "b"}"#, r#"/hostname: "hostname" and "hostname""#),
            (r#"{"ociVersion": "1.0.0", "linux": {"seccomp": null}, "Linux": {}}"#, r#"/Linux: "linux" and "Linux""#),
            (
                r#"{"ociVersion": "1.0.0", "process": {"noNewPrivileges": true, "NoNewPrivileges": false}}"#,
                r#"/process/NoNewPrivileges: "noNewPrivileges" and "NoNewPrivileges""#,
            ),
        ] {
            let message = format!("config.json: {place} are the same entry, which must be there once");
            assert_eq!(wrong(config), message);
        }
        assert_eq!(
            spec(r#"{"ociVersion": "1.0.0", "annotations": {"a": "1", "a": "2"}}"#)
                .unwrap()
                .annotations()
                .as_ref()
                .unwrap()["a"],
            "2"
        );
    }

    #[test]
    fn null_is_an_entry_that_is_not_there() {
        let spec = spec(
            r#"{"ociVersion": "1.0.0", "process": {"user": null, "cwd": "/", "args": null, "Capabilities": null, "noNewPrivileges": null},
                "linux": null, "root": {"path": "/", "readonly": null}}"#,
        )
        .unwrap();
        assert_eq!(spec.process().as_ref().unwrap().user().uid(), 0);
        assert!(spec.linux().is_none());
    }

    #[test]
    fn other_files_are_read_the_same_way() {
        let process = Bundle::process_from_slice(br#"{"User": {"UID": 5}, "CWD": "/", "ARGS": ["a"]}"#).unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (5, 0));
        let resources = Bundle::resources_from_slice(br#"{"Memory": {"LIMIT": 5}, "PIDS": {"Limit": null}}"#).unwrap();
        assert_eq!(resources.memory().as_ref().unwrap().limit(), Some(5));
        assert!(resources.pids().is_none());
        let resources = Bundle::resources_from_slice(br#"{"PIDS": {"Limit": 0}}"#).unwrap();
        assert_eq!(resources.pids().as_ref().map(|pids| pids.limit()), Some(0));
        let mounts = Bundle::mounts_from_slice(br#"[{"Destination": "/a", "TYPE": "tmpfs"}]"#).unwrap();
        assert_eq!(mounts[0].typ().as_deref(), Some("tmpfs"));
    }

    #[test]
    fn what_is_no_text_is_named_by_its_pointer() {
        let message = wrong(r#"{"ociVersion": "1.0.0", "process": {"args": ["a", "\ud800"]}}"#);
        assert!(message.starts_with("config.json: /process/args/1: "), "{message}");
        let deep = format!(r#"{{"ociVersion": "1.0.0", "x": {}1{}}}"#, "[".repeat(200), "]".repeat(200));
        let message = wrong(&deep);
        assert!(message.starts_with("config.json: recursion limit exceeded at line 1 column "), "{message}");
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
    fn a_capability_is_spelled_as_the_specification_spells_it() {
        let set = |names: &str| {
            let config = format!(
                r#"{{"ociVersion": "1.0.0", "process": {{"cwd": "/", "capabilities": {{"Bounding": {names}}}}}}}"#
            );
            let process = spec(&config).unwrap().process().clone().unwrap();
            process.capabilities().as_ref().unwrap().bounding().as_ref().unwrap().len()
        };
        assert_eq!(set(r#"["CAP_KILL", "SYS_ADMIN", "cap_chown", "CAP_CAP_BPF"]"#), 1);
        assert_eq!(set(r#"["SYS_ADMIN"]"#), 0);
    }

    #[test]
    fn an_unknown_memory_policy_is_named_as_runc_does() {
        assert_eq!(
            wrong(r#"{"linux": {"memoryPolicy": {"mode": "MPOL_X", "nodes": "0"}}}"#),
            r#"config.json: /linux/memoryPolicy/mode: invalid memory policy mode "MPOL_X""#
        );
    }
}
