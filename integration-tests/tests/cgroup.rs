//! linux.cgroupsPath, linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups>
//!
//! Each test is for cgroup v1 (every controller mounted alone) and for v2; `lab` and `test --vm` have the latter.
mod block_io;
mod cpu;
mod delegation;
mod devices;
mod freezer;
mod memory;
mod other_controllers;
mod peers;
mod pids;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use plimsoll_integration_tests::cgroup::{self, is_v2};
use plimsoll_integration_tests::skip::{NEEDS_V1, NEEDS_V2, NOT_BY_SYSTEMD};
use plimsoll_integration_tests::{Container, known_deviation, runtime, skips};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn with(resource: &str, asked: Value) -> Container {
    Container::new().set(&format!("/linux/resources/{resource}"), asked)
}

/// The files of a created container's cgroup, given what was asked for: (controller, file, content) on v1, (file,
/// content) on v2. Without a file there is nothing like it on that version.
#[track_caller]
fn check(resource: &str, asked: Value, v1: &[(&str, &str, &str)], v2: &[(&str, &str)]) {
    if skips(is_v2() && v2.is_empty(), NEEDS_V1) || skips(!is_v2() && v1.is_empty(), NEEDS_V2) {
        return;
    }
    with(resource, asked).created().assert_settings(v1, v2);
}

/// The number after `key` in a file of lines.
#[track_caller]
fn count(container: &Container, controller: &str, file: &str, key: &str) -> u64 {
    let text = container.cgroup_file(controller, file);
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{key} in {file}:\n{text}"))
}

/// A whole disk of this machine, as `major:minor`.
fn disk() -> String {
    let disks = fs::read_dir("/sys/block").expect("sysfs").flatten();
    let mut disks = disks.filter(|disk| disk.path().join("device").exists());
    let disk = disks.next().expect("a disk").path().join("dev");
    fs::read_to_string(disk).expect("sysfs").trim().to_owned()
}

fn numbers(disk: &str) -> (i64, i64) {
    let (major, minor) = disk.split_once(':').expect("major:minor");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

#[test]
fn init_is_in_every_hierarchy() {
    let container = Container::new().created();
    let pid = container.pid();
    let seen = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    let v1 = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"];
    for controller in if is_v2() { &[""][..] } else { &v1 } {
        let expected = format!(":{controller}:{}", container.cgroup());
        assert!(seen.lines().any(|line| line.ends_with(&expected)), "{controller}:\n{seen}");
    }
    assert_eq!(cgroup::pids(&cgroup::directories(&container.cgroup())[0]), [pid]);
}

#[test]
fn exec_is_in_it_too() {
    let container = Container::new().running();
    let seen = container.exec(&["cat", "/proc/self/cgroup"]);
    let hierarchy = if is_v2() { "0::" } else { ":pids:" };
    let pids = seen.ok().lines().find(|line| line.contains(hierarchy)).expect("a pids hierarchy");
    assert!(pids.ends_with(&container.cgroup()), "{pids}");
}

#[test]
fn it_goes_with_the_container() {
    let container = Container::new();
    container.run().ok();
    assert_eq!(cgroup::directories(&container.cgroup()).len(), 0);
}

#[test]
fn a_relative_path_and_none_at_all_are_fine() {
    if skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let relative = Container::new();
    let path = format!("{}-relative", relative.id);
    let relative = relative.set("/linux/cgroupsPath", json!(path)).running();
    assert!(relative.exec(&["cat", "/proc/self/cgroup"]).ok().contains(&path));
    let none = Container::new().remove("/linux/cgroupsPath").running();
    assert!(none.exec(&["cat", "/proc/self/cgroup"]).ok().contains(&none.id));
}

#[test]
fn a_value_that_the_kernel_refuses_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = with("cpu", json!({"cpus": "4095"}));
    container.create().fails("cpuset.cpus");
    container.assert_nothing_left();
}

/// One line with the place in config.json, what was tried, and nothing left. `None`: is no error on that version.
#[test]
fn a_limit_that_cannot_be_is_one_error_that_says_where_it_is() {
    if !runtime().is("plimsoll") {
        return;
    }
    let missing = json!([{"major": 251, "minor": 77, "rate": 1}]);
    for (resource, asked, v1, v2) in [
        ("memory", json!({"limit": 1 << 20, "swap": 1 << 19}), Some("memory/swap"), Some("memory/swap")),
        ("memory", json!({"swap": 1 << 20}), Some("memory/swap"), Some("memory/swap")),
        ("memory", json!({"limit": -7}), Some("memory/limit"), Some("memory/limit")),
        ("memory", json!({"reservation": -7}), Some("memory/reservation"), Some("memory/reservation")),
        ("memory", json!({"swappiness": 101}), Some("memory/swappiness"), Some("memory/swappiness")),
        ("cpu", json!({"shares": 1}), Some("cpu/shares"), None),
        ("cpu", json!({"shares": 262_145}), Some("cpu/shares"), None),
        // Less than a millisecond.
        ("cpu", json!({"quota": 500}), Some("cpu.cfs_quota_us"), Some("cpu.max")),
        ("cpu", json!({"quota": 5000, "period": 999}), Some("cpu.cfs_period_us"), Some("cpu.max")),
        ("cpu", json!({"period": 1_000_001}), Some("cpu.cfs_period_us"), Some("cpu.max")),
        ("cpu", json!({"quota": 5000, "burst": 6000}), Some("cpu.cfs_burst_us"), Some("cpu.max.burst")),
        ("cpu", json!({"idle": 2}), Some("cpu.idle"), Some("cpu.idle")),
        ("cpu", json!({"cpus": "0-9999"}), Some("cpuset.cpus"), Some("cpuset.cpus")),
        ("cpu", json!({"cpus": "no"}), Some("cpuset.cpus"), Some("cpuset.cpus")),
        ("cpu", json!({"mems": "999"}), Some("cpuset.mems"), Some("cpuset.mems")),
        ("blockIO", json!({"weight": 5}), Some("blockIO/weight"), Some("blockIO/weight")),
        ("blockIO", json!({"throttleReadBpsDevice": missing}), Some("blkio.throttle.read_bps_device"), Some("io.max")),
        ("hugepageLimits", json!([{"pageSize": "3MB", "limit": 1}]), Some("hugepageLimits/0"), Some("hugetlb.3MB.max")),
        ("hugepageLimits", json!([{"pageSize": "../x", "limit": 1}]), Some("0/pageSize"), Some("0/pageSize")),
        ("rdma", json!({"none": {"hcaHandles": 1}}), Some("rdma/none"), Some("rdma/none")),
        ("rdma", json!({"none": {}}), Some("rdma/none"), Some("rdma/none")),
        ("unified", json!({"memory.max": "plenty"}), Some("unified/memory.max"), Some("unified/memory.max")),
        ("unified", json!({"pids": "1"}), Some("unified/pids"), Some("unified/pids")),
        ("devices", json!([{"allow": true, "type": "x", "access": "r"}]), Some("devices/0"), Some("devices/0")),
        ("devices", json!([{"allow": true, "type": "c", "access": "q"}]), Some("devices/0"), Some("devices/0")),
        (
            "devices",
            json!([{"allow": true, "type": "c", "major": -5, "access": "r"}]),
            Some("devices/0"),
            Some("devices/0"),
        ),
    ] {
        let container = with(resource, asked.clone());
        let seen = container.create();
        let Some(words) = (if is_v2() { v2 } else { v1 }) else {
            seen.ok();
            continue;
        };
        seen.fails(&format!("config.json: /linux/resources/{resource}")).says(words);
        assert_eq!(seen.stderr.lines().count(), 1, "{resource} {asked}: {seen:#?}");
        container.assert_nothing_left();
    }
}

#[test]
fn a_cgroup_that_is_busy_is_not_taken_over() {
    if known_deviation() {
        return;
    }
    let one = Container::new().running();
    let two = Container::new().set("/linux/cgroupsPath", json!(one.cgroups_path()));
    two.create().fails("container's cgroup is not empty");
    assert_eq!(one.status(), "running");
}

#[test]
fn nested_cgroups_made_inside_go_as_well() {
    let container = Container::new().running();
    fs::create_dir_all(container.cgroup_dir("freezer").join("a/b")).expect("a cgroup");
    container.delete_by_force().ok();
    container.assert_nothing_left();
}

/// Their paths are longer than the kernel takes, and than `/proc/PID/cgroup` shows.
#[test]
fn groups_nested_deeper_than_a_path_can_say_are_no_obstacle() {
    if known_deviation() {
        return;
    }
    for by_force in [false, true] {
        let container = Container::new().without_namespace("pid").running();
        let file = container.dir.join("pid");
        let flags = ["--detach", "--pid-file", file.to_str().expect("text")];
        container.exec_with(&flags, &["sleep", "1001"]).ok();
        let pid = fs::read_to_string(file).expect("a pid");
        let nest = cgroup::Nest::new(&container.cgroup_dir("freezer"), &"deep".repeat(50), 500).expect("groups");
        let procs = nix::fcntl::openat(&nest.deepest, "cgroup.procs", OFlag::O_WRONLY, Mode::empty()).expect("a group");
        fs::File::from(procs).write_all(pid.as_bytes()).expect("moved");

        let listed = container.call(&["ps", "--format", "json", &container.id]);
        let listed: Vec<i32> = serde_json::from_str(listed.ok()).expect("JSON");
        assert!(listed.iter().any(|listed| listed.to_string() == pid), "{listed:?}");
        container.pause().ok();
        assert_eq!(container.status(), "paused");
        container.resume().ok();
        // crun has no such command.
        if !runtime().is("crun") {
            container.call(&["events", "--stats", &container.id]).ok();
        }
        container.call(&["update", "--pids-limit", "50", &container.id]).ok();
        container.exec(&["true"]).ok();
        if !by_force {
            container.call(&["kill", "--all", &container.id, "KILL"]).ok();
            container.wait_for("stopped");
        }
        container.delete_by_force().ok();
        assert!(
            !Path::new("/proc").join(&pid).exists()
                || fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process").contains(") Z")
        );
        container.assert_nothing_left();
    }
}

#[test]
fn update_writes_what_it_is_told_and_nothing_else() {
    if known_deviation() {
        return;
    }
    let container = with("pids", json!({"limit": 42})).running();
    container.call(&["update", "--memory", "64M", "--cpu-quota", "50000", &container.id]).ok();
    let (memory, cpu) = match is_v2() {
        true => (("memory.max", "67108864"), ("cpu.max", "50000 100000")),
        false => (("memory.limit_in_bytes", "67108864"), ("cpu.cfs_quota_us", "50000")),
    };
    assert_eq!(container.cgroup_file("memory", memory.0), memory.1);
    assert_eq!(container.cgroup_file("cpu", cpu.0), cpu.1);
    assert_eq!(container.cgroup_file("pids", "pids.max"), "42");
    // The devices are those of the config.
    container.exec(&["sh", "-c", "echo x >/dev/null"]).ok();
}

/// The group of a container in each hierarchy, made before the container is.
fn make_groups(container: &Container) -> Vec<PathBuf> {
    if is_v2() {
        fs::create_dir_all(container.cgroup_dir("")).expect("a cgroup");
        return vec![container.cgroup_dir("")];
    }
    // The tmpfs that they are in is none of them.
    let roots = cgroup::directories("/").into_iter().filter(|root| root.join("cgroup.procs").exists());
    let directories: Vec<_> = roots.map(|root| root.join(container.cgroup().trim_start_matches('/'))).collect();
    directories.iter().for_each(|directory| fs::create_dir_all(directory).expect("a cgroup"));
    directories
}

#[test]
fn a_group_that_was_there_before_stays() {
    // systemd removes the group of a scope that ends, whoever has made it.
    if known_deviation() || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let container = Container::new();
    let directories = make_groups(&container);
    let container = container.set("/linux/resources/pids", json!({"limit": 42})).running();
    assert_eq!(container.cgroup_file("pids", "pids.max"), "42");
    fs::create_dir(container.cgroup_dir("freezer").join("below")).expect("a cgroup");
    container.delete_by_force().ok();
    let left: Vec<_> = directories.iter().filter(|directory| !directory.exists()).collect();
    assert!(left.is_empty(), "removed: {left:?}");
    assert!(!container.cgroup_dir("freezer").join("below").exists());
    assert_eq!(directories.iter().flat_map(|directory| cgroup::pids(directory)).count(), 0);
    // And can be had again.
    container.create().ok();
}
