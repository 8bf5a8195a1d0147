//! `--systemd-cgroup`: <https://systemd.io/CGROUP_DELEGATION>, org.freedesktop.systemd1(5).
//!
//! These tests need a real systemd, which the machine of `lab` has; elsewhere they say so and pass. In `played` a
//! test plays systemd.
mod played;
mod user;

use plimsoll_integration_tests::output::KilledOnDrop;
use plimsoll_integration_tests::systemd::{self, show, systemctl, units};
use plimsoll_integration_tests::{Container, Output, Runtime, cgroup, output, runtime, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A container in a scope of the real systemd's, if there is one.
fn scoped() -> Option<Container> {
    scoped_by(runtime().clone())
}

fn scoped_by(runtime: Runtime) -> Option<Container> {
    if !systemd::is_there() {
        return None;
    }
    let container = Container::of(runtime);
    let path = format!("system.slice:t:{}", container.id);
    Some(container.set("/linux/cgroupsPath", json!(path)))
}

fn create(container: &Container) -> Output {
    // Once, where every test has it already.
    container.launch(if cgroup::by_systemd() { &["create"] } else { &["--systemd-cgroup", "create"] })
}

#[track_caller]
fn run(container: Container) -> Container {
    let container = container.args(&["sleep", "1000"]);
    create(&container).ok();
    container.start().ok();
    container
}

fn directory(container: &Container) -> PathBuf {
    Path::new(cgroup::ROOT).join("system.slice").join(container.unit())
}

fn read(container: &Container, file: &str) -> String {
    fs::read_to_string(directory(container).join(file)).unwrap_or_else(|error| error.to_string()).trim_end().to_owned()
}

#[track_caller]
fn assert_gone(container: &Container) {
    assert!(!directory(container).exists());
    assert_eq!(units(&container.unit()), [""; 0]);
    container.assert_nothing_left();
}

const FILES: [&str; 11] = [
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "cpu.weight",
    "cpu.max",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "io.weight",
    "io.max",
    "hugetlb.2MB.max",
];

/// One of each, on the disk of the machine.
fn limits() -> Value {
    let disk = fs::metadata("/").map(|root| std::os::unix::fs::MetadataExt::dev(&root)).expect("a root");
    let (major, minor) = (nix::sys::stat::major(disk), nix::sys::stat::minor(disk));
    json!({
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 2048, "quota": 20_000, "period": 100_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 40},
        "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1 << 20}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
        "devices": [{"allow": false, "access": "rwm"}],
    })
}

fn state_of(container: &Container) -> Vec<String> {
    FILES.iter().map(|file| format!("{file}: {}", read(container, file))).collect()
}

#[test]
fn the_scope_has_the_name_and_the_slice_that_are_asked_for() {
    let Some(container) = scoped() else { return };
    let slice = "plimsoll-test.slice";
    let path = format!("{slice}:t:{}", container.id);
    let container = container.set("/linux/cgroupsPath", json!(path));
    create(&container).ok();
    let place = format!("/plimsoll.slice/{slice}/{}", container.unit());
    assert_eq!(show(&container.unit(), "ControlGroup"), place);
    let own = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).expect("procfs");
    assert_eq!(own.trim_end(), format!("0::{place}"));
    assert_eq!(show(&container.unit(), "Delegate"), "yes");
    container.delete_by_force().ok();
    assert_eq!(units(&container.unit()), [""; 0]);
    container.assert_nothing_left();
}

#[test]
fn the_program_sees_the_scope_as_its_root() {
    let Some(container) = scoped() else { return };
    let container = container.namespace("cgroup", None).set("/linux/resources", json!({"pids": {"limit": 33}}));
    let container = container.shell("cat /proc/self/cgroup /sys/fs/cgroup/pids.max");
    let seen = container.launch(if cgroup::by_systemd() { &["run"] } else { &["--systemd-cgroup", "run"] });
    assert_eq!(seen.ok(), "0::/\n33");
    assert_gone(&container);
}

#[test]
fn every_limit_is_in_the_kernels_own_file_and_stays_there_when_systemd_reads_its_units_again() {
    let Some(container) = scoped() else { return };
    let container = run(container.set("/linux/resources", limits()));
    let before = state_of(&container);
    let expected = |file: &str, value: &str| {
        assert!(before.contains(&format!("{file}: {value}")), "{file} is not {value}: {before:#?}");
    };
    expected("memory.max", "67108864");
    expected("memory.low", "33554432");
    expected("memory.swap.max", "33554432");
    expected("cpu.max", "20000 100000");
    expected("cpuset.cpus", "0");
    expected("cpuset.mems", "0");
    expected("pids.max", "40");
    expected("hugetlb.2MB.max", "4194304");
    assert!(before.iter().any(|line| line.starts_with("io.max: ") && line.contains("rbps=1048576")), "{before:#?}");
    systemctl(&["daemon-reload"]);
    assert_eq!(state_of(&container), before);
    // A change of anything makes systemd write all it knows once more.
    systemctl(&["set-property", "--runtime", &container.unit(), "CPUWeight=77"]);
    let mut after = state_of(&container);
    after[3].clone_from(&before[3]);
    assert_eq!(after, before);
    assert!(container.exec(&["dd", "if=/dev/kmsg", "of=/dev/null", "count=0"]).status != 0, "a device that is denied");
    container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "count=1"]).ok();
}

/// crun's are not all of them what is asked for: `cgroup/peers.rs` says which.
#[test]
fn the_files_and_the_properties_are_those_of_runc() {
    let Some(runc) = Runtime::find("runc").filter(|_| runtime().is("plimsoll") && systemd::is_there()) else { return };
    let ours = run(scoped().expect("systemd is there").set("/linux/resources", limits()));
    let theirs = run(scoped_by(runc).expect("systemd is there").set("/linux/resources", limits()));
    // runc has since changed what it makes of shares.
    for file in FILES.iter().filter(|file| **file != "cpu.weight") {
        assert_eq!(read(&ours, file), read(&theirs, file), "{file}");
    }
    for property in ["Slice", "Delegate", "DefaultDependencies", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec"] {
        assert_eq!(show(&ours.unit(), property), show(&theirs.unit(), property), "{property}");
    }
}

/// A file on the disk of the machine, which /tmp need not be on; gone in the end.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(container: &Container, size: usize) -> OnDisk {
        let path = Path::new("/var/lib").join(&container.id);
        fs::write(&path, vec![7; size]).expect("a disk");
        OnDisk(path)
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn limits_bite() {
    let Some(container) = scoped() else { return };
    let file = OnDisk::new(&container, 4 << 20);
    let mount = json!({"destination": "/file", "source": file.0, "options": ["bind", "ro"]});
    let container = run(container.set("/linux/resources", limits()).mount(mount));
    // At 1 MiB a second; the first slice is free.
    let since = Instant::now();
    container.exec(&["dd", "if=/file", "of=/dev/null", "bs=256k", "iflag=direct"]).ok();
    assert!(since.elapsed() > Duration::from_secs(3), "{:?}", since.elapsed());
    let greedy = container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"]);
    assert_eq!(greedy.status, 137, "{greedy:?}");
    // systemd is told of the lack of memory as well, and leaves the others alone.
    assert_eq!(container.status(), "running");
    container.exec(&["timeout", "2", "sh", "-c", "while :; do :; done"]);
    let throttled = read(&container, "cpu.stat");
    let throttled = throttled.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok());
    assert!(throttled > Some(0), "{throttled:?}");
    // Last: nobody waits for them.
    let forks = container.exec(&["sh", "-c", "i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i+1)); done"]);
    assert!(forks.stderr.contains("fork"), "{forks:?}");
    container.pause().ok();
    assert_eq!(container.status(), "paused");
    assert_eq!(read(&container, "cgroup.freeze"), "1");
    systemctl(&["daemon-reload"]);
    assert_eq!(container.status(), "paused");
    container.resume().ok();
    container.pause().ok();
    container.delete_by_force().ok();
    assert_gone(&container);
}

#[test]
fn an_update_is_told_to_systemd_and_so_survives_it() {
    let Some(container) = scoped() else { return };
    let container = run(container.set("/linux/resources", limits()));
    // No flag: the driver is known from the store.
    let memory = json!({"limit": 48 << 20, "swap": 64 << 20});
    container.update(&json!({"memory": memory, "pids": {"limit": 30}, "cpu": {"quota": 50_000}})).ok();
    let check = || {
        assert_eq!(read(&container, "memory.max"), "50331648");
        assert_eq!(read(&container, "pids.max"), "30");
        assert_eq!(read(&container, "cpu.max"), "50000 100000");
        assert_eq!(read(&container, "memory.low"), "33554432");
    };
    check();
    systemctl(&["set-property", "--runtime", &container.unit(), "CPUWeight=77"]);
    systemctl(&["daemon-reload"]);
    check();
    assert_eq!(show(&container.unit(), "MemoryMax"), "50331648");
    assert_eq!(show(&container.unit(), "CPUQuotaPerSecUSec"), "500ms");
}

/// systemd knows nothing of huge pages, and hands their controller down to nobody.
#[test]
fn an_update_may_ask_for_what_create_has_not() {
    let Some(container) = scoped().filter(|_| runtime().is("plimsoll")) else { return };
    let path = format!("plimsoll_huge.slice:t:{}", container.id);
    let container = container.set("/linux/cgroupsPath", json!(path));
    let container = run(container);
    container.update(&json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}]})).ok();
    let file = Path::new(cgroup::ROOT).join("plimsoll_huge.slice").join(container.unit()).join("hugetlb.2MB.max");
    assert_eq!(fs::read_to_string(file).expect("a limit").trim_end(), "2097152");
}

#[test]
fn exec_is_in_the_scope_and_in_groups_below_it() {
    let Some(container) = scoped() else { return };
    let container = run(container.without_namespace("cgroup"));
    let place = format!("0::/system.slice/{}", container.unit());
    assert_eq!(container.exec(&["cat", "/proc/self/cgroup"]).ok(), place);
    assert_eq!(fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).expect("procfs").trim_end(), place);
}

#[test]
fn a_name_is_free_as_soon_as_its_container_is_deleted() {
    let Some(container) = scoped() else { return };
    let container = container.args(&["true"]);
    for _ in 0..5 {
        create(&container).ok();
        container.start().ok();
        container.wait_for("stopped");
        container.delete().ok();
        assert_gone(&container);
    }
    for _ in 0..5 {
        create(&container).ok();
        container.delete_by_force().ok();
        assert_gone(&container);
    }
}

#[test]
fn the_remains_of_a_failed_scope_are_no_obstacle() {
    let Some(container) = scoped() else { return };
    let name = format!("--unit={}", container.unit());
    let args = ["--scope", "--quiet", "--property=RuntimeMaxSec=1", &name, "sleep", "30"];
    let _ = Command::new("systemd-run").args(args).status().expect("systemd-run");
    wait_until("it has failed", || (show(&container.unit(), "ActiveState") == "failed").then_some(()));
    create(&container).ok();
    assert_eq!(show(&container.unit(), "ActiveState"), "active");
}

#[test]
fn somebody_elses_scope_is_not_taken_over() {
    for slice in ["system.slice", "plimsoll-other.slice"] {
        let Some(container) = scoped() else { return };
        let (unit, slice) = (format!("--unit={}", container.unit()), format!("--slice={slice}"));
        let args = ["--scope", "--quiet", &unit, &slice, "sleep", "300"];
        let mut other = Command::new("systemd-run").args(args).spawn().expect("systemd-run");
        wait_until("it runs", || (show(&container.unit(), "ActiveState") == "active").then_some(()));
        let refused = create(&container);
        assert_ne!(refused.status, 0, "{refused:?}");
        container.delete_by_force();
        assert_eq!(show(&container.unit(), "ActiveState"), "active");
        assert!(other.try_wait().expect("our child").is_none(), "it has been killed");
        other.kill().expect("our child");
        other.wait().expect("our child");
    }
}

#[test]
fn whoever_stops_the_scope_stops_the_container() {
    let Some(container) = scoped() else { return };
    let container =
        run(container.set("/annotations", json!({"org.systemd.property.TimeoutStopUSec": "uint64 2000000"})));
    assert_eq!(show(&container.unit(), "TimeoutStopUSec"), "2s");
    systemctl(&["stop", &container.unit()]);
    container.wait_for("stopped");
    container.delete().ok();
    assert_gone(&container);
}

#[test]
fn an_annotation_for_a_dangerous_property_is_refused() {
    if !runtime().is("plimsoll") {
        return;
    }
    let Some(container) = scoped() else { return };
    let container = container.set("/annotations", json!({"org.systemd.property.SuccessAction": "'reboot-force'"}));
    create(&container).fails("cannot be set by an annotation");
    assert_gone(&container);
}

#[test]
fn it_starts_and_ends_while_systemd_is_busy_with_itself() {
    let Some(container) = scoped() else { return };
    let container = container.args(&["true"]);
    let script = "while :; do systemctl daemon-reload; sleep 1; done";
    let noise = KilledOnDrop(Command::new("sh").args(["-c", script]).spawn().expect("sh"));
    for _ in 0..5 {
        create(&container).ok();
        container.start().ok();
        container.wait_for("stopped");
        container.delete().ok();
    }
    drop(noise);
    // `delete` does not wait for ever.
    wait_until("systemd has forgotten it", || units(&container.unit()).is_empty().then_some(()));
    assert_gone(&container);
}

/// Every upgrade of systemd does so. Meanwhile nobody else gets an answer: `test-vm` runs it when the others are done.
#[test]
#[ignore = "disturbs whoever else speaks to systemd"]
fn it_starts_and_ends_while_systemd_executes_itself_anew() {
    let Some(container) = scoped().filter(|_| runtime().is("plimsoll")) else { return };
    for pause in [0, 200, 400] {
        let mut systemd = Command::new("systemctl").arg("daemon-reexec").spawn().expect("systemctl");
        std::thread::sleep(Duration::from_millis(pause));
        create(&container).ok();
        let _ = systemd.wait();
        let mut systemd = Command::new("systemctl").arg("daemon-reexec").spawn().expect("systemctl");
        std::thread::sleep(Duration::from_millis(pause));
        container.call(&["update", "--pids-limit", "20", &container.id]).ok();
        assert_eq!(read(&container, "pids.max"), "20");
        let _ = systemd.wait();
        let mut systemd = Command::new("systemctl").arg("daemon-reexec").spawn().expect("systemctl");
        std::thread::sleep(Duration::from_millis(pause));
        container.call(&["delete", "--force", &container.id]).ok();
        let _ = systemd.wait();
        assert_gone(&container);
    }
}

#[test]
fn on_a_bus_it_is_the_same() {
    let bus = Path::new("/run/dbus/system_bus_socket");
    let Some(container) = scoped().filter(|_| runtime().is("plimsoll") && bus.exists()) else { return };
    let container = container.args(&["true"]);
    let address = format!("unix:path={}", bus.display());
    let call = |args: &[&str]| {
        output::finish(container.command(args).env("DBUS_SYSTEM_BUS_ADDRESS", &address)).ok().to_owned()
    };
    container.write_config();
    let bundle = container.dir.to_string_lossy().into_owned();
    let flag = if cgroup::by_systemd() { &[][..] } else { &["--systemd-cgroup"] };
    call(&[flag, &["run", "--bundle", &bundle, &container.id]].concat());
    assert_gone(&container);
    call(&[flag, &["create", "--bundle", &bundle, &container.id]].concat());
    call(&["update", "--pids-limit", "20", &container.id]);
    assert_eq!(show(&container.unit(), "TasksMax"), "20");
    call(&["delete", "--force", &container.id]);
    assert_gone(&container);
}
