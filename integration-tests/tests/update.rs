//! `update`: other limits for a container that has some.
use plimsoll_integration_tests::{Container, Output, cgroup, known_deviation, runtime, skips};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek, Write};

/// What the runtimes of Debian 12 are known not to do, on cgroup v2 those of Debian 13 are not asked for either.
fn not_asked() -> bool {
    known_deviation() || cgroup::is_v2() && !runtime().is("plimsoll")
}

#[track_caller]
fn update(container: &Container, flags: &[&str]) -> Output {
    container.call(&[&["update"], flags, &[container.id.as_str()]].concat())
}

/// As engines hand over the resources: on standard input.
#[track_caller]
fn update_from_stdin(container: &Container, resources: &Value) -> Output {
    let path = container.dir.join("resources.json");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("our own directory");
    file.write_all(resources.to_string().as_bytes()).and_then(|()| file.rewind()).expect("written");
    std::fs::remove_file(path).expect("our own");
    let mut command = container.command(&["update", "--resources", "-", &container.id]);
    plimsoll_integration_tests::output::finish(command.stdin(file))
}

#[track_caller]
fn check(flags: &[&str], v1: &[(&str, &str, &str)], v2: &[(&str, &str)]) {
    let container = Container::new().running();
    update(&container, flags).ok();
    container.assert_settings(v1, v2);
}

#[track_caller]
fn assert_memory(container: &Container, v1: &str, v2: &str) {
    container.assert_settings(&[("memory", "memory.limit_in_bytes", v1)], &[("memory.max", v2)]);
}

#[test]
fn memory() {
    if not_asked() {
        return;
    }
    check(
        &["--memory", "64m", "--memory-reservation", "32M"],
        &[("memory", "memory.limit_in_bytes", "67108864"), ("memory", "memory.soft_limit_in_bytes", "33554432")],
        &[("memory.max", "67108864"), ("memory.low", "33554432")],
    );
}

#[test]
fn cpu() {
    if not_asked() {
        return;
    }
    check(
        &["--cpu-share", "512", "--cpu-quota", "50000", "--cpu-period", "200000"],
        &[("cpu", "cpu.shares", "512"), ("cpu", "cpu.cfs_quota_us", "50000"), ("cpu", "cpu.cfs_period_us", "200000")],
        &[("cpu.weight", "59"), ("cpu.max", "50000 200000")],
    );
}

#[test]
fn idle_and_burst() {
    if not_asked() {
        return;
    }
    check(&["--cpu-idle", "1"], &[("cpu", "cpu.idle", "1")], &[("cpu.idle", "1")]);
    let burst = ["--cpu-quota", "50000", "--cpu-burst", "10000"];
    check(&burst, &[("cpu", "cpu.cfs_burst_us", "10000")], &[("cpu.max.burst", "10000")]);
}

#[test]
fn cpuset() {
    if not_asked() {
        return;
    }
    check(
        &["--cpuset-cpus", "0", "--cpuset-mems", "0"],
        &[("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")],
        &[("cpuset.cpus", "0"), ("cpuset.mems", "0")],
    );
}

#[test]
fn pids() {
    if not_asked() {
        return;
    }
    check(&["--pids-limit", "42"], &[("pids", "pids.max", "42")], &[("pids.max", "42")]);
    check(&["--pids-limit", "-1"], &[("pids", "pids.max", "max")], &[("pids.max", "max")]);
}

#[test]
fn everything_at_once_from_standard_input() {
    if not_asked() {
        return;
    }
    let container = Container::new().running();
    let resources = json!({
        "memory": {"limit": 64 << 20, "reservation": 0},
        "cpu": {"shares": 256, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "pids": {"limit": 7},
    });
    update_from_stdin(&container, &resources).ok();
    assert_memory(&container, "67108864", "67108864");
    container.assert_settings(&[("cpu", "cpu.shares", "256")], &[("cpu.weight", "35")]);
    assert_eq!(container.cgroup_file("pids", "pids.max"), "7");
}

#[test]
fn a_limit_on_a_device() {
    if not_asked() {
        return;
    }
    let container = Container::new().running();
    let throttle =
        |rate: u32| json!({"blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": rate}]}});
    update_from_stdin(&container, &throttle(1_048_576)).ok();
    container.assert_settings(
        &[("blkio", "blkio.throttle.read_bps_device", "254:0 1048576")],
        &[("io.max", "254:0 rbps=1048576 wbps=max riops=max wiops=max")],
    );
    update_from_stdin(&container, &throttle(2_097_152)).ok();
    container.assert_settings(
        &[("blkio", "blkio.throttle.read_bps_device", "254:0 2097152")],
        &[("io.max", "254:0 rbps=2097152 wbps=max riops=max wiops=max")],
    );
}

#[test]
fn a_file_of_resources() {
    if not_asked() {
        return;
    }
    let container = Container::new().running();
    container.update(&json!({"pids": {"limit": 9}})).ok();
    assert_eq!(container.cgroup_file("pids", "pids.max"), "9");
}

#[test]
fn what_is_not_named_stays() {
    if not_asked() {
        return;
    }
    let limits = json!({"memory": {"limit": 64 << 20}, "cpu": {"quota": 50_000, "period": 100_000}});
    let container = Container::new().set("/linux/resources", limits).running();
    update(&container, &["--cpu-quota", "20000"]).ok();
    update(&container, &["--pids-limit", "5"]).ok();
    assert_memory(&container, "67108864", "67108864");
    container.assert_settings(
        &[("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "20000")],
        &[("cpu.max", "20000 100000")],
    );
    assert_eq!(container.cgroup_file("pids", "pids.max"), "5");
}

#[test]
fn unlimited_memory_and_swap_again() {
    if not_asked() {
        return;
    }
    let limits = json!({"memory": {"limit": 64 << 20, "swap": 64 << 20}});
    let container = Container::new().set("/linux/resources", limits).running();
    // v1 counts both together.
    let assert_swap = |both: &str, swap: &str| {
        container.assert_settings(&[("memory", "memory.memsw.limit_in_bytes", both)], &[("memory.swap.max", swap)]);
    };
    update(&container, &["--memory", "128m", "--memory-swap", "256m"]).ok();
    assert_swap("268435456", "134217728");
    update(&container, &["--memory", "32m", "--memory-swap", "32m"]).ok();
    assert_swap("33554432", "0");
    update(&container, &["--memory", "-1", "--memory-swap", "-1"]).ok();
    assert_memory(&container, "9223372036854771712", "max");
}

#[test]
fn devices_stay_as_they_are() {
    if not_asked() {
        return;
    }
    let container = Container::new().capabilities(&["CAP_MKNOD"]).running();
    // v2 has a program, which cannot be read.
    let rules = |node: &str| match cgroup::is_v2() {
        true => {
            container.exec(&["sh", "-c", &format!("mknod /dev/{node} c 1 11 && echo >/dev/{node}")]).status.to_string()
        }
        false => container.cgroup_file("devices", "devices.list"),
    };
    let before = rules("before");
    update_from_stdin(&container, &json!({"devices": [{"allow": true, "access": "rwm"}], "pids": {"limit": 8}})).ok();
    assert_eq!(rules("after"), before);
    assert_ne!(before, "0");
    assert_eq!(container.cgroup_file("pids", "pids.max"), "8");
}

#[test]
fn all_or_nothing() {
    if not_asked() {
        return;
    }
    let container = Container::new().running();
    // systemd has a default of its own.
    let pids = container.cgroup_file("pids", "pids.max");
    update(&container, &["--memory", "64m", "--pids-limit", "50", "--cpuset-cpus", "4095"]).fails("cpuset.cpus");
    assert_memory(&container, "9223372036854771712", "max");
    assert_eq!(container.cgroup_file("pids", "pids.max"), pids);
    // Nor is it remembered.
    update(&container, &["--pids-limit", "7"]).ok();
    assert_memory(&container, "9223372036854771712", "max");
}

#[test]
fn a_created_and_a_paused_container_too() {
    if not_asked() {
        return;
    }
    let container = Container::new().created();
    update(&container, &["--pids-limit", "11"]).ok();
    assert_eq!(container.cgroup_file("pids", "pids.max"), "11");
    let container = Container::new().running();
    container.pause().ok();
    update(&container, &["--pids-limit", "12"]).ok();
    assert_eq!(container.cgroup_file("pids", "pids.max"), "12");
}

#[test]
fn what_is_no_number_is_refused() {
    if not_asked() {
        return;
    }
    let container = Container::new().running();
    update(&container, &["--memory", "plenty"]).fails("invalid value for memory");
    update(&container, &["--cpu-quota", "many"]).fails("invalid value for cpu-quota");
}

#[test]
fn intel_rdt_is_for_who_has_it() {
    // No machine at hand has resctrl; what is written where it is there, the tests beside `launch/intel_rdt.rs` say.
    let is_here = std::path::Path::new("/sys/fs/resctrl/info").is_dir();
    if known_deviation() || skips(is_here, "needs a host without resctrl") {
        return;
    }
    let container = Container::new().running();
    update(&container, &["--l3-cache-schema", "L3:0=f", "--pids-limit", "7"]).fails("l3 cache schema is not enabled");
    update(&container, &["--mem-bw-schema", "MB:0=20"]).fails("memory bandwidth schema is not enabled");
    assert_ne!(container.cgroup_file("pids", "pids.max"), "7");
}
