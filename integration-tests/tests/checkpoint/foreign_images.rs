//! Images that a stranger has packed.
use plimsoll_integration_tests::saved::{Saved, count};
use plimsoll_integration_tests::{Container, known_deviation, output};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// A container's images, and a file of the host's that is not to be touched.
fn packed() -> (Saved, PathBuf) {
    let saved = Saved::counted();
    let canary = saved.container.dir.join("canary");
    fs::write(&canary, "alive").expect("our own");
    (saved, canary)
}

#[test]
fn images_are_plain_files() {
    if known_deviation() {
        return;
    }
    let (saved, canary) = packed();
    for name in ["pages-1.img", "restore.log", "descriptors.json", "stats-restore", "new\x1b[31m"] {
        let file = saved.images.join(name);
        let before = fs::read(&file);
        let _ = fs::remove_file(&file);
        symlink(&canary, &file).expect("our own");
        saved.restore_fails("refusing a checkpoint with something other than plain files");
        fs::remove_file(&file).expect("our own");
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).expect("our own");
        saved.restore_fails("refusing a checkpoint with something other than plain files");
        fs::remove_file(&file).expect("our own");
        if let Ok(before) = before {
            fs::write(&file, before).expect("our own");
        }
    }
    symlink(saved.container.dir.join("rootfs"), saved.images.join("parent")).expect("our own");
    saved.restore_fails("refusing a checkpoint");
    fs::remove_file(saved.images.join("parent")).expect("our own");
    assert_eq!(fs::read_to_string(&canary).expect("still there"), "alive");
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn criu_writes_its_log_to_a_file_of_its_own() {
    if known_deviation() {
        return;
    }
    let (saved, canary) = packed();
    let work = saved.container.make_dir("work");
    symlink(&canary, work.join("restore.log")).expect("our own");
    let command = &mut saved.restore_command(&["--detach", "--work-path", work.to_str().expect("UTF-8")]);
    output::finish(command).fails("refusing a checkpoint with something other than plain files");
    saved.container.assert_nothing_left();
    assert_eq!(fs::read_to_string(&canary).expect("still there"), "alive");
}

#[test]
fn names_of_streams_are_names_of_streams() {
    if known_deviation() {
        return;
    }
    let (saved, _) = packed();
    let file = saved.images.join("descriptors.json");
    let before = fs::read(&file).expect("runc's file");
    let long = format!("[{:?}]", "x".repeat(1 << 20));
    for wrong in ["", "{}", "[1,2,3]", r#"["a","b","c","d"]"#, &"[".repeat(5000), &long] {
        fs::write(&file, wrong).expect("our own");
        saved.restore_fails("descriptors.json");
    }
    // What is no stream is not asked for: CRIU makes pipes with nobody at the other end.
    fs::write(&file, r#"["/etc/shadow","pipe:[1]x","extRootNetNS"]"#).expect("our own");
    output::finish(&mut saved.restore_command(&["--detach"])).ok();
    saved.container.delete_by_force().ok();
    fs::write(&file, before).expect("our own");
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn a_place_that_criu_would_misread_is_refused() {
    if known_deviation() {
        return;
    }
    // CVE-2026-119101: the image leads the mount to where its name says something else to CRIU.
    let container = Container::new();
    symlink("/x]:/etc", container.rootfs().join("data")).expect("our own");
    let source = container.make_dir("source");
    let mount = json!({"destination": "/data", "source": source, "options": ["bind"]});
    let saved = Saved::new(container.mount(mount).running());
    saved.checkpoint(&[]).fails("CRIU cannot be told of a path with a ']'");
    assert_eq!(saved.container.status(), "running");
}

#[test]
fn the_root_filesystem_stays_read_only() {
    if known_deviation() {
        return;
    }
    let (saved, _) = packed();
    let _streams = saved.restore();
    let written = saved.container.exec(&["touch", "/etc/new"]);
    assert!(written.status != 0 && written.stderr.contains("Read-only"), "{written:?}");
}

#[test]
fn images_do_not_decide_what_processes_may_do_and_see() {
    if known_deviation() {
        return;
    }
    let (mut saved, _) = packed();
    let fine = saved.container.config.clone();
    let shm = |mounts: &[Value]| mounts.iter().position(|mount| mount["destination"] == "/dev/shm").expect("a mount");
    let filter =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]});
    let without_shm = {
        let mut mounts = fine["mounts"].as_array().expect("an array").clone();
        mounts.remove(shm(&mounts));
        json!(mounts)
    };
    for (place, value, words) in [
        ("/process/capabilities", json!({"bounding": ["CAP_KILL"]}), " has Cap"),
        ("/linux/seccomp", filter, "/linux/seccomp: refusing"),
        ("/linux/maskedPaths/-", json!("/proc/version"), "/linux/maskedPaths/10: refusing"),
        ("/linux/readonlyPaths/-", json!("/dev"), "is not protected"),
        ("/mounts", without_shm, "where nothing is to be"),
    ] {
        saved.container = saved.container.set(place, value);
        saved.restore_fails(words);
        saved.container.config = fine.clone();
    }
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn nor_in_which_namespaces_they_are() {
    if known_deviation() {
        return;
    }
    let container = Saved::counter().container.without_namespace("uts").remove("/hostname");
    let mut saved = Saved::new(container);
    saved.count_and_save();
    saved.container = saved.container.namespace("uts", None);
    saved.restore_fails("its uts namespace is another");
}
