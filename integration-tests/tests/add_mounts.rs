//! `mounts add|remove ID FILE`: mounts of a container that runs. crun has had it since 1.22, runc has not.
use plimsoll_integration_tests::{Container, Output, runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Neither of Debian's has the command; where there is none, there is nothing to ask.
fn not_asked() -> bool {
    runtime().is("runc") || runtime().is("crun")
}

/// Targets can be made.
fn writable() -> Container {
    Container::new().set("/root/readonly", json!(false))
}

#[track_caller]
fn mounts(container: &Container, what: &str, mounts: &Value) -> Output {
    let file = container.dir.join("mounts.json");
    fs::write(&file, mounts.to_string()).expect("our own directory");
    container.call(&["mounts", what, &container.id, file.to_str().expect("text")])
}

#[track_caller]
fn inside(container: &Container, script: &str) -> String {
    container.exec(&["sh", "-c", script]).ok().to_owned()
}

/// A directory of the host's with a file that says `ours`.
fn source(container: &Container) -> String {
    let source = container.dir.join("source");
    fs::create_dir_all(&source).expect("our own directory");
    fs::write(source.join("file"), "ours").expect("our own");
    source.to_str().expect("text").to_owned()
}

#[test]
fn a_directory_a_file_and_a_filesystem_come_and_go() {
    if not_asked() {
        return;
    }
    let container = writable().running();
    let source = source(&container);
    let list = json!([
        {"destination": "/new/data", "source": source, "options": ["bind", "ro"]},
        {"destination": "/etc/file", "source": format!("{source}/file"), "options": ["bind"]},
        {"destination": "/scratch", "type": "tmpfs", "options": ["size=64k", "mode=700", "nosuid"]},
    ]);
    mounts(&container, "add", &list).ok();
    assert_eq!(inside(&container, "cat /new/data/file /etc/file; stat -c %a /scratch"), "oursours700");
    let seen = inside(&container, "grep -E ' /(new/data|etc/file|scratch) ' /proc/self/mountinfo");
    let of = |path: &str| seen.lines().find(|line| line.contains(path)).expect("a mount").to_owned();
    assert!(of("/new/data").contains("data ro") && of("/etc/file").contains("file rw"), "{seen}");
    assert!(of("/scratch").contains("nosuid") && of("/scratch").contains("size=64k"), "{seen}");
    container.exec(&["touch", "/new/data/x"]).fails("Read-only file system");

    mounts(&container, "remove", &list).ok();
    assert_eq!(inside(&container, "grep -cE ' /(new/data|etc/file|scratch) ' /proc/self/mountinfo; true"), "0");
    mounts(&container, "remove", &list).fails("mounts: /0/destination: no mount of `mounts add` is there");
    mounts(&container, "add", &list).ok();
}

#[test]
fn a_container_that_is_created_or_paused_can_have_them() {
    if not_asked() {
        return;
    }
    let created = writable().shell("cat /data/file").created();
    let list = json!([{"destination": "/data", "source": source(&created), "options": ["bind"]}]);
    mounts(&created, "add", &list).ok();
    created.start().ok();

    let paused = writable().running();
    paused.pause().ok();
    mounts(&paused, "add", &json!([{"destination": "/data", "source": source(&paused), "options": ["bind"]}])).ok();
    paused.resume().ok();
    assert_eq!(inside(&paused, "cat /data/file"), "ours");
}

#[test]
fn if_one_cannot_be_mounted_none_is() {
    if not_asked() {
        return;
    }
    let container = writable().running();
    let good = json!({"destination": "/good", "type": "tmpfs"});
    for (bad, words) in [
        (json!({"destination": "/bad", "type": "tmpfs", "options": ["size=bogus"]}), "Bad value for 'size'"),
        (json!({"destination": "/bad", "source": "/no/such/source", "options": ["bind"]}), "ENOENT"),
        (json!({"destination": "/proc/sys", "type": "tmpfs"}), "inside /proc"),
        (json!({"destination": "/bin/busybox/x", "type": "tmpfs"}), "ENOTDIR"),
    ] {
        mounts(&container, "add", &json!([good, bad])).fails("mounts: /1").says(words);
        assert_eq!(inside(&container, "grep -cE ' /(good|bad) ' /proc/self/mountinfo; true"), "0", "{bad}");
    }
    mounts(&container, "add", &json!([good])).ok();
    mounts(&container, "remove", &json!([good])).ok();
}

#[test]
fn what_cannot_be_asked_for_is_an_error() {
    if not_asked() {
        return;
    }
    let container = writable().running();
    for (list, words) in [
        (json!({"destination": "/a"}), "mounts: "),
        (json!([{"destination": "/a", "type": 5}]), "mounts: /0/type"),
        (json!([{"type": "tmpfs"}]), "mounts: /0"),
        (json!([{"destination": "", "type": "tmpfs"}]), "mounts: /0/destination: a mount needs a destination"),
        (json!([{"destination": "/", "type": "tmpfs"}]), "mounts: /0/destination"),
        (json!([{"destination": "/proc", "options": ["remount", "rw"]}]), "remount"),
        (json!([{"destination": "/cg", "type": "cgroup"}]), "control groups"),
        (json!([{"destination": "/l", "source": "/bin", "options": ["bind", "copy-symlink"]}]), "copy-symlink"),
    ] {
        mounts(&container, "add", &list).fails(words);
    }
    container.call(&["mounts", "put", &container.id, "/dev/null"]).fails("add or remove");
    container.call(&["mounts", "add", &container.id, "/no/such/file"]).fails("no such file or directory");
    container.call(&["mounts", "add", &container.id]).fails("requires");
    let gone = json!([{"destination": "/a", "type": "tmpfs"}]);
    container.kill("KILL").ok();
    plimsoll_integration_tests::wait_until("it stops", || (container.status() == "stopped").then_some(()));
    mounts(&container, "add", &gone).fails("container not running");
    mounts(&container, "remove", &gone).fails("container not running");
}

#[test]
fn without_a_mount_namespace_it_is_an_error() {
    if not_asked() {
        return;
    }
    let container = writable().without_namespace("mount").remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let container = container.set("/mounts", json!([])).running();
    let list = json!([{"destination": "/scratch", "type": "tmpfs"}]);
    mounts(&container, "add", &list).fails("no mount namespace of its own");
}

#[test]
fn a_root_that_is_read_only_needs_a_target() {
    if not_asked() {
        return;
    }
    let container = Container::new();
    fs::create_dir(container.rootfs().join("here")).expect("our own");
    let container = container.running();
    mounts(&container, "add", &json!([{"destination": "/not/here", "type": "tmpfs"}])).fails("EROFS");
    mounts(&container, "add", &json!([{"destination": "/here", "type": "tmpfs"}])).ok();
}

#[test]
fn a_symbolic_link_does_not_lead_out_of_the_container() {
    if not_asked() {
        return;
    }
    let container = writable();
    symlink("/../../../../../tmp", container.rootfs().join("out")).expect("our own");
    let container = container.running();
    let name = format!("{}-made", container.id);
    mounts(&container, "add", &json!([{"destination": format!("/out/{name}"), "type": "tmpfs"}])).ok();
    assert!(!std::path::Path::new("/tmp").join(&name).exists());
    assert_eq!(inside(&container, &format!("grep -c ' /tmp/{name} ' /proc/self/mountinfo")), "1");
}

#[test]
fn a_link_into_procfs_is_refused() {
    if not_asked() {
        return;
    }
    let container = writable();
    symlink("/proc/1", container.rootfs().join("link")).expect("our own");
    let container = container.running();
    mounts(&container, "add", &json!([{"destination": "/link/attr", "type": "tmpfs"}])).fails("EPERM");
}

#[test]
fn a_renamed_directory_does_not_cost_the_container_a_mask() {
    if not_asked() {
        return;
    }
    let container = writable().set("/linux/maskedPaths/-", json!("/app/secret"));
    fs::create_dir(container.rootfs().join("app")).expect("our own");
    fs::write(container.rootfs().join("app/secret"), "secret").expect("our own");
    let container = container.running();
    let file = format!("{}/file", source(&container));
    let list = json!([{"destination": "/data/secret", "source": file, "options": ["bind"]}]);
    mounts(&container, "add", &list).ok();
    inside(&container, "mv /data /old && mv /app /data");
    mounts(&container, "remove", &list).fails("ESTALE");
    assert_eq!(inside(&container, "cat /data/secret; cat /old/secret"), "ours");
    inside(&container, "mv /data /app && mv /old /data");
    mounts(&container, "remove", &list).ok();
    assert_eq!(inside(&container, "cat /data/secret"), "");
}

#[test]
fn what_config_json_has_mounted_stays() {
    if not_asked() {
        return;
    }
    let container = writable().running();
    let list = json!([{"destination": "/dev/shm"}]);
    mounts(&container, "remove", &list).fails("no mount of `mounts add` is there");
}

#[test]
fn a_user_namespace_gets_what_it_could_not_reach_itself() {
    if not_asked() {
        return;
    }
    let container = writable().user_namespace(100_000, 65_536).running();
    for target in ["data", "scratch"] {
        // The root filesystem is not the namespace's to write to.
        fs::create_dir(container.rootfs().join(target)).expect("our own");
    }
    let source = source(&container);
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).expect("our own");
    let closed = container.make_dir("closed");
    fs::rename(&source, closed.join("source")).expect("our own");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("our own");
    let list = json!([
        {"destination": "/data", "source": closed.join("source"), "options": ["bind", "ro"]},
        {"destination": "/scratch", "type": "tmpfs"},
    ]);
    mounts(&container, "add", &list).ok();
    assert_eq!(inside(&container, "cat /data/file; touch /scratch/x; stat -c %u /scratch/x"), "ours0");
    mounts(&container, "remove", &list).ok();
}

#[test]
fn a_procfs_is_that_of_the_containers_pid_namespace() {
    if not_asked() {
        return;
    }
    let container = writable().args(&["sleep", "1000"]).running();
    mounts(&container, "add", &json!([{"destination": "/p", "type": "proc"}])).ok();
    assert_eq!(inside(&container, "cat /p/1/comm"), "sleep");
}

#[test]
fn many_go_in_at_once() {
    if not_asked() {
        return;
    }
    let container = writable().running();
    let list: Vec<_> = (0..100).map(|n| json!({"destination": format!("/many/{n}"), "type": "tmpfs"})).collect();
    mounts(&container, "add", &json!(list)).ok();
    assert_eq!(inside(&container, "grep -c ' /many/' /proc/self/mountinfo"), "100");
    mounts(&container, "remove", &json!(list)).ok();
    assert_eq!(inside(&container, "grep -c ' /many/' /proc/self/mountinfo; true"), "0");
}
