//! `checkpoint` and `restore`, with a real CRIU.
mod bind_mounts;
mod failures;
mod foreign_images;
mod streams;

use plimsoll_integration_tests::output::KilledOnDrop;
use plimsoll_integration_tests::runtime::path_with_criu;
use plimsoll_integration_tests::saved::{Saved, count};
use plimsoll_integration_tests::{cgroup, hook, known_deviation, wait_until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn a_counter_goes_on_where_it_was() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    assert_eq!(count(&mut streams, 3), 3);
    let before = saved.container.pid();
    saved.checkpoint(&[]).ok();
    saved.container.call(&["state", &saved.container.id]).fails("does not exist");
    saved.container.assert_nothing_left();
    drop(streams);

    let pid_file = saved.container.dir.join("pid");
    let mut streams =
        Saved::on_pipes(saved.restore_command(&["--detach", "--pid-file", pid_file.to_str().expect("UTF-8")]));
    assert_eq!(saved.container.status(), "running");
    assert_eq!(count(&mut streams, 2), 5);
    let pid = saved.container.pid();
    assert_ne!(pid, before);
    assert_eq!(fs::read_to_string(&pid_file).expect("a pid file"), pid.to_string());
    assert_eq!(saved.container.exec(&["sh", "-c", "echo $$ >/dev/shm/x; hostname"]).ok(), "vessel");
    saved.container.pause().ok();
    saved.container.resume().ok();
    assert_eq!(count(&mut streams, 1), 6);
    saved.container.end();
}

#[test]
fn a_restored_container_can_be_saved_again_with_what_exec_has_started() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    for round in 1..=2 {
        assert_eq!(count(&mut streams, 1), round);
        let started = saved.container.exec(&["sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"]);
        saved.checkpoint(&[]).ok();
        streams = saved.restore();
        let there = format!("/proc/{}", started.ok());
        assert_eq!(saved.container.exec(&["ls", "-d", &there]).ok(), there);
    }
    assert_eq!(count(&mut streams, 1), 3);
}

#[test]
fn one_with_a_user_namespace_comes_back_and_its_images_stay_closed_to_others() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter_of_a_user();
    saved.count_and_save();
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    assert_eq!(saved.container.exec(&["cat", "/proc/1/gid_map"]).ok().split_whitespace().nth(1), Some("200000"));
    assert_eq!(fs::metadata(&saved.images).expect("images").permissions().mode() & 0o777, 0o700);
}

#[test]
fn into_a_user_namespace_that_is_there_already_it_cannot_come_back() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counted();
    saved.container = saved.container.namespace("user", Some("/proc/self/ns/user"));
    saved.restore_fails("/linux/namespaces: CRIU cannot restore into a user namespace that is there already");
}

#[test]
fn with_leave_running_it_goes_on_at_once() {
    if known_deviation() {
        return;
    }
    let (saved, mut streams) = Saved::counting();
    let pid = saved.container.pid();
    saved.checkpoint(&["--leave-running"]).ok();
    assert_eq!((saved.container.status().as_str(), saved.container.pid()), ("running", pid));
    assert_eq!(count(&mut streams, 1), 2);
    saved.container.delete_by_force().ok();
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn a_paused_container_can_be_saved() {
    if known_deviation() {
        return;
    }
    let (saved, _streams) = Saved::counting();
    saved.container.pause().ok();
    saved.checkpoint(&["--leave-running"]).ok();
    assert_eq!(saved.container.status(), "paused");
    saved.checkpoint(&[]).ok();
    saved.container.assert_nothing_left();
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn pre_dump_saves_the_memory_and_the_rest_follows() {
    if known_deviation() {
        return;
    }
    let (mut saved, mut streams) = Saved::counting();
    saved.images = saved.container.dir.join("before");
    let mut check = Command::new("criu");
    check
        .args(["check", "--feature", "mem_dirty_track"])
        .env("PATH", path_with_criu())
        .current_dir(&saved.container.dir);
    if !check.output().expect("criu").status.success() {
        saved.checkpoint(&["--pre-dump"]).fails("missing features");
        assert_eq!(count(&mut streams, 1), 2);
        return;
    }
    saved.checkpoint(&["--pre-dump"]).ok();
    assert_eq!(saved.container.status(), "running");
    assert_eq!(count(&mut streams, 1), 2);
    saved.images = saved.container.dir.join("images");
    saved.checkpoint(&["--parent-path", "../before"]).ok();
    assert_eq!(fs::read_link(saved.images.join("parent")).expect("a link"), Path::new("../before"));
    assert_eq!(count(&mut saved.restore(), 1), 3);
}

#[test]
fn the_earlier_images_are_beside_these() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    for parent in ["/tmp", "nowhere"] {
        saved.checkpoint(&["--parent-path", parent]).fails("--parent-path");
    }
    assert_eq!(count(&mut streams, 1), 1);
}

#[test]
fn its_limits_are_those_of_the_configuration_wherever_its_cgroup_is() {
    if known_deviation() {
        return;
    }
    let (mut saved, _streams) = Saved::counting();
    saved.checkpoint(&["--manage-cgroups-mode", "ignore"]).ok();
    let (path, group) = (saved.container.cgroups_path(), saved.container.cgroup());
    let (path, elsewhere) = match cgroup::by_systemd() {
        true => (path.replace(":t:", ":else:"), group.replace("/t-", "/else-")),
        false => (format!("{path}-2"), format!("{group}-2")),
    };
    saved.container = saved
        .container
        .set("/linux/cgroupsPath", json!(path))
        .set("/linux/resources/pids", json!({"limit": 77}))
        .set("/linux/resources/memory", json!({"limit": 64 << 20}));
    let mut streams = Saved::on_pipes(saved.restore_command(&["--detach", "--manage-cgroups-mode", "ignore"]));
    assert_eq!(count(&mut streams, 1), 2);
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", saved.container.pid())).expect("procfs");
    assert!(groups.lines().all(|line| line.ends_with(&elsewhere) || !line.contains(&saved.container.id)), "{groups}");
    let file = |controller: &str, v1: &str, v2: &str| {
        let (hierarchy, name) = if cgroup::is_v2() { ("", v2) } else { (controller, v1) };
        let path = Path::new(cgroup::ROOT).join(hierarchy).join(elsewhere.trim_start_matches('/')).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
    };
    assert_eq!(file("pids", "pids.max", "pids.max"), "77");
    assert_eq!(file("memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    saved.container.delete_by_force().ok();
    saved.container.assert_nothing_left();
}

#[test]
fn a_namespace_that_is_joined_is_joined_again() {
    if known_deviation() {
        return;
    }
    let holder = KilledOnDrop(Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().expect("unshare"));
    let path = format!("/proc/{}/ns/net", holder.0.id());
    let own = fs::read_link("/proc/self/ns/net").expect("procfs");
    wait_until("a network namespace", || (fs::read_link(&path).ok()? != own).then_some(()));
    let container = Saved::counter().container.namespace("network", Some(&path));
    let saved = Saved::new(container);
    saved.count_and_save();
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    let joined = fs::read_link(format!("/proc/{}/ns/net", saved.container.pid())).expect("procfs");
    assert_eq!(joined, fs::read_link(&path).expect("procfs"));
    saved.container.delete_by_force().ok();
}

#[test]
fn hooks_run_when_the_namespaces_are_there_and_when_it_is_gone() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let journal = saved.container.dir.join("journal");
    let hook = |kind: &str| {
        let script =
            format!("echo {kind} $(tr -d '\\n\\t ' | grep -o '\"status\":\"[a-z]*\"') >>{}", journal.display());
        hook(&script)
    };
    let kinds = ["prestart", "createRuntime", "poststop"];
    let container = kinds.iter().fold(saved.container, |container, kind| {
        let hook = hook(kind);
        container.set(&format!("/hooks/{kind}"), hook)
    });
    let saved = Saved { container, images: saved.images };
    let journal = || {
        let text = fs::read_to_string(&journal).unwrap_or_default();
        let _ = fs::remove_file(&journal);
        text.lines().map(|line| line.replace("\"status\":", "")).collect::<Vec<_>>()
    };
    let mut streams = saved.run();
    count(&mut streams, 1);
    assert_eq!(journal(), ["prestart \"creating\"", "createRuntime \"creating\""]);
    saved.checkpoint(&[]).ok();
    assert_eq!(journal(), ["poststop \"stopped\""]);
    let _streams = saved.restore();
    assert_eq!(journal(), ["prestart \"creating\"", "createRuntime \"creating\""]);
    saved.container.delete_by_force().ok();
    assert_eq!(journal(), ["poststop \"stopped\""]);
}
