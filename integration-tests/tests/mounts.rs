//! mounts: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#mounts>
use nix::mount::MsFlags;
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
fn a_directory_is_bound() {
    let container = Container::new();
    let shared = container.dir.join("shared");
    fs::create_dir(&shared).expect("our own");
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
    let shared = container.dir.join("shared");
    fs::create_dir(&shared).expect("our own");
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

#[test]
fn a_missing_bind_source_is_an_error_that_names_it() {
    let container = Container::new().mount(bind("/nowhere/at/all".as_ref(), "/mnt", &["bind"]));
    container.create().fails("/nowhere/at/all").says("o such file or directory");
    container.assert_nothing_left();
}

/// Who sees a mount that the container makes below a bind mount of something that is shared on the host?
#[track_caller]
fn seen_by(container: Container, options: &[&str]) -> String {
    let shared = container.dir.join("shared");
    fs::create_dir(&shared).expect("our own");
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
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    let container = Container::new().namespace("user", None);
    let container = container.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    assert_eq!(seen_by(container, &["rbind"]), "the container");
}

/// A tmpfs with these flags, which nobody but the runtime and its container see.
fn bound_with(flags: &[&str], options: &[&str]) -> Mount {
    let container = Container::new();
    let source = container.dir.join("cargo");
    fs::create_dir(&source).expect("our own");
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
    let source = container.dir.join("cargo");
    fs::create_dir(&source).expect("our own");
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
    let source = container.dir.join("cargo");
    fs::create_dir(&source).expect("our own");
    let container = container.mount(bind(&source, "/quay", &["bind", "mode=755", "size=1k"]));
    container.set("/root/readonly", json!(false)).args(&["true"]).run().ok();
}

/// A directory of root's on this machine, as a container with these options and mappings sees its owner.
fn owner_seen(option: &str, mappings: Option<Value>, container: Container) -> plimsoll_integration_tests::Output {
    let shared = container.dir.join("shared");
    fs::create_dir(&shared).expect("our own");
    std::os::unix::fs::chown(&shared, Some(5), Some(6)).expect("we are root");
    let mut mount = bind(&shared, "/mnt", &["rbind", option]);
    if let Some(map) = mappings {
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
    }
    container.set("/root/readonly", json!(false)).mount(mount).args(&["stat", "-c", "%u:%g", "/mnt"]).launch(&["run"])
}

fn map(container: u32, host: u32) -> Value {
    json!([{"containerID": container, "hostID": host, "size": 10}])
}

#[test]
fn an_id_mapped_mount_has_mappings_of_its_own() {
    if known_deviation() {
        return;
    }
    for option in ["idmap", "ridmap"] {
        // 5 and 6 on disk are 1005 and 1006 here.
        assert_eq!(owner_seen(option, Some(map(0, 1000)), Container::new()).ok(), "1005:1006", "{option}");
    }
}

#[test]
fn or_those_of_the_container() {
    if known_deviation() {
        return;
    }
    let container = Container::new().namespace("user", None);
    std::os::unix::fs::chown(container.rootfs(), Some(100_000), Some(100_000)).expect("we are root");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let container = container.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    // What is 5 on disk is 100005 on this machine, and that is 5 inside.
    assert_eq!(owner_seen("idmap", None, container).ok(), "5:6");
}

#[test]
fn without_any_mapping_idmap_is_an_error() {
    if known_deviation() {
        return;
    }
    let seen = owner_seen("idmap", None, Container::new());
    seen.fails("idmap without mappings, and the container has none");
    let shared = bind("/tmp".as_ref(), "/mnt", &["bind", "idmap"]);
    let mut half = shared.clone();
    half["uidMappings"] = map(0, 1000);
    let container = Container::new().mount(half);
    container.create().fails("/gidMappings: uidMappings and gidMappings come together");
    container.assert_nothing_left();
}

#[test]
fn a_filesystem_that_cannot_be_id_mapped_is_an_error() {
    if known_deviation() {
        return;
    }
    let mut mount = bind("/proc".as_ref(), "/mnt", &["bind", "idmap"]);
    mount["uidMappings"] = map(0, 1000);
    mount["gidMappings"] = map(0, 1000);
    let container = Container::new().mount(mount);
    container.create().fails("does not support id-mapped mounts");
    container.assert_nothing_left();
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
fn a_mount_may_be_changed_by_a_later_one() {
    let tmpfs = json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]});
    let again =
        json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro", "size=2m"]});
    let container = Container::new().set("/root/readonly", json!(false)).mount(tmpfs).mount(again);
    assert_has(&seen(container, "/scratch"), &["ro", "size=2048k"]);
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
