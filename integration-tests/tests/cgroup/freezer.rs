//! Frozen groups: what is paused, and what somebody else has frozen.
use super::count;
use plimsoll_integration_tests::cgroup::{self, is_v2};
use plimsoll_integration_tests::{Container, known_deviation, wait_until};
use std::fs;
use std::time::Duration;

#[test]
fn a_frozen_cgroup_is_not_taken() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    let directory = container.cgroup_dir("freezer");
    fs::create_dir_all(&directory).expect("a cgroup");
    let (file, frozen, thawed) = cgroup::freezer();
    fs::write(directory.join(file), frozen).expect("a freezer");
    container.create().fails("frozen");
    fs::write(directory.join(file), thawed).expect("a freezer");
}

#[test]
fn a_paused_container_uses_no_processor() {
    let container = Container::new().shell("while :; do :; done").created();
    container.start().ok();
    let usage = || match is_v2() {
        true => count(&container, "cpu", "cpu.stat", "usage_usec"),
        false => container.cgroup_file("cpuacct", "cpuacct.usage").parse().expect("a number"),
    };
    container.pause().ok();
    // crun does not wait until it is.
    std::thread::sleep(Duration::from_millis(100));
    let paused = usage();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(usage(), paused);
    container.resume().ok();
    wait_until("it goes on", || (usage() > paused).then_some(()));
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
    let (file, frozen, _) = cgroup::freezer();
    fs::write(below.join(file), frozen).expect("a freezer");
    container.kill("KILL").ok();
    wait_until("the group is empty", || cgroup::pids(&container.cgroup_dir("freezer")).is_empty().then_some(()));
    container.wait_for("stopped");
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
    let (file, frozen, thawed) = cgroup::freezer();
    fs::write(parent.join(file), frozen).expect("a freezer");
    container.create().fails("frozen");
    assert!(!container.cgroup_dir("freezer").exists());
    fs::write(parent.join(file), thawed).expect("a freezer");
    container.create().ok();
}
