//! root, linux.rootfsPropagation: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#root>
use plimsoll_integration_tests::see::{mount_at, mounts};
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;

#[test]
fn nothing_of_the_host_is_seen() {
    let container = Container::new();
    let seen = container.shell("ls -a /; cat /proc/self/mountinfo").run();
    for name in ["home", "usr", "boot"] {
        assert!(!seen.ok().lines().any(|line| line == name), "{seen:?}");
    }
    let ours = |target: &str| target == "/" || ["/proc", "/dev", "/sys"].iter().any(|dir| target.starts_with(dir));
    for mount in mounts(seen.ok()) {
        assert!(ours(&mount.target), "{mount:?}");
    }
}

#[test]
fn a_read_only_root_is_read_only() {
    let seen = Container::new().shell("touch /x || touch /etc/x").run();
    assert_ne!(seen.status, 0);
    assert!(seen.stderr.contains("Read-only file system"), "{seen:?}");
}

#[test]
fn a_writable_root_is_writable() {
    let container = Container::new().set("/root/readonly", json!(false)).shell("echo salt >/etc/x");
    container.run().ok();
    assert_eq!(std::fs::read_to_string(container.rootfs().join("etc/x")).expect("written"), "salt\n");
}

#[test]
fn its_path_may_be_absolute() {
    let container = Container::new();
    let path = container.rootfs();
    assert_eq!(container.set("/root/path", json!(path)).shell("echo afloat").run().ok(), "afloat");
}

#[test]
fn a_missing_one_is_an_error() {
    let container = Container::new().set("/root/path", json!("nowhere"));
    container.create().fails("nowhere");
    container.assert_nothing_left();
}

#[test]
fn it_is_a_mount_of_its_own_and_not_shared() {
    let seen = Container::new().args(&["cat", "/proc/self/mountinfo"]).run();
    let root = mount_at(seen.ok(), "/").expect("a root");
    assert!(root.has("ro") && !root.propagation.iter().any(|kind| kind.starts_with("shared")), "{root:?}");
}

#[test]
fn propagation_is_as_asked_for() {
    if known_deviation() {
        return;
    }
    for (asked, expected) in [("shared", "shared:"), ("private", ""), ("unbindable", "unbindable")] {
        let container = Container::new().set("/linux/rootfsPropagation", json!(asked));
        let seen = container.args(&["cat", "/proc/self/mountinfo"]).run();
        let root = mount_at(seen.ok(), "/").expect("a root");
        let found = root.propagation.iter().find(|kind| !kind.starts_with("master"));
        assert!(
            found.map_or(expected.is_empty(), |kind| !expected.is_empty() && kind.starts_with(expected)),
            "{asked}: {root:?}"
        );
    }
}

/// Where the host's procfs could be reached, a user namespace in the container could mount one that nothing masks.
#[test]
fn without_a_pivot_nothing_of_the_hosts_procfs_is_left() {
    let every = ["CAP_SETFCAP", "CAP_SETUID", "CAP_SETGID"];
    let container = Container::new().capabilities(&every);
    let container = container.shell("unshare -Urpf mount -t proc none /etc; true");
    container.launch(&["run", "--no-pivot"]).says("ermission denied");
}

#[test]
fn an_unknown_propagation_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/rootfsPropagation", json!("public"));
    assert_ne!(container.create().status, 0);
    container.assert_nothing_left();
}

#[test]
fn a_slave_hears_of_what_the_host_mounts() {
    let container = Container::new().set("/linux/rootfsPropagation", json!("slave"));
    let seen = container.args(&["cat", "/proc/self/mountinfo"]).run();
    let root = mount_at(seen.ok(), "/").expect("a root");
    assert!(!root.propagation.iter().any(|kind| kind.starts_with("shared")), "{root:?}");
}
