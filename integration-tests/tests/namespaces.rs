//! linux.namespaces: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#namespaces>
use plimsoll_integration_tests::{Container, cgroup, hook, known_deviation};
use serde_json::json;
use std::fs;

/// The name in /proc/PID/ns of each type; user and time have tests of their own.
const KINDS: [(&str, &str); 6] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("cgroup", "cgroup")];

fn inside(file: &str) -> Container {
    Container::new().args(&["readlink", &format!("/proc/self/ns/{file}")])
}

fn outside(pid: &str, file: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{file}")).expect("procfs").to_string_lossy().into_owned()
}

#[test]
fn without_a_path_it_is_new() {
    for (kind, file) in KINDS {
        let seen = inside(file).namespace(kind, None).run();
        assert_ne!(seen.ok(), outside("self", file), "{kind}");
        assert!(seen.ok().starts_with(file), "{seen:?}");
    }
}

#[test]
fn one_that_is_not_named_is_the_callers() {
    // Without its own uts namespace a hostname cannot be asked for. A container always has its own mount namespace.
    for (kind, file) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
        let container = inside(file).without_namespace(kind).remove("/hostname");
        let container = if *kind == "network" { without_sysfs(container) } else { container };
        assert_eq!(container.run().ok(), outside("self", file), "{kind}");
    }
}

/// sysfs belongs to a network namespace: a new mount of it needs one of our own only in a user namespace, and
/// what it shows of the host does not belong here.
fn without_sysfs(mut container: Container) -> Container {
    let mounts = container.config["mounts"].as_array_mut().expect("an array");
    mounts.retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/sys"));
    container
}

#[test]
fn one_with_a_path_is_joined() {
    let other = Container::new().namespace("cgroup", None).running();
    let pid = other.pid().to_string();
    for (kind, file) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
        let container = inside(file).namespace(kind, Some(&format!("/proc/{pid}/ns/{file}")));
        // The hostname belongs to the namespace, which has one.
        let seen = container.remove("/hostname").run();
        assert_eq!(seen.ok(), outside(&pid, file), "{kind}");
    }
}

#[test]
fn a_joined_pid_namespace_shows_its_processes() {
    let other = Container::new().running();
    let path = format!("/proc/{}/ns/pid", other.pid());
    let seen = Container::new().namespace("pid", Some(&path)).args(&["cat", "/proc/1/cmdline"]).run();
    assert_eq!(seen.ok().replace('\0', " ").trim(), "sleep 1000");
}

#[test]
fn with_the_user_namespace_that_it_belongs_to_as_well() {
    if known_deviation() {
        return;
    }
    let other = Container::new().user_namespace(100_000, 65536).running();
    let path = |file: &str| format!("/proc/{}/ns/{file}", other.pid());
    let joined = Container::new().namespace("user", Some(&path("user"))).namespace("pid", Some(&path("pid")));
    let joined = without_sysfs(joined.namespace("network", Some(&path("net"))));
    let joined = joined.shell("tr '\\0' ' ' </proc/1/cmdline; readlink /proc/self/ns/pid");
    let seen = joined.run();
    assert_eq!(seen.ok(), format!("sleep 1000 {}", outside(&other.pid().to_string(), "pid")));
}

#[test]
fn whoever_joins_a_pid_namespace_is_known_by_the_pid_that_stays() {
    let other = Container::new().running();
    let path = format!("/proc/{}/ns/pid", other.pid());
    let container = Container::new().namespace("pid", Some(&path));
    let told = other.dir.join("told");
    let script = format!("cat >>{}", told.display());
    let hook = hook(&script);
    for container in [
        container.set("/hooks/poststart", hook.clone()),
        Container::new().namespace("pid", Some(&path)).set("/hooks/createRuntime", hook),
    ] {
        let _ = fs::remove_file(&told);
        let container = container.args(&["sleep", "1000"]);
        let pid_file = container.dir.join("pid");
        container.launch(&["create", "--pid-file", &pid_file.to_string_lossy()]).ok();
        container.start().ok();
        let state: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&told).expect("a hook has run")).expect("JSON");
        assert_eq!(state["pid"], json!(container.pid()));
        assert_eq!(fs::read_to_string(&pid_file).expect("our own"), container.pid().to_string());
        assert_eq!(outside(&container.pid().to_string(), "pid"), outside(&other.pid().to_string(), "pid"));
        assert!(cgroup::pids(&container.cgroup_dir("freezer")).contains(&container.pid()));
        container.kill("KILL").ok();
        container.wait_for("stopped");
    }
}

#[test]
fn in_a_new_pid_namespace_the_program_is_pid_1() {
    assert_eq!(Container::new().shell("echo $$").run().ok(), "1");
}

#[test]
fn a_new_network_namespace_has_a_loopback_device_that_is_up() {
    let seen = Container::new().shell("ip -o link; ping -c 1 -W 2 127.0.0.1 >/dev/null && echo answers");
    let seen = seen.set("/process/capabilities/bounding/-", json!("CAP_NET_RAW"));
    let seen = seen.set("/process/capabilities/permitted/-", json!("CAP_NET_RAW"));
    let seen = seen.set("/process/capabilities/effective/-", json!("CAP_NET_RAW")).run();
    assert!(seen.ok().contains("lo: <LOOPBACK,UP") && seen.ok().ends_with("answers"), "{seen:?}");
    assert_eq!(seen.ok().lines().count(), 2, "no other device: {seen:?}");
}

#[test]
fn a_new_cgroup_namespace_has_the_container_at_its_root() {
    let seen = Container::new().namespace("cgroup", None).args(&["cat", "/proc/self/cgroup"]).run();
    let own = if cgroup::is_v2() { "0::" } else { ":freezer:" };
    let line = seen.ok().lines().find(|line| line.contains(own)).expect("a freezer hierarchy");
    assert!(line.ends_with(":/"), "{line}");
}

#[test]
fn a_time_namespace_has_its_offsets() {
    if known_deviation() {
        return;
    }
    let container =
        Container::new().namespace("time", None).shell("readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime");
    let container = container.set("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000_000, "nanosecs": 0}}));
    let seen = container.run();
    let (namespace, uptime) = seen.ok().split_once('\n').expect("two lines");
    assert_ne!(namespace, outside("self", "time"));
    assert!(uptime.parse::<u64>().expect("seconds") >= 1_000_000_000, "{uptime}");
}

#[test]
fn exec_is_in_the_same_namespaces() {
    let container = Container::new().namespace("cgroup", None).running();
    let pid = container.pid().to_string();
    let seen = container.exec(&[
        "sh",
        "-c",
        "for name in pid net ipc uts mnt cgroup user; do readlink /proc/self/ns/$name; done",
    ]);
    let expected = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"].map(|file| outside(&pid, file));
    assert_eq!(seen.ok(), expected.join("\n"));
}

#[test]
fn a_type_twice_is_refused() {
    if known_deviation() {
        return;
    }
    let twice = Container::new().set("/linux/namespaces/-", json!({"type": "pid"})).create();
    twice.fails("");
}

#[test]
fn a_path_of_another_type_is_refused() {
    let container = Container::new().namespace("ipc", Some("/proc/self/ns/uts"));
    assert_ne!(container.create().status, 0);
    container.assert_nothing_left();
}
