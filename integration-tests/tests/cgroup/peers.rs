//! Every setting of a group is what runc and crun write.
use super::{disk, numbers};
use plimsoll_integration_tests::cgroup::{self, is_v2};
use plimsoll_integration_tests::skip::NEEDS_V2;
use plimsoll_integration_tests::{Container, Runtime, runtime, skips};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Where others do less: (start of `--version`, resource, file, reason).
const OTHERS: &[(&str, &str, &str, &str)] = &[
    ("runc version 1.1.", r#"cpu {"idle":1}"#, "cpu.idle", "since 1.2"),
    ("runc version 1.1.", r#"cpu {"idle":1}"#, "cpu.weight", "follows from it"),
    ("runc version 1.1.", r#"cpu {"idle":1}"#, "cpu.weight.nice", "follows from it"),
    ("runc version 1.1.", r#"pids {"limit":0}"#, "pids.max", "a limit since 1.4"),
    ("crun version ", r#"pids {"limit":0}"#, "pids.max", "no limit"),
    ("crun version ", r#"hugepageLimits [{"limit":4194304,"pageSize":"2MB"}]"#, "hugetlb.2MB.rsvd.max", "not written"),
];

/// Every setting of the container's group.
fn settings(runtime: Runtime, resource: &str, asked: &Value) -> BTreeMap<String, String> {
    let container = Container::of(runtime).set(&format!("/linux/resources/{resource}"), asked.clone()).created();
    let directory = container.cgroup_dir("");
    let files = fs::read_dir(&directory).expect("a cgroup").flatten();
    let names = files.filter(|file| {
        file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o600 == 0o600)
    });
    let names = names.map(|file| file.file_name().to_string_lossy().into_owned());
    let unstable = |name: &String| {
        name.starts_with("cgroup.") && name != "cgroup.type" || name.ends_with(".pressure") || name.ends_with(".peak")
    };
    let names = names.filter(|name| !unstable(name));
    names.map(|name| (name.clone(), container.cgroup_file("", &name))).collect()
}

/// crun 1.21 with systemd takes memory and swap together for swap, loses quotas without a period, makes 1 of a quota of -1, and
/// forgets `idle` and the throttles.
fn crun_differs(name: &str) -> bool {
    name == "crun" && cgroup::by_systemd()
}

#[test]
fn the_settings_are_those_of_runc_and_crun() {
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let (major, minor) = numbers(&disk());
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let resources = [
        ("memory", json!({"limit": 64 << 20})),
        ("memory", json!({"limit": 64 << 20, "swap": 64 << 20})),
        ("memory", json!({"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20})),
        ("memory", json!({"limit": -1})),
        ("memory", json!({"limit": 64 << 20, "swap": -1})),
        // In between, older versions have another formula.
        ("cpu", json!({"shares": 2})),
        ("cpu", json!({"shares": 262_144})),
        ("cpu", json!({"quota": 50_000, "period": 100_000})),
        ("cpu", json!({"quota": -1, "period": 50_000})),
        ("cpu", json!({"quota": 70_000})),
        ("cpu", json!({"cpus": "1", "mems": "0"})),
        ("cpu", json!({"idle": 1})),
        ("pids", json!({"limit": 42})),
        ("pids", json!({"limit": 0})),
        ("blockIO", json!({"weight": 500})),
        ("blockIO", json!({"throttleReadBpsDevice": device(1 << 20), "throttleWriteIOPSDevice": device(100)})),
        ("hugepageLimits", json!([{"pageSize": "2MB", "limit": 4 << 20}])),
        ("unified", json!({"memory.high": "50331648", "pids.max": "33", "memory.oom.group": "1"})),
    ];
    let mut differences = String::new();
    for (resource, asked) in &resources {
        let ours = settings(runtime().clone(), resource, asked);
        let what = format!("{resource} {asked}");
        for other in ["runc", "crun"].iter().filter(|name| !crun_differs(name)).filter_map(|name| Runtime::find(name)) {
            let version = other.version.clone();
            for (file, theirs) in settings(other, resource, asked) {
                let known =
                    OTHERS.iter().any(|other| version.starts_with(other.0) && what == other.1 && file == other.2);
                let ours = ours.get(&file).map_or("(no such file)", String::as_str);
                if known == (ours == theirs) {
                    differences += &format!("{version}: {what}: {file}: {theirs:?}, ours {ours:?}\n");
                }
            }
        }
    }
    assert_eq!(differences, "");
}
