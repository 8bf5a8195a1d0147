//! linux.cgroupsPath, linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups>
//!
//! Each test is for cgroup v1 (every controller mounted alone) and for v2; `lab` and `test --vm` have the latter.
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use plimsoll_integration_tests::cgroup::{self, is_v2};
use plimsoll_integration_tests::skip::{NEEDS_V1, NEEDS_V2, NOT_BY_SYSTEMD};
use plimsoll_integration_tests::{Container, Runtime, known_deviation, runtime, skips, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
fn memory() {
    let asked = json!({"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20});
    check(
        "memory",
        asked,
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ],
        &[("memory.max", "67108864"), ("memory.low", "33554432"), ("memory.swap.max", "33554432")],
    );
}

#[test]
fn memory_that_is_minus_one_is_not_limited() {
    check(
        "memory",
        json!({"limit": -1, "swap": -1}),
        &[("memory", "memory.limit_in_bytes", "9223372036854771712")],
        &[("memory.max", "max"), ("memory.swap.max", "max")],
    );
}

#[test]
fn memory_as_only_v1_has_it() {
    let asked = json!({"swappiness": 10, "disableOOMKiller": true});
    check("memory", asked.clone(), &[("memory", "memory.swappiness", "10")], &[]);
    if !is_v2() {
        let container = with("memory", asked.clone()).created();
        assert_eq!(count(&container, "memory", "memory.oom_control", "oom_kill_disable"), 1);
    }
    if is_v2() && runtime().is("plimsoll") {
        with("memory", asked).create().fails("/linux/resources/memory/swappiness");
    }
}

#[test]
fn memory_of_tcp_is_of_v1() {
    if known_deviation() {
        return;
    }
    check("memory", json!({"kernelTCP": 8 << 20}), &[("memory", "memory.kmem.tcp.limit_in_bytes", "8388608")], &[]);
    if is_v2() && runtime().is("plimsoll") {
        with("memory", json!({"kernelTCP": 8 << 20})).create().fails("/linux/resources/memory/kernelTCP");
    }
}

#[test]
fn a_memory_limit_kills() {
    let container = with("memory", json!({"limit": 16 << 20}));
    let seen = container.args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).run();
    assert_eq!(seen.status, 137, "{seen:?}");
}

#[test]
fn a_kill_for_memory_is_counted() {
    let container = with("memory", json!({"limit": 16 << 20, "swap": 16 << 20})).running();
    let seen = container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    assert_eq!(seen.status, 137, "{seen:?}");
    let file = if is_v2() { "memory.events" } else { "memory.oom_control" };
    assert_eq!(count(&container, "memory", file, "oom_kill"), 1);
    assert_eq!(container.status(), "running");
}

#[test]
fn cpu() {
    check(
        "cpu",
        // Another period than the kernel's own.
        json!({"shares": 512, "quota": 50_000, "period": 200_000}),
        &[("cpu", "cpu.shares", "512"), ("cpu", "cpu.cfs_quota_us", "50000"), ("cpu", "cpu.cfs_period_us", "200000")],
        &[("cpu.weight", "59"), ("cpu.max", "50000 200000")],
    );
}

#[test]
fn cpu_burst() {
    if known_deviation() {
        return;
    }
    let asked = json!({"quota": 50_000, "period": 100_000, "burst": 20_000});
    check("cpu", asked, &[("cpu", "cpu.cfs_burst_us", "20000")], &[("cpu.max.burst", "20000")]);
}

#[test]
fn cpu_idle() {
    if known_deviation() {
        return;
    }
    check("cpu", json!({"idle": 1}), &[("cpu", "cpu.idle", "1")], &[("cpu.idle", "1")]);
}

#[test]
fn a_cpu_quota_throttles() {
    let container = with("cpu", json!({"quota": 10_000, "period": 100_000})).shell("while :; do :; done").created();
    container.start().ok();
    let key = if is_v2() { "throttled_usec" } else { "throttled_time" };
    wait_until("it is throttled", || (count(&container, "cpu", "cpu.stat", key) > 0).then_some(()));
}

#[test]
fn cpuset() {
    check(
        "cpu",
        json!({"cpus": "0", "mems": "0"}),
        &[("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")],
        &[("cpuset.cpus", "0"), ("cpuset.mems", "0")],
    );
    let container = with("cpu", json!({"cpus": "0"})).args(&["grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(container.run().ok(), "Cpus_allowed_list:\t0");
}

/// v1, where the parent has some to give away: a group at the top.
#[test]
fn realtime() {
    let asked = json!({"realtimePeriod": 1_000_000, "realtimeRuntime": 10_000});
    if is_v2() {
        if runtime().is("plimsoll") {
            with("cpu", asked).create().fails("/linux/resources/cpu/realtime");
        }
        return;
    }
    let container = with("cpu", asked);
    let path = format!("/{}-rt", container.id);
    // Somebody else's group may have taken all there is to be had, and the kernel need not have the file.
    let group = Path::new("/sys/fs/cgroup/cpu").join(&path[1..]);
    fs::create_dir(&group).expect("a cgroup");
    let available = fs::write(group.join("cpu.rt_runtime_us"), "10000").is_ok();
    fs::remove_dir(&group).expect("our own");
    if skips(!available, "needs realtime runtime for groups") {
        return;
    }
    let container = container.set("/linux/cgroupsPath", json!(path)).created();
    assert_eq!(container.status(), "created");
    let read = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup/cpu{path}/{file}")).expect("a cgroup");
    assert_eq!((read("cpu.rt_period_us").trim(), read("cpu.rt_runtime_us").trim()), ("1000000", "10000"));
}

/// v1: an empty cpuset takes no process.
#[test]
fn without_a_cpuset_it_is_that_of_the_parent() {
    let host = fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").unwrap_or_default();
    check("cpu", json!({}), &[("cpuset", "cpuset.cpus", host.trim())], &[("cpuset.cpus", "")]);
}

#[test]
fn pids() {
    check("pids", json!({"limit": 42}), &[("pids", "pids.max", "42")], &[("pids.max", "42")]);
}

#[test]
fn a_pids_limit_of_minus_one_is_none() {
    if known_deviation() {
        return;
    }
    check("pids", json!({"limit": -1}), &[("pids", "pids.max", "max")], &[("pids.max", "max")]);
}

#[test]
fn a_pids_limit_stops_a_fork() {
    let container = with("pids", json!({"limit": 3}));
    let seen = container.shell("sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo unlimited").run();
    assert!(!seen.stdout.contains("unlimited"), "{seen:?}");
}

#[test]
fn devices_are_those_of_the_config_and_the_defaults() {
    // A program cannot be read: see what follows.
    if skips(is_v2(), NEEDS_V1) {
        return;
    }
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

/// A container that may make devices, and reads and writes /dev/kmsg (1:11) by another name.
fn with_a_device(rules: &[Value]) -> Container {
    let node = "mknod /dev/node c 1 11 || exit; (: </dev/node) && echo read; (: >/dev/node) && echo write; exit 0";
    let container = Container::new().capabilities(&["CAP_MKNOD", "CAP_SYSLOG"]).shell(node);
    rules.iter().fold(container, |container, rule| container.set("/linux/resources/devices/-", rule.clone()))
}

#[test]
fn a_device_is_as_the_last_rule_says() {
    let rule =
        |allow: bool, access: &str| json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": access});
    let seen = with_a_device(&[]).run();
    assert_eq!(seen.ok(), "");
    assert!(seen.stderr.contains("Operation not permitted"), "{seen:?}");
    assert_eq!(with_a_device(&[rule(true, "w")]).run().ok(), "write");
    assert_eq!(with_a_device(&[rule(true, "rw")]).run().ok(), "read\nwrite");
    assert_eq!(with_a_device(&[rule(true, "rw"), rule(false, "w")]).run().ok(), "read");
}

#[test]
fn exec_has_the_same_devices() {
    let container = Container::new().capabilities(&["CAP_MKNOD"]).running();
    let seen = container.exec(&["sh", "-c", "mknod /dev/node c 1 11 && : </dev/node"]);
    assert!(seen.stderr.contains("Operation not permitted"), "{seen:?}");
}

#[test]
fn block_io_throttles() {
    let disk = disk();
    let (major, minor) = numbers(&disk);
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let asked = json!({
        "throttleReadBpsDevice": device(1_048_576),
        "throttleWriteBpsDevice": device(2_097_152),
        "throttleReadIOPSDevice": device(300),
        "throttleWriteIOPSDevice": device(400),
    });
    let line = |value: &str| format!("{disk} {value}");
    check(
        "blockIO",
        asked,
        &[
            ("blkio", "blkio.throttle.read_bps_device", &line("1048576")),
            ("blkio", "blkio.throttle.write_bps_device", &line("2097152")),
            ("blkio", "blkio.throttle.read_iops_device", &line("300")),
            ("blkio", "blkio.throttle.write_iops_device", &line("400")),
        ],
        &[("io.max", &line("rbps=1048576 wbps=2097152 riops=300 wiops=400"))],
    );
}

#[test]
fn a_throttle_slows_reading() {
    let disk = disk();
    let name = fs::read_link(format!("/sys/dev/block/{disk}")).expect("sysfs");
    let node = Path::new("/dev").join(name.file_name().expect("a name"));
    if skips(fs::File::open(&node).is_err(), "needs a disk that the host may read") {
        return;
    }
    let (major, minor) = numbers(&disk);
    let rule = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "r"});
    let read =
        format!("mknod /dev/disk b {major} {minor} && dd if=/dev/disk of=/dev/null bs=256k count=8 iflag=direct");
    let container =
        with("blockIO", json!({"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1 << 20}]}))
            .set("/linux/resources/devices/-", rule)
            .capabilities(&["CAP_MKNOD"])
            .shell(&read);
    let started = Instant::now();
    container.run().ok();
    // 2 MiB at 1 MiB a second; the first slice is free.
    assert!(started.elapsed() > Duration::from_millis(1200), "{:?}", started.elapsed());
}

#[test]
fn block_io_weight() {
    // v1: gone with CFQ. v2: BFQ's file if it is there.
    let bfq = with("pids", json!({"limit": 9})).created().cgroup_dir("").join("io.bfq.weight").exists();
    let expected = if bfq { ("io.bfq.weight", "default 500") } else { ("io.weight", "default 4950") };
    check("blockIO", json!({"weight": 500}), &[], &[expected]);
}

#[test]
fn hugepages() {
    let asked = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
    let files = [("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")];
    check("hugepageLimits", asked, &[], &files);
}

/// On a hybrid host the controllers that v1 has left to v2 are there.
#[test]
fn hugepages_on_a_hybrid_host() {
    let unified = Path::new("/sys/fs/cgroup/unified");
    let has = fs::read_to_string(unified.join("cgroup.controllers")).is_ok_and(|list| list.contains("hugetlb"));
    if !has || known_deviation() {
        return;
    }
    let container = with("hugepageLimits", json!([{"pageSize": "2MB", "limit": 4 << 20}])).created();
    for file in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
        let path = unified.join(container.cgroup().trim_start_matches('/')).join(file);
        assert_eq!(fs::read_to_string(&path).expect("a cgroup").trim(), "4194304", "{file}");
    }
}

/// No machine at hand has such a device; what is written where there is one, the tests of the plan say.
#[test]
fn an_rdma_device_that_there_is_not_is_an_error() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = with("rdma", json!({"mlx5_0": {"hcaHandles": 3, "hcaObjects": 10_000}}));
    container.create().fails("/linux/resources/rdma");
    container.assert_nothing_left();
}

#[test]
fn a_weight_for_a_device() {
    let disk = disk();
    let (major, minor) = numbers(&disk);
    let group = with("pids", json!({"limit": 9})).created().cgroup_dir("");
    // v1: gone with CFQ. v2: BFQ's file if it is there.
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) || group.join("io.bfq.weight").exists() {
        return;
    }
    let container = with("blockIO", json!({"weightDevice": [{"major": major, "minor": minor, "weight": 500}]}));
    match container.create() {
        // Without a cost model for its queue the kernel takes no weight for it.
        refused if refused.status != 0 => _ = refused.fails("/linux/resources/blockIO/weightDevice/0/weight"),
        _ => assert_eq!(container.cgroup_file("", "io.weight"), format!("default 100\n{disk} 4950")),
    }
    with("blockIO", json!({"leafWeight": 500})).create().fails("/linux/resources/blockIO/leafWeight");
}

#[test]
fn network_classes_are_of_v1() {
    if is_v2() && runtime().is("plimsoll") {
        with("network", json!({"classID": 1_048_577})).create().fails("/linux/resources/network/classID");
        with("network", json!({"priorities": [{"name": "lo", "priority": 5}]}))
            .create()
            .fails("/linux/resources/network/priorities");
    }
}

#[test]
fn unified() {
    let asked = json!({"memory.high": "50331648", "pids.max": "33", "cgroup.max.descendants": "7"});
    let files = [("memory.high", "50331648"), ("pids.max", "33"), ("cgroup.max.descendants", "7")];
    check("unified", asked, &[], &files);
}

#[test]
fn unified_settings_that_cannot_be_are_errors() {
    if known_deviation() {
        return;
    }
    let refused = |file: &str| {
        let container = with("unified", json!({file: "1"}));
        container.create().fails("unified");
        container.assert_nothing_left();
    };
    refused("nosuch.max");
    refused("memory.max/../x");
    refused("pids.nosuch");
}

#[test]
fn a_relative_path_and_none_at_all_are_fine() {
    if skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
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
fn a_frozen_cgroup_is_not_taken() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    let directory = container.cgroup_dir("freezer");
    fs::create_dir_all(&directory).expect("a cgroup");
    let (file, frozen, thawed) =
        if is_v2() { ("cgroup.freeze", "1", "0") } else { ("freezer.state", "FROZEN", "THAWED") };
    fs::write(directory.join(file), frozen).expect("a freezer");
    container.create().fails("frozen");
    fs::write(directory.join(file), thawed).expect("a freezer");
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
        container.call(&["pause", &container.id]).ok();
        assert_eq!(container.status(), "paused");
        container.call(&["resume", &container.id]).ok();
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
fn a_paused_container_uses_no_processor() {
    let container = Container::new().shell("while :; do :; done").created();
    container.start().ok();
    let usage = || match is_v2() {
        true => count(&container, "cpu", "cpu.stat", "usage_usec"),
        false => container.cgroup_file("cpuacct", "cpuacct.usage").parse().expect("a number"),
    };
    container.call(&["pause", &container.id]).ok();
    // crun does not wait until it is.
    std::thread::sleep(Duration::from_millis(100));
    let paused = usage();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(usage(), paused);
    container.call(&["resume", &container.id]).ok();
    wait_until("it goes on", || (usage() > paused).then_some(()));
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

/// cgroup v1 refuses it by itself.
#[test]
fn a_limit_below_what_is_used_is_refused() {
    if known_deviation() || skips(is_v2(), NEEDS_V1) {
        return;
    }
    let container = with("memory", json!({"limit": 64 << 20})).shell("head -c 20m /dev/zero >/dev/shm/x; sleep 1000");
    let container = container.capabilities(&[]).created();
    container.start().ok();
    let usage = || container.cgroup_file("memory", "memory.usage_in_bytes").parse::<u64>().expect("a number");
    wait_until("20 MiB are in use", || (usage() > 20 << 20).then_some(()));
    container.call(&["update", "--memory", "4m", &container.id]).fails("current usage");
    assert_eq!(container.cgroup_file("memory", "memory.limit_in_bytes"), "67108864");
}

#[test]
fn a_limit_below_what_is_used_is_refused_if_asked_to() {
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let container = with("memory", json!({"limit": 64 << 20})).running();
    let resources = container.dir.join("resources.json");
    fs::write(&resources, json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}}).to_string()).expect("our own");
    let update = ["update", "--resources", &resources.to_string_lossy(), &container.id];
    container.call(&update).fails("rejecting memory limit 4096");
    assert_eq!(container.cgroup_file("memory", "memory.max"), "67108864");
    assert_eq!(container.status(), "running");
}

/// A container that sees its cgroup writable, as its own root, and belongs to an ordinary user outside.
fn delegated() -> Container {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let container = Container::new().namespace("user", None).namespace("cgroup", None);
    let mut container = container.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let mounts = container.config["mounts"].as_array_mut().expect("an array");
    let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("a cgroup mount");
    cgroup["options"] = json!(["nosuid", "noexec", "nodev"]);
    std::os::unix::fs::chown(container.rootfs(), Some(100_000), Some(100_000)).expect("we are root");
    fs::set_permissions(&container.dir, fs::Permissions::from_mode(0o755)).expect("our own");
    container
}

#[test]
fn it_can_be_divided_from_inside() {
    if skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let script = "cd /sys/fs/cgroup && mkdir below && echo 0 >below/cgroup.procs && cat /proc/self/cgroup &&
        echo +pids >cgroup.subtree_control && echo 5 >below/pids.max && ! echo 9 >pids.max";
    let seen = delegated().shell(script);
    assert_eq!(seen.run().ok(), "0::/below");
    seen.assert_nothing_left();
}

/// A divided group takes no process (kernel: `cgroup-v2.rst`, "No Internal Process Constraint"): systemd in a container does so.
#[test]
fn exec_into_a_container_that_has_divided_its_group_is_where_init_is() {
    if skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let script = "cd /sys/fs/cgroup && mkdir init && echo 0 >init/cgroup.procs && echo +pids >cgroup.subtree_control && exec sleep 1000";
    let container = delegated().shell(script).created();
    container.start().ok();
    let divided = || (container.cgroup_file("", "cgroup.subtree_control") == "pids").then_some(());
    wait_until("it is divided", divided);
    assert_eq!(container.exec(&["cat", "/proc/self/cgroup"]).ok(), "0::/init");
    container.call(&["pause", &container.id]).ok();
    container.call(&["resume", &container.id]).ok();
    container.call(&["update", "--pids-limit", "50", &container.id]).ok();
    container.call(&["delete", "--force", &container.id]).ok();
    container.assert_nothing_left();
}

/// Threads of one process in several groups (kernel: `cgroup-v2.rst`, "Threads").
#[test]
fn threaded_groups_inside_are_no_obstacle() {
    if skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let container = Container::new().running();
    let (group, pid) = (container.cgroup_dir(""), container.pid());
    fs::create_dir(group.join("threads")).expect("a cgroup");
    fs::write(group.join("threads/cgroup.type"), "threaded").expect("a threaded group");
    fs::write(group.join("threads/cgroup.threads"), pid.to_string()).expect("a thread");
    assert_eq!(container.cgroup_file("", "cgroup.type"), "domain threaded");
    let listed = container.call(&["ps", "--format", "json", &container.id]);
    assert_eq!(listed.ok(), format!("[{pid}]"));
    assert_eq!(container.exec(&["echo", "afloat"]).ok(), "afloat");
    container.call(&["pause", &container.id]).ok();
    assert_eq!(container.status(), "paused");
    container.call(&["delete", "--force", &container.id]).ok();
    container.assert_nothing_left();
}

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

/// `limit` is a pointer since 1.3: an empty object asks for nothing.
#[test]
fn pids_without_a_limit_asks_for_none() {
    if known_deviation() {
        return;
    }
    // systemd has a default of its own.
    if !cgroup::by_systemd() {
        check("pids", json!({}), &[("pids", "pids.max", "max")], &[("pids.max", "max")]);
    }
    let container = with("pids", json!({"limit": 42})).running();
    let resources = container.dir.join("resources.json");
    for nothing in [json!({"pids": {}}), json!({"pids": {"limit": null}})] {
        fs::write(&resources, nothing.to_string()).expect("our own");
        container.call(&["update", "--resources", &resources.to_string_lossy(), &container.id]).ok();
        assert_eq!(container.cgroup_file("pids", "pids.max"), "42");
    }
}

/// cgroup v1: what is frozen does not even die, and a pid namespace ends with its last process.
#[test]
fn a_kill_reaches_what_the_container_has_frozen_itself() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.exec_with(&["--detach"], &["sleep", "1234"]).ok();
    let below = container.cgroup_dir("freezer").join("below");
    fs::create_dir(&below).expect("a cgroup");
    let own = container.pid();
    let other = || cgroup::pids(&container.cgroup_dir("freezer")).into_iter().find(|pid| *pid != own);
    let other = wait_until("the other runs", other);
    fs::write(below.join("cgroup.procs"), other.to_string()).expect("a cgroup");
    let (file, frozen) = if is_v2() { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
    fs::write(below.join(file), frozen).expect("a freezer");
    container.kill("KILL").ok();
    wait_until("the group is empty", || cgroup::pids(&container.cgroup_dir("freezer")).is_empty().then_some(()));
    container.wait_for("stopped");
}

/// `/sys/kernel/cgroup/delegate` says which files (runtime-spec, "Cgroup ownership").
#[test]
fn the_files_that_may_be_delegated_belong_to_the_containers_user() {
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let container = delegated().set("/process/user/uid", json!(5)).created();
    let directory = container.cgroup_dir("");
    let owner =
        |file: &str| std::os::unix::fs::MetadataExt::uid(&fs::metadata(directory.join(file)).expect("a cgroup"));
    let named = fs::read_to_string("/sys/kernel/cgroup/delegate").expect("a kernel of this century");
    for file in named.lines().chain(["."]).filter(|file| directory.join(file).exists()) {
        assert_eq!(owner(file), 100_005, "{file}");
    }
    assert_eq!(owner("pids.max"), 0);
}

#[test]
fn below_a_frozen_group_is_no_place_to_start() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    let parent = container.cgroup_dir("freezer");
    let parent = parent.parent().expect("a group");
    fs::create_dir_all(parent).expect("a cgroup");
    let (file, frozen, thawed) =
        if is_v2() { ("cgroup.freeze", "1", "0") } else { ("freezer.state", "FROZEN", "THAWED") };
    fs::write(parent.join(file), frozen).expect("a freezer");
    container.create().fails("frozen");
    assert!(!container.cgroup_dir("freezer").exists());
    fs::write(parent.join(file), thawed).expect("a freezer");
    container.create().ok();
}

/// It has no controllers but threaded ones there (kernel: `cgroup-v2.rst`, "Threads"), and takes nobody at birth.
#[test]
fn below_a_threaded_group_what_can_be_had_is_there() {
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let container = with("memory", json!({"limit": 64 << 20}));
    let parent = container.cgroup_dir("").parent().expect("a group").to_owned();
    fs::create_dir_all(parent.join("other")).expect("a cgroup");
    fs::write(parent.join("other/cgroup.type"), "threaded").expect("a threaded group");
    container.create().fails("threaded");
    assert!(!container.cgroup_dir("").exists());
    let plain = container.set("/linux/resources", json!({"pids": {"limit": 42}})).running();
    assert_eq!(plain.cgroup_file("", "cgroup.type"), "threaded");
    assert_eq!(plain.cgroup_file("", "pids.max"), "42");
    plain.delete_by_force().ok();
    assert!(!plain.cgroup_dir("").exists());
    fs::remove_dir(parent.join("other")).expect("our own");
}
