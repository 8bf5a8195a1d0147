//! Groups that a container divides itself, and threaded ones (kernel: `cgroup-v2.rst`).
use super::with;
use plimsoll_integration_tests::cgroup::{self, is_v2};
use plimsoll_integration_tests::skip::{NEEDS_V2, NOT_BY_SYSTEMD};
use plimsoll_integration_tests::{Container, runtime, skips, wait_until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A container that sees its cgroup writable, as its own root, and belongs to an ordinary user outside.
fn delegated() -> Container {
    let mut container = Container::new().user_namespace(100_000, 65536).namespace("cgroup", None);
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
    container.pause().ok();
    container.resume().ok();
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
    container.pause().ok();
    assert_eq!(container.status(), "paused");
    container.call(&["delete", "--force", &container.id]).ok();
    container.assert_nothing_left();
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
