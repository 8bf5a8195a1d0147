//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cpu>
use super::{check, count, with};
use plimsoll_integration_tests::cgroup::is_v2;
use plimsoll_integration_tests::{known_deviation, runtime, skips, wait_until};
use serde_json::json;
use std::fs;
use std::path::Path;

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
