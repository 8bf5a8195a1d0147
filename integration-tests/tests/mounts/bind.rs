//! Bind mounts: what they take from their source, and their flags.
use super::{assert_has, bind, seen};
use nix::mount::MsFlags;
use plimsoll_integration_tests::see::{Mount, mount_at};
use plimsoll_integration_tests::{Container, cgroup, known_deviation};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_directory_is_bound() {
    let container = Container::new();
    let shared = container.make_dir("shared");
    fs::write(shared.join("log"), "fair wind").expect("our own");
    let container = container.mount(bind(&shared, "/mnt", &["bind"])).shell("cat /mnt/log; echo back >/mnt/answer");
    assert_eq!(container.run().ok(), "fair wind");
    assert_eq!(fs::read_to_string(shared.join("answer")).expect("written inside"), "back\n");
}

#[test]
fn a_file_is_bound_and_its_target_made() {
    let container = Container::new();
    let file = container.dir.join("file");
    fs::write(&file, "letter").expect("our own");
    let container = container.mount(bind(&file, "/etc/deep/letter", &["bind"])).set("/root/readonly", json!(false));
    assert_eq!(container.args(&["cat", "/etc/deep/letter"]).run().ok(), "letter");
}

#[test]
fn a_source_may_be_relative_to_the_bundle() {
    let container = Container::new();
    fs::write(container.dir.join("note"), "near").expect("our own");
    let container = container.mount(bind("note".as_ref(), "/etc/note", &["bind"])).set("/root/readonly", json!(false));
    assert_eq!(container.args(&["cat", "/etc/note"]).run().ok(), "near");
}

#[test]
fn a_bind_mount_takes_flags() {
    let container = Container::new();
    let shared = container.make_dir("shared");
    let container = container.set("/root/readonly", json!(false));
    let container = container.mount(bind(&shared, "/mnt", &["bind", "ro", "nosuid", "nodev", "noexec"]));
    assert_has(&seen(container, "/mnt"), &["ro", "nosuid", "nodev", "noexec"]);
}

/// A parent with something mounted in it that can be written to.
fn parent_and_child() -> (&'static str, String) {
    if cgroup::is_v2() {
        return ("/sys", "fs/cgroup".to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    let below = plimsoll_integration_tests::see::mounts(&mounts).into_iter();
    let child = below.filter_map(|mount| mount.target.strip_prefix("/sys/fs/cgroup/").map(str::to_owned)).next();
    ("/sys/fs/cgroup", child.expect("a hierarchy below /sys/fs/cgroup"))
}

#[test]
fn rbind_takes_what_is_mounted_below_and_bind_does_not() {
    let (parent, child) = parent_and_child();
    for (option, expected) in [("rbind", true), ("bind", false)] {
        let container =
            Container::new().set("/root/readonly", json!(false)).mount(bind(parent.as_ref(), "/mnt", &[option]));
        let output = container.args(&["cat", "/proc/self/mountinfo"]).run();
        assert_eq!(mount_at(output.ok(), &format!("/mnt/{child}")).is_some(), expected, "{option}");
    }
}

#[test]
fn ro_is_for_the_top_and_rro_for_all_of_it() {
    if known_deviation() {
        return;
    }
    let (parent, child) = parent_and_child();
    for (option, expected) in [("ro", "rw"), ("rro", "ro")] {
        let mount = bind(parent.as_ref(), "/mnt", &["rbind", option]);
        let container = Container::new().set("/root/readonly", json!(false)).mount(mount);
        let mount = seen(container, &format!("/mnt/{child}"));
        assert!(mount.options.iter().any(|own| own == expected), "{option}: {mount:?}");
    }
}

#[test]
fn a_missing_bind_source_is_an_error_that_names_it() {
    let container = Container::new().mount(bind("/nowhere/at/all".as_ref(), "/mnt", &["bind"]));
    container.create().fails("/nowhere/at/all").says("o such file or directory");
    container.assert_nothing_left();
}

/// A tmpfs with these flags, which nobody but the runtime and its container see.
fn bound_with(flags: &[&str], options: &[&str]) -> Mount {
    let container = Container::new();
    let (folder, source) = (container.dir.clone(), container.make_dir("cargo"));
    let mut flags = MsFlags::from_iter(flags.iter().map(|flag| match *flag {
        "ro" => MsFlags::MS_RDONLY,
        "nodev" => MsFlags::MS_NODEV,
        "nosuid" => MsFlags::MS_NOSUID,
        flag => panic!("{flag}?"),
    }));
    let none = None::<&str>;
    nix::mount::mount(Some("tmpfs"), &source, Some("tmpfs"), MsFlags::empty(), none).expect("we are root");
    flags |= MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    nix::mount::mount(none, &source, none, flags, none).expect("we are root");
    let mount = std::panic::catch_unwind(|| seen(container.mount(bind(&source, "/quay", options)), "/quay"));
    nix::mount::umount(&source).expect("just mounted");
    // The container could not remove it while something was mounted there.
    std::fs::remove_dir_all(folder).expect("our own");
    mount.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn a_bind_mount_without_flags_is_as_its_source() {
    if known_deviation() {
        return;
    }
    assert_has(&bound_with(&["ro", "nosuid"], &["bind"]), &["ro", "nosuid"]);
}

#[test]
fn a_bind_mount_with_flags_has_only_these() {
    let mount = bound_with(&["nodev", "nosuid"], &["bind", "ro"]);
    assert!(mount.has("ro") && !mount.has("nodev") && !mount.has("nosuid"), "{mount:?}");
    let mount = bound_with(&["ro"], &["bind", "nodev"]);
    assert!(mount.has("rw") && mount.has("nodev"), "{mount:?}");
}

#[test]
fn a_file_is_bound_behind_a_dangling_symlink() {
    let container = Container::new();
    let source = container.dir.join("manifest");
    fs::write(&source, "tea").expect("our own");
    symlink("/hold/manifest", container.rootfs().join("etc/manifest")).expect("our own");
    let container = container.mount(bind(&source, "/etc/manifest", &["bind"]));
    let output = container.set("/root/readonly", json!(false)).args(&["cat", "/hold/manifest"]).run();
    assert_eq!(output.ok(), "tea");
}

#[test]
fn a_path_below_the_root_from_outside_is_the_path_inside() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    let source = container.make_dir("cargo");
    fs::write(source.join("tea"), "").expect("our own");
    let (deck, hold) = (container.rootfs().join("deck"), container.rootfs().join("hold"));
    // The second takes what the first has put there.
    let container = container.mount(bind(&source, "/deck", &["bind"]));
    let hold = hold.to_str().expect("text").to_owned();
    let container = container.mount(bind(&deck, &hold, &["bind"])).set("/root/readonly", json!(false));
    assert_eq!(container.args(&["ls", "/hold"]).run().ok(), "tea");
}

#[test]
fn a_bind_mount_ignores_what_is_for_a_filesystem() {
    let container = Container::new();
    let source = container.make_dir("cargo");
    let container = container.mount(bind(&source, "/quay", &["bind", "mode=755", "size=1k"]));
    container.set("/root/readonly", json!(false)).args(&["true"]).run().ok();
}

#[test]
fn attributes_may_be_recursive() {
    if known_deviation() {
        return;
    }
    let (parent, child) = parent_and_child();
    for (option, expected) in [
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        let mount = bind(parent.as_ref(), "/mnt", &["rbind", option]);
        let container = Container::new().set("/root/readonly", json!(false)).mount(mount);
        assert_has(&seen(container, &format!("/mnt/{child}")), &[expected]);
    }
}

#[test]
fn a_symbolic_link_may_be_copied() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/root/readonly", json!(false));
    let link = container.dir.join("link");
    symlink("/nowhere/to/be/followed", &link).expect("our own");
    let container = container.mount(bind(&link, "/etc/link", &["bind", "copy-symlink"]));
    assert_eq!(container.args(&["readlink", "/etc/link"]).run().ok(), "/nowhere/to/be/followed");
}
