//! process.user: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#user>
use plimsoll_integration_tests::see::field;
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};

#[track_caller]
fn seen(user: Value) -> String {
    Container::new().set("/process/user", user).shell("cat /proc/self/status; umask").run().ok().to_owned()
}

#[test]
fn it_is_root_without_groups_by_default() {
    let seen = seen(json!({"uid": 0, "gid": 0}));
    assert_eq!(field(&seen, "Uid"), "0\t0\t0\t0");
    assert_eq!(field(&seen, "Gid"), "0\t0\t0\t0");
    assert_eq!(field(&seen, "Groups"), "");
}

#[test]
fn uid_and_gid_are_set_four_times_each() {
    let seen = seen(json!({"uid": 1000, "gid": 2000}));
    assert_eq!(field(&seen, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field(&seen, "Gid"), "2000\t2000\t2000\t2000");
}

#[test]
fn additional_groups_are_exactly_those() {
    let seen = seen(json!({"uid": 1000, "gid": 2000, "additionalGids": [5, 3_000_000]}));
    assert_eq!(field(&seen, "Groups"), "5 3000000");
}

#[test]
fn the_umask_is_as_asked_for() {
    let seen = seen(json!({"uid": 0, "gid": 0, "umask": 0o027}));
    assert!(seen.ends_with("0027"), "{seen}");
}

#[test]
fn without_one_the_umask_is_the_callers() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["sh", "-c", "umask"]);
    let mut command = container.launcher(&["run"]);
    let change = || {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o031));
        Ok(())
    };
    // SAFETY: one system call between fork and exec.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, change) };
    assert_eq!(plimsoll_integration_tests::output::finish(&mut command).ok(), "0031");
}

#[test]
fn a_name_that_looks_like_a_number_is_not_looked_up() {
    // CVE-2016-3697
    let container = Container::new().set("/process/user", json!({"uid": 1000, "gid": 1000})).args(&["id", "-u"]);
    std::fs::write(container.rootfs().join("etc/passwd"), "1000:x:0:0::/:/bin/sh\n").expect("our own");
    assert_eq!(container.run().ok(), "1000");
}

#[test]
fn home_is_that_of_the_user_unless_it_is_set() {
    let container = || {
        let container = Container::new().set("/process/user", json!({"uid": 1000, "gid": 1000})).shell("echo $HOME");
        std::fs::write(container.rootfs().join("etc/passwd"), "sailor:x:1000:1000::/home/sailor:/bin/sh\n")
            .expect("our own");
        container
    };
    assert_eq!(container().run().ok(), "/home/sailor");
    assert_eq!(container().set("/process/env/-", json!("HOME=/cabin")).run().ok(), "/cabin");
}

#[test]
fn exec_is_the_containers_user_or_another() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/user", json!({"uid": 1000, "gid": 2000})).running();
    let id = ["sh", "-c", "echo $(id -u):$(id -g)"];
    assert_eq!(container.exec(&id).ok(), "1000:2000");
    assert_eq!(container.exec_with(&["--user", "3:4"], &id).ok(), "3:4");
}

#[test]
fn exec_as_a_uid_alone_keeps_the_group() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/user", json!({"uid": 1000, "gid": 2000})).running();
    assert_eq!(container.exec_with(&["--user", "1"], &["sh", "-c", "echo $(id -u):$(id -g)"]).ok(), "1:2000");
}

#[test]
fn exec_refuses_what_is_not_a_user() {
    // CVE-2026-30892: a parser that gives up half way must not leave root behind.
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    for user in ["4294967296", "1a", "1:x", "0x1"] {
        let seen = container.exec_with(&["--user", user], &["id", "-u"]);
        assert!(seen.status != 0 && seen.stdout.is_empty(), "{user}: {seen:?}");
    }
}
