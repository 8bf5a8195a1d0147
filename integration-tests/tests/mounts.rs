//! mounts: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#mounts>
mod bind;
mod id_mapped;

use plimsoll_integration_tests::see::{Mount, mount_at};
use plimsoll_integration_tests::{Container, cgroup, known_deviation, output};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// What a container with this mount sees at its destination.
#[track_caller]
fn check(mount: Value) -> Mount {
    let target = mount["destination"].as_str().expect("a destination").to_owned();
    seen(Container::new().set("/root/readonly", json!(false)).mount(mount), &target)
}

#[track_caller]
fn seen(container: Container, target: &str) -> Mount {
    let output = container.args(&["cat", "/proc/self/mountinfo"]).run();
    mount_at(output.ok(), target).unwrap_or_else(|| panic!("nothing on {target}: {output:#?}"))
}

#[track_caller]
fn assert_has(mount: &Mount, options: &[&str]) {
    for option in options {
        assert!(mount.has(option), "no `{option}`: {mount:?}");
    }
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "none", "source": source, "options": options})
}

#[test]
fn those_of_the_default_config_are_all_there() {
    let output = Container::new().args(&["cat", "/proc/self/mountinfo"]).run();
    let expected: [(&str, &str, &[&str]); 6] = [
        ("/proc", "proc", &["rw"]),
        ("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"]),
        ("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec", "size=65536k"]),
        ("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
    ];
    for (target, kind, options) in expected {
        let mount = mount_at(output.ok(), target).unwrap_or_else(|| panic!("nothing on {target}"));
        assert_eq!(mount.kind, kind, "{mount:?}");
        assert_has(&mount, options);
    }
    let cgroup = mount_at(output.ok(), "/sys/fs/cgroup").expect("something on /sys/fs/cgroup");
    assert_has(&cgroup, &["nosuid", "nodev", "noexec"]);
}

#[test]
fn the_directory_above_the_cgroup_hierarchies_is_read_only_too() {
    if known_deviation() {
        return;
    }
    assert_has(&seen(Container::new(), "/sys/fs/cgroup"), &["ro"]);
}

#[test]
fn each_cgroup_hierarchy_is_mounted_read_only() {
    let output = Container::new().args(&["cat", "/proc/self/mountinfo"]).run();
    let v1 = ["/memory", "/pids", "/devices", "/freezer", "/cpuset"];
    for hierarchy in if cgroup::is_v2() { &[""][..] } else { &v1 } {
        let mount = mount_at(output.ok(), &format!("/sys/fs/cgroup{hierarchy}")).expect(hierarchy);
        assert_eq!(mount.kind, if cgroup::is_v2() { "cgroup2" } else { "cgroup" });
        assert_has(&mount, &["ro", "nosuid", "nodev", "noexec"]);
    }
}

#[test]
fn a_container_sees_its_own_limit_in_its_cgroup_mount() {
    let container = Container::new().set("/linux/resources/pids", json!({"limit": 77}));
    // Without a cgroup namespace, a mount of cgroup v2 shows all of the host's.
    let (container, directory) =
        if cgroup::is_v2() { (container.namespace("cgroup", None), "") } else { (container, "/pids") };
    assert_eq!(container.args(&["cat", &format!("/sys/fs/cgroup{directory}/pids.max")]).run().ok(), "77");
}

#[test]
fn they_are_made_in_the_order_given() {
    let tmpfs = |destination| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
    let hidden = Container::new().set("/root/readonly", json!(false)).mount(tmpfs("/a/b")).mount(tmpfs("/a"));
    assert_eq!(hidden.args(&["ls", "/a"]).run().ok(), "");
    let both = Container::new().set("/root/readonly", json!(false)).mount(tmpfs("/a")).mount(tmpfs("/a/b"));
    assert_eq!(both.args(&["ls", "/a"]).run().ok(), "b");
}

#[test]
fn tmpfs_options_reach_the_filesystem() {
    let mount = check(json!({
        "destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "noexec", "noatime", "size=1m", "mode=0700", "uid=7", "gid=8", "nr_inodes=99"],
    }));
    assert_has(
        &mount,
        &["nosuid", "nodev", "noexec", "noatime", "size=1024k", "mode=700", "uid=7", "gid=8", "nr_inodes=99"],
    );
}

#[test]
fn options_that_set_and_clear_take_the_last_word() {
    if known_deviation() {
        return;
    }
    let options = json!(["ro", "noexec", "nosuid", "rw", "exec", "suid", "size=1m"]);
    let mount = check(json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": options}));
    assert_has(&mount, &["rw"]);
    assert!(!mount.has("noexec") && !mount.has("nosuid"), "{mount:?}");
}

#[test]
fn a_read_only_tmpfs_is_read_only() {
    let mount = check(json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}));
    assert_has(&mount, &["ro"]);
}

#[test]
fn propagation_is_as_asked_for() {
    if known_deviation() {
        return;
    }
    for (option, expected) in [("shared", "shared"), ("private", ""), ("unbindable", "unbindable")] {
        let options = [option, "size=1m"];
        let mount = check(json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": options}));
        let found = mount.propagation.first().map_or("", String::as_str);
        assert_eq!(found.split(':').next(), Some(expected), "{option}: {mount:?}");
    }
}

#[test]
fn a_missing_target_is_made_even_for_a_read_only_root() {
    let mount = json!({"destination": "/new/deep/place", "type": "tmpfs", "source": "tmpfs"});
    assert_eq!(seen(Container::new().mount(mount), "/new/deep/place").kind, "tmpfs");
}

#[test]
fn a_target_behind_a_symlink_stays_inside_the_root_filesystem() {
    for link in ESCAPES {
        let container = behind(link);
        fs::create_dir(container.rootfs().join("harbour")).expect("our own");
        assert_eq!(seen(container, "/harbour/quay").kind, "tmpfs", "{link}");
    }
}

#[test]
fn a_target_behind_a_dangling_symlink_is_made_inside_the_root_filesystem() {
    if known_deviation() {
        return;
    }
    for link in ESCAPES {
        assert_eq!(seen(behind(link), "/harbour/quay").kind, "tmpfs", "{link}");
        assert!(!Path::new("/harbour").exists(), "{link}");
    }
}

/// Absolute, relative, and with more `..` than there are directories.
const ESCAPES: [&str; 3] = ["/harbour", "../harbour", "../../../../../../harbour"];

fn behind(link: &str) -> Container {
    let container = Container::new();
    symlink(link, container.rootfs().join("etc/link")).expect("our own");
    container.mount(json!({"destination": "/etc/link/quay", "type": "tmpfs", "source": "tmpfs"}))
}

#[test]
fn tmpcopyup_takes_what_was_there() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    fs::write(container.rootfs().join("etc/motd"), "ahoy").expect("our own");
    let mount = json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]});
    assert_eq!(container.mount(mount).shell("cat /etc/motd; touch /etc/new").run().ok(), "ahoy");
}

/// Who sees a mount that the container makes below a bind mount of something that is shared on the host?
#[track_caller]
fn seen_by(container: Container, options: &[&str]) -> String {
    let shared = container.make_dir("shared");
    let container = container
        .mount(bind(&shared, "/mnt", options))
        .capabilities(&["CAP_SYS_ADMIN"])
        .shell("mkdir /mnt/below && mount -t tmpfs below /mnt/below");
    let run = container.launcher(&["run"]);
    let script = r#"mount -t tmpfs shared "$0" && mount --make-shared "$0" && chmod 777 "$0" && "$@" &&
        if mountpoint -q "$0/below"; then echo the host; else echo the container; fi"#;
    let mut host = Command::new("unshare");
    host.args(["--mount", "sh", "-c", script]).arg(&shared).arg(run.get_program()).args(run.get_args());
    output::finish(&mut host).ok().to_owned()
}

#[test]
fn mounts_below_a_shared_one_reach_the_host_if_the_root_is_shared_too() {
    if known_deviation() {
        return;
    }
    let shared = || Container::new().set("/linux/rootfsPropagation", json!("rshared"));
    assert_eq!(seen_by(shared(), &["rbind", "rshared"]), "the host");
    assert_eq!(seen_by(shared(), &["rbind", "rprivate"]), "the container");
    assert_eq!(seen_by(Container::new(), &["rbind"]), "the container");
}

#[test]
fn mounts_of_a_user_namespace_do_not_reach_the_host() {
    if known_deviation() {
        return;
    }
    assert_eq!(seen_by(Container::new().user_namespace(0, 65536), &["rbind"]), "the container");
}

#[test]
fn a_new_directory_for_a_tmpfs_is_for_everybody_and_an_old_one_stays_as_it_is() {
    if known_deviation() {
        return;
    }
    let container = Container::new().mount(json!({"destination": "/new", "type": "tmpfs", "source": "tmpfs"}));
    let container = container.mount(json!({"destination": "/root", "type": "tmpfs", "source": "tmpfs"}));
    fs::set_permissions(container.rootfs().join("root"), fs::Permissions::from_mode(0o710)).expect("our own");
    assert_eq!(container.args(&["stat", "-c", "%a", "/new", "/root"]).run().ok(), "1777\n710");
}

#[test]
fn a_mount_may_be_changed_by_a_later_one() {
    let tmpfs = json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]});
    let again =
        json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro", "size=2m"]});
    let container = Container::new().set("/root/readonly", json!(false)).mount(tmpfs).mount(again);
    assert_has(&seen(container, "/scratch"), &["ro", "size=2048k"]);
}

#[test]
fn in_a_cgroup_namespace_each_hierarchy_begins_at_the_container() {
    let container = Container::new().namespace("cgroup", None).set("/linux/resources/pids", json!({"limit": 77}));
    let (hierarchy, kind) = if cgroup::is_v2() { ("", "cgroup2") } else { ("/pids", "cgroup") };
    let seen = container.shell(&format!("cat /sys/fs/cgroup{hierarchy}/pids.max /proc/self/mountinfo")).run();
    let (limit, mounts) = seen.ok().split_once('\n').expect("both");
    assert_eq!(limit, "77");
    let mount = mount_at(mounts, &format!("/sys/fs/cgroup{hierarchy}")).expect("a hierarchy");
    assert_eq!((mount.kind.as_str(), mount.root.as_str()), (kind, "/"));
}

#[test]
fn the_v2_side_of_a_hybrid_host_is_there_as_well() {
    if !Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists() || known_deviation() {
        return;
    }
    for container in [Container::new(), Container::new().namespace("cgroup", None)] {
        let seen = container.shell("cat /sys/fs/cgroup/unified/cgroup.procs; touch /sys/fs/cgroup/unified/x").run();
        assert!(seen.stdout.lines().any(|pid| pid == "1") && seen.stderr.contains("ead-only"), "{seen:?}");
    }
}
