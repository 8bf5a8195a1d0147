//! linux.cgroupsPath, linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups>
use plimsoll_integration_tests::{Container, cgroup, known_deviation};
use serde_json::{Value, json};
use std::fs;

/// The files of a created container's cgroup, given what was asked for.
#[track_caller]
fn check(resource: &str, asked: Value, files: &[(&str, &str, &str)]) {
    let container = Container::new().set(&format!("/linux/resources/{resource}"), asked).created();
    for (controller, file, expected) in files {
        assert_eq!(container.cgroup_file(controller, file), *expected, "{controller}/{file}");
    }
}

#[test]
fn init_is_in_every_hierarchy() {
    let container = Container::new().created();
    let pid = container.pid();
    let seen = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    for controller in ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"] {
        let expected = format!(":{controller}:{}", container.cgroup());
        assert!(seen.lines().any(|line| line.ends_with(&expected)), "{controller}:\n{seen}");
    }
    assert_eq!(cgroup::pids(&cgroup::directories(&container.cgroup())[0]), [pid]);
}

#[test]
fn exec_is_in_it_too() {
    let container = Container::new().running();
    let seen = container.exec(&["cat", "/proc/self/cgroup"]);
    let pids = seen.ok().lines().find(|line| line.contains(":pids:")).expect("a pids hierarchy");
    assert!(pids.ends_with(&container.cgroup()), "{pids}");
}

#[test]
fn it_goes_with_the_container() {
    let container = Container::new();
    container.run().ok();
    assert_eq!(cgroup::directories(&container.cgroup()).len(), 0);
}

#[test]
fn memory() {
    let asked = json!({"limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10, "disableOOMKiller": true});
    check(
        "memory",
        asked,
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.swappiness", "10"),
        ],
    );
}

#[test]
fn a_memory_limit_kills() {
    let container = Container::new().set("/linux/resources/memory", json!({"limit": 16 << 20}));
    let seen = container.args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).run();
    assert_eq!(seen.status, 137, "{seen:?}");
}

#[test]
fn cpu() {
    let asked = json!({"shares": 512, "quota": 50_000, "period": 100_000});
    check(
        "cpu",
        asked,
        &[("cpu", "cpu.shares", "512"), ("cpu", "cpu.cfs_quota_us", "50000"), ("cpu", "cpu.cfs_period_us", "100000")],
    );
}

#[test]
fn cpuset() {
    check("cpu", json!({"cpus": "0", "mems": "0"}), &[("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")]);
    // Without one, that of the parent: an empty cpuset takes no process.
    let host = fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").expect("a cpuset hierarchy");
    check("cpu", json!({}), &[("cpuset", "cpuset.cpus", host.trim())]);
}

#[test]
fn pids() {
    check("pids", json!({"limit": 42}), &[("pids", "pids.max", "42")]);
}

#[test]
fn a_pids_limit_of_minus_one_is_none() {
    if known_deviation() {
        return;
    }
    check("pids", json!({"limit": -1}), &[("pids", "pids.max", "max")]);
}

#[test]
fn a_pids_limit_stops_a_fork() {
    let container = Container::new().set("/linux/resources/pids", json!({"limit": 3}));
    let seen = container.shell("sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo unlimited").run();
    assert!(!seen.stdout.contains("unlimited"), "{seen:?}");
}

#[test]
fn devices_are_those_of_the_config_and_the_defaults() {
    let rule = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    let container = Container::new().set("/linux/resources/devices/-", rule).created();
    let list = container.cgroup_file("devices", "devices.list");
    let rules: Vec<_> = list.lines().collect();
    for expected in [
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 136:* rwm",
        "c 5:2 rwm",
        "c *:* m",
        "b *:* m",
    ] {
        assert!(rules.contains(&expected), "{expected}:\n{list}");
    }
    // Whether the `m` that every device has is said here once more is the runtime's choice.
    assert!(rules.iter().any(|rule| rule.starts_with("c 10:229 rw")), "{list}");
    assert!(!rules.contains(&"a *:* rwm"), "{list}");
}

#[test]
fn block_io() {
    let throttle = json!([{"major": 254, "minor": 0, "rate": 1_048_576}]);
    check(
        "blockIO",
        json!({"throttleReadBpsDevice": throttle}),
        &[("blkio", "blkio.throttle.read_bps_device", "254:0 1048576")],
    );
}

#[test]
fn a_relative_path_and_none_at_all_are_fine() {
    let relative = Container::new();
    let path = relative.cgroup();
    let relative = relative.set("/linux/cgroupsPath", json!(path.trim_start_matches('/'))).running();
    assert!(relative.exec(&["cat", "/proc/self/cgroup"]).ok().contains(&path));
    let none = Container::new().remove("/linux/cgroupsPath").running();
    assert!(none.exec(&["cat", "/proc/self/cgroup"]).ok().contains(&none.id));
}

#[test]
fn a_value_that_the_kernel_refuses_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/resources/cpu", json!({"cpus": "4095"}));
    container.create().fails("cpuset.cpus");
    container.assert_nothing_left();
}

#[test]
fn a_cgroup_that_is_busy_is_not_taken_over() {
    if known_deviation() {
        return;
    }
    let one = Container::new().running();
    let two = Container::new().set("/linux/cgroupsPath", json!(one.cgroup()));
    two.create().fails("container's cgroup is not empty");
    assert_eq!(one.status(), "running");
}

#[test]
fn nested_cgroups_made_inside_go_as_well() {
    let container = Container::new().running();
    let nested = format!("{}/freezer{}/a/b", cgroup::ROOT, container.cgroup());
    fs::create_dir_all(&nested).expect("a cgroup");
    container.call(&["delete", "--force", &container.id]).ok();
    container.assert_nothing_left();
}
