//! features: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/features.md>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::Value;

fn features() -> Value {
    serde_json::from_str(Container::new().call(&["features"]).ok()).expect("JSON")
}

#[track_caller]
fn list(features: &Value, pointer: &str) -> Vec<String> {
    let list =
        features.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer}: {features}"));
    list.iter().map(|item| item.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn every_part_of_the_structure_is_there() {
    if known_deviation() {
        return;
    }
    let features = features();
    for pointer in [
        "/ociVersionMin",
        "/ociVersionMax",
        "/linux/cgroup/v1",
        "/linux/cgroup/v2",
        "/linux/cgroup/systemd",
        "/linux/cgroup/systemdUser",
        "/linux/cgroup/rdma",
        "/linux/seccomp/enabled",
        "/linux/apparmor/enabled",
        "/linux/selinux/enabled",
        "/linux/intelRdt/enabled",
        "/linux/intelRdt/schemata",
        "/linux/intelRdt/monitoring",
        "/linux/mountExtensions/idmap/enabled",
        "/linux/netDevices/enabled",
        "/annotations",
    ] {
        assert!(features.pointer(pointer).is_some(), "no {pointer}: {features}");
    }
    for (pointer, some) in [
        ("/hooks", "startContainer"),
        ("/mountOptions", "ridmap"),
        ("/linux/namespaces", "time"),
        ("/linux/capabilities", "CAP_CHECKPOINT_RESTORE"),
        ("/linux/seccomp/actions", "SCMP_ACT_NOTIFY"),
        ("/linux/seccomp/operators", "SCMP_CMP_MASKED_EQ"),
        ("/linux/seccomp/archs", "SCMP_ARCH_X86_64"),
        ("/linux/seccomp/knownFlags", "SECCOMP_FILTER_FLAG_TSYNC"),
        ("/linux/seccomp/supportedFlags", "SECCOMP_FILTER_FLAG_LOG"),
        ("/linux/memoryPolicy/modes", "MPOL_BIND"),
        ("/linux/memoryPolicy/flags", "MPOL_F_STATIC_NODES"),
        ("/potentiallyUnsafeConfigAnnotations", "bundle"),
    ] {
        let list = list(&features, pointer);
        assert!(list.iter().any(|name| name == some), "no {some} in {pointer}: {list:?}");
    }
}

#[test]
fn what_is_named_is_taken() {
    if known_deviation() {
        return;
    }
    // Those that are about something else than this one mount.
    let other =
        ["bind", "rbind", "remount", "idmap", "ridmap", "copy-symlink", "dest-nofollow", "src-nofollow", "mand"];
    let options = list(&features(), "/mountOptions");
    for option in options.iter().filter(|option| !other.contains(&option.as_str())) {
        let mount = serde_json::json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": [option, "size=1m"]});
        let container = Container::new().set("/root/readonly", false.into()).mount(mount);
        container.args(&["true"]).run().ok();
    }
}
