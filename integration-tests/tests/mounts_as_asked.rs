//! A mount is as it was asked for, or it is an error: long values, links, id maps in an option, what is changed later, kinds that do
//! not fit, views of the host's own filesystems.
use plimsoll_integration_tests::see::{Mount, mount_at};
use plimsoll_integration_tests::skip::{
    NEEDS_FIRST_CGROUP_NAMESPACE, NEEDS_V1, NOT_BY_SYSTEMD, in_first_cgroup_namespace,
};
use plimsoll_integration_tests::{Container, Output, cgroup, known_deviation, output, runtime, skips};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

fn writable() -> Container {
    Container::new().set("/root/readonly", json!(false))
}

#[track_caller]
fn seen(container: Container, target: &str) -> Mount {
    let output = container.args(&["cat", "/proc/self/mountinfo"]).run();
    mount_at(output.ok(), target).unwrap_or_else(|| panic!("nothing on {target}: {output:#?}"))
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    let options = [&["bind"], options].concat();
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn tmpfs(destination: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": source, "options": options})
}

/// A directory of the container's own with this in it.
fn directory(container: &Container, name: &str, content: &str) -> PathBuf {
    let directory = container.dir.join(name);
    fs::create_dir_all(&directory).expect("our own");
    fs::write(directory.join("file"), content).expect("our own");
    directory
}

// Values of more than 255 bytes.

/// An overlay of `count` directories, of which the first holds `file`. On a tmpfs: an overlay is none for another.
fn overlay(count: usize) -> (Container, Value) {
    let container = writable();
    let layers: Vec<_> =
        (0..count).map(|layer| directory(&container, &format!("layer-{layer}"), &layer.to_string())).collect();
    let layers: Vec<_> = layers.iter().map(|layer| layer.to_str().expect("text")).collect();
    let lower = format!("lowerdir={}", layers.join(":"));
    (container, json!({"destination": "/over", "type": "overlay", "source": "overlay", "options": [lower]}))
}

#[test]
fn an_overlay_may_have_many_layers() {
    for count in [10, 50] {
        let (container, mut mount) = overlay(count);
        mount["options"].as_array_mut().expect("options").extend([
            json!("nosuid"),
            json!("noatime"),
            json!("rprivate"),
        ]);
        let container = container.mount(mount).shell("cat /over/file /proc/self/mountinfo");
        let output = container.run();
        let (file, mounts) = output.ok().split_at(1);
        let mount = mount_at(mounts, "/over").expect("an overlay");
        assert!(file == "0" && mount.kind == "overlay" && mount.has("nosuid") && mount.has("noatime"), "{mount:?}");
        assert!(mount.propagation.is_empty(), "{mount:?}");
        container.assert_nothing_left();
    }
}

#[test]
fn an_overlay_that_cannot_be_says_so_and_not_only_which_layers_it_has() {
    let (container, mut mount) = overlay(10);
    mount["options"][0] = json!(format!("{}:/nowhere/at/all", mount["options"][0].as_str().expect("text")));
    let container = container.mount(mount);
    container.create().fails("o such file or directory");
    container.assert_nothing_left();
}

#[test]
fn a_source_may_be_long() {
    let long = "harbour/".repeat(40);
    let mount = seen(writable().mount(tmpfs("/scratch", &long, &["size=1m", "noexec"])), "/scratch");
    assert!(mount.source == long && mount.has("size=1024k") && mount.has("noexec"), "{mount:?}");
}

#[test]
fn with_a_long_source_a_tmpfs_still_looks_like_what_it_covers() {
    if known_deviation() {
        return;
    }
    let long = "x".repeat(300);
    let container = writable().mount(tmpfs("/root", &long, &["tmpcopyup", "ro"]));
    fs::write(container.rootfs().join("root/file"), "ahoy").expect("our own");
    fs::set_permissions(container.rootfs().join("root"), PermissionsExt::from_mode(0o710)).expect("our own");
    let output = container.shell("cat /root/file; stat -c %a /root; touch /root/x").run();
    assert!(output.stdout.trim() == "ahoy710" && output.stderr.contains("ead-only"), "{output:?}");
}
#[test]
fn an_option_may_be_long_also_when_a_mount_is_changed() {
    // Nodes may be named more than once; a comma before a digit belongs to them.
    let long = format!("mpol=bind:{}0", "0,".repeat(200));
    let first = tmpfs("/scratch", "tmpfs", &["size=1m", &long, "nosuid"]);
    let mount = seen(writable().mount(first.clone()), "/scratch");
    assert!(mount.has("mpol=bind:0") && mount.has("size=1024k") && mount.has("nosuid"), "{mount:?}");

    let plain = tmpfs("/scratch", "tmpfs", &["size=1m", "nosuid"]);
    let again = tmpfs("/scratch", "tmpfs", &["remount", "nosuid", "size=2m", &long]);
    let mount = seen(writable().mount(plain).mount(again), "/scratch");
    assert!(mount.has("mpol=bind:0") && mount.has("size=2048k") && mount.has("nosuid"), "{mount:?}");
}

#[test]
fn long_values_come_to_a_running_container_too() {
    if runtime().is("runc") || runtime().is("crun") {
        return;
    }
    let container = writable();
    // They are looked for inside.
    let layers: Vec<_> = (10..50).map(|layer| format!("layers/{layer}")).collect();
    for layer in &layers {
        directory(&container, &format!("rootfs/{layer}"), layer);
    }
    let lower = format!("lowerdir=/{}", layers.join(":/"));
    let overlay = json!({"destination": "/over", "type": "overlay", "source": "overlay", "options": [lower]});
    let container = container.running();
    let file = container.dir.join("mounts.json");
    let list = json!([overlay, tmpfs("/scratch", &"x".repeat(300), &["size=1m", "noatime"])]);
    fs::write(&file, list.to_string()).expect("our own");
    let mounts = |what: &str| container.call(&["mounts", what, &container.id, file.to_str().expect("text")]);
    mounts("add").ok();
    assert_eq!(container.exec(&["cat", "/over/file"]).ok(), "layers/10");
    let seen = container.exec(&["cat", "/proc/self/mountinfo"]);
    let count = seen.ok().lines().filter(|line| line.contains(" /over ") || line.contains(" /scratch ")).count();
    assert_eq!(count, 2, "{seen:?}");
    mounts("remove").ok();
    let seen = container.exec(&["grep", "-cE", " /(over|scratch) ", "/proc/self/mountinfo"]);
    assert_eq!(seen.stdout.trim(), "0");
}

// Kinds that do not fit.

#[test]
fn a_directory_on_a_file_and_a_file_on_a_directory_are_what_engines_look_for() {
    let container = || {
        let container = writable();
        fs::write(container.rootfs().join("etc/file"), "").expect("our own");
        fs::write(container.dir.join("source"), "").expect("our own");
        container
    };
    let directory = |container: &Container| bind(&container.rootfs().join("tmp"), "/etc/file", &[]);
    let host = container();
    let outside = self::directory(&host, "outside", "");
    let file = host.dir.join("source");
    for mount in [
        directory(&host),
        bind(&outside, "/etc/file", &[]),
        bind(&outside, "/etc/file", &["ro"]),
        bind(&file, "/tmp", &[]),
        tmpfs("/etc/file", "tmpfs", &[]),
        tmpfs("/etc/file", "tmpfs", &["tmpcopyup"]),
        tmpfs("/etc/file", &"x".repeat(300), &[]),
        tmpfs("/etc/file/below", "tmpfs", &[]),
        json!({"destination": "/etc/file", "type": "mqueue", "source": "mqueue"}),
    ] {
        let container = container().mount(mount.clone());
        let failed = container.create();
        let said = failed.stderr.to_lowercase();
        assert!(failed.status != 0 && said.contains("not a directory"), "{mount}: {failed:?}");
        container.assert_nothing_left();
    }
}

// What is changed later.

#[test]
fn a_mount_made_writable_again_is() {
    if known_deviation() {
        return;
    }
    let first = json!({"destination": "/q", "type": "mqueue", "source": "mqueue", "options": ["ro"]});
    let again = json!({"destination": "/q", "type": "mqueue", "source": "mqueue", "options": ["remount", "rw"]});
    let container = writable().mount(first).mount(again).shell("touch /q/queue && ls /q");
    assert_eq!(container.run().ok(), "queue");
}

#[test]
fn propagation_and_what_is_below_may_be_changed_later() {
    if known_deviation() {
        return;
    }
    let (mount, below) = (tmpfs("/a", "tmpfs", &["rshared"]), tmpfs("/a/b", "tmpfs", &[]));
    let again = json!({"destination": "/a", "type": "none", "source": "none", "options": ["remount", "bind", "rro", "rprivate"]});
    let container = writable().mount(mount).mount(below).mount(again);
    let output = container.args(&["cat", "/proc/self/mountinfo"]).run();
    for target in ["/a", "/a/b"] {
        let mount = mount_at(output.ok(), target).expect("a tmpfs");
        assert!(mount.has("ro") && mount.propagation.is_empty(), "{mount:?}");
    }
}

/// Two directories that are exchanged for as long as this lives.
struct Exchanging(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Exchanging {
    fn start(a: PathBuf, b: PathBuf) -> Exchanging {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
            while !stopped.load(Relaxed) {
                let _ = renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE);
                // Without a pause nobody else gets to look up anything.
                std::thread::sleep(std::time::Duration::from_micros(20));
            }
        });
        Exchanging(stop, Some(thread))
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

/// In a volume that another container writes to, the directory of the mount is exchanged with another all the time.
#[test]
#[expect(clippy::print_stderr, reason = "with `--nocapture` it is seen what the race has come to")]
fn a_tmpfs_that_is_asked_for_read_only_is_so_whoever_exchanges_directories() {
    if known_deviation() {
        return;
    }
    let host = Container::new();
    let volume = host.dir.join("volume");
    for name in ["a", "b"] {
        (0..3).for_each(|number| fs::create_dir_all(volume.join(format!("{name}/{number}"))).expect("our own"));
    }
    let _exchanging = Exchanging::start(volume.join("a"), volume.join("b"));
    let (mut mounted, mut writable_ones) = (0, Vec::new());
    let starts = plimsoll_integration_tests::attempts(60);
    for start in 0..starts {
        let mut container = writable().mount(bind(&volume, "/mnt", &["rbind"]));
        for number in 0..3 {
            container = container.mount(tmpfs(&format!("/mnt/a/{number}"), "tmpfs", &["ro", "size=64k"]));
        }
        let output = container.args(&["cat", "/proc/self/mountinfo"]).run();
        // A start may fail, as there is a moment without the mount point.
        for mount in
            plimsoll_integration_tests::see::mounts(&output.stdout).into_iter().filter(|mount| mount.has("size=64k"))
        {
            mounted += 1;
            if !mount.options.contains(&"ro".to_owned()) {
                writable_ones.push((start, mount));
            }
        }
    }
    eprintln!("{starts} starts, {mounted} of {} tmpfs mounted, {} of them writable", 3 * starts, writable_ones.len());
    assert!(writable_ones.is_empty(), "{writable_ones:?}");
    assert!(mounted > starts * 2 / 3, "{mounted} of {} were mounted", 3 * starts);
}

// Links and id maps.

#[test]
fn a_symbolic_link_at_either_end_may_not_be_followed() {
    if known_deviation() {
        return;
    }
    let container = writable();
    symlink("/nowhere", container.dir.join("link")).expect("our own");
    symlink("/elsewhere", container.rootfs().join("etc/link")).expect("our own");
    let mount = bind(&container.dir.join("link"), "/etc/link", &["src-nofollow", "dest-nofollow"]);
    assert_eq!(container.mount(mount).args(&["readlink", "/etc/link"]).run().ok(), "/nowhere");

    let container = writable();
    let file = directory(&container, "directory", "cargo").join("file");
    symlink("motd", container.rootfs().join("etc/link")).expect("our own");
    fs::write(container.rootfs().join("etc/motd"), "below").expect("our own");
    let container = container.mount(bind(&file, "/etc/link", &["dest-nofollow"]));
    assert_eq!(container.shell("cat /etc/link /etc/motd").run().ok(), "cargobelow");
}

#[test]
fn a_link_that_is_copied_does_not_pass_for_another_that_is_there() {
    if known_deviation() {
        return;
    }
    let container = writable();
    symlink("/right", container.dir.join("link")).expect("our own");
    symlink("/wrong", container.rootfs().join("etc/link")).expect("our own");
    let mount = bind(&container.dir.join("link"), "/etc/link", &["copy-symlink"]);
    let container = container.mount(mount);
    assert!(container.create().status != 0);
    container.assert_nothing_left();
}

#[test]
fn an_id_map_may_be_given_in_the_option() {
    if known_deviation() {
        return;
    }
    for (option, expected) in [
        ("idmap=uids=0-1000-10#10-5000-10;gids=0-2000-10", "1003 2004"),
        ("ridmap=uids=0-1000-10;gids=0-2000-10", "1003 2004"),
    ] {
        let container = writable();
        let source = directory(&container, "source", "");
        chown(source.join("file"), Some(3), Some(4)).expect("we are root");
        let container = container.mount(bind(&source, "/mnt", &[option]));
        assert_eq!(container.args(&["stat", "-c", "%u %g", "/mnt/file"]).run().ok(), expected, "{option}");
    }
}

#[test]
fn an_id_map_relative_to_the_containers_is_as_well() {
    if known_deviation() {
        return;
    }
    let container = writable().user_namespace(100_000, 1000);
    for path in [&container.dir, &container.rootfs()] {
        chown(path, Some(100_000), Some(100_000)).expect("we are root");
    }
    let source = directory(&container, "source", "");
    chown(source.join("file"), Some(3), Some(4)).expect("we are root");
    let container = container.mount(bind(&source, "/mnt", &["idmap=uids=@0-7-10;gids=@0-8-10"]));
    assert_eq!(container.args(&["stat", "-c", "%u %g", "/mnt/file"]).run().ok(), "10 12");
}

#[test]
fn an_id_map_that_fails_names_both_ends_of_the_mount() {
    if known_deviation() {
        return;
    }
    let mut mount = bind("/proc/sys".as_ref(), "/mnt", &["idmap"]);
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    (mount["uidMappings"], mount["gidMappings"]) = (map.clone(), map);
    let container = Container::new().mount(mount);
    container.create().fails("/proc/sys on /mnt");
    container.assert_nothing_left();
}

// Views of the host's own filesystems.

#[test]
fn a_user_namespace_on_the_hosts_network_sees_the_hosts_sysfs_and_changes_none_of_it() {
    if known_deviation() {
        return;
    }
    let container = Container::new().user_namespace(100_000, 1000).without_namespace("network");
    for path in [&container.dir, &container.rootfs()] {
        chown(path, Some(100_000), Some(100_000)).expect("we are root");
    }
    let container = container.args(&["cat", "/proc/self/mountinfo"]);
    let output = container.run();
    let mounts = plimsoll_integration_tests::see::mounts(output.ok());
    let mut below = mounts.iter().filter(|mount| mount.target.starts_with("/sys"));
    assert!(below.all(|mount| mount.options.contains(&"ro".to_owned())), "{mounts:#?}");
    assert_eq!(mount_at(output.ok(), "/sys").expect("a sysfs").kind, "sysfs");
}

/// A host whose only hierarchy is v2, for as long as this runs. Nothing is changed for anybody else but the options, and these
/// are given back.
fn on_v2(container: &Container) -> Output {
    let unified = if cgroup::is_v2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/unified" };
    let run = container.launcher(&["run"]);
    let script = r#"
        options() { sed -n 's/.* - cgroup2 [^ ]* rw,\?//p' /proc/self/mountinfo | head -n 1; }
        was=$(options); unified=$1; shift
        test "$unified" = /sys/fs/cgroup || mount --bind "$unified" /sys/fs/cgroup
        mount -o remount,nsdelegate,memory_recursiveprot /sys/fs/cgroup
        before=$(options)
        "$@"; status=$?
        echo "before: $before"; echo "after: $(options)"
        mount -o "remount,rw,$was" /sys/fs/cgroup
        exit $status"#;
    let mut host = Command::new("unshare");
    host.args(["--mount", "sh", "-c", script, "sh", unified]).arg(run.get_program()).args(run.get_args());
    output::finish(&mut host)
}

#[test]
fn the_hosts_cgroup2_keeps_its_options() {
    if known_deviation()
        || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD)
        || skips(!in_first_cgroup_namespace(), NEEDS_FIRST_CGROUP_NAMESPACE)
    {
        return;
    }
    for (kind, options) in [
        ("cgroup", json!(["nosuid", "nsdelegate", "memory_recursiveprot"])),
        ("cgroup2", json!(["ro", "memory_recursiveprot", "nsdelegate"])),
        ("cgroup", json!(["ro"])),
        ("cgroup2", json!([])),
    ] {
        let mut container = Container::new().remove("/linux/resources").without_namespace("cgroup");
        let mounts = container.config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["type"] != "cgroup");
        let mount = json!({"destination": "/sys/fs/cgroup", "type": kind, "source": "cgroup", "options": options});
        let container = container.mount(mount).args(&["cat", "/proc/self/mountinfo"]);
        let output = on_v2(&container);
        let said =
            |what: &str| output.ok().lines().find_map(|line| line.strip_prefix(what)).expect("said").trim().to_owned();
        assert_eq!(said("before:"), said("after:"), "{kind} {options}");
        assert!(said("after:").contains("nsdelegate"), "{output:?}");
        let mount = mount_at(output.ok(), "/sys/fs/cgroup").expect("a hierarchy");
        assert!(mount.kind == "cgroup2" && mount.has("nsdelegate") && mount.has("memory_recursiveprot"), "{mount:?}");
        assert_eq!(mount.options.contains(&"ro".to_owned()), options.to_string().contains("\"ro\""), "{mount:?}");
    }
}

#[test]
fn an_option_that_no_cgroup_mount_has_is_an_error() {
    if known_deviation() {
        return;
    }
    let mut container = Container::new();
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["type"] != "cgroup");
    let options = json!(["nsdelegation"]);
    let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options});
    container.mount(mount).create().fails("nsdelegation");
}

#[test]
fn every_hierarchy_of_cgroup_v1_has_the_propagation_that_was_asked_for() {
    if known_deviation() || skips(cgroup::is_v2(), NEEDS_V1) {
        return;
    }
    let mut container = Container::new().set("/linux/rootfsPropagation", json!("rslave"));
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    let mount = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("a cgroup mount");
    mount["options"].as_array_mut().expect("options").push(json!("rshared"));
    let output = container.args(&["cat", "/proc/self/mountinfo"]).run();
    let mounts = plimsoll_integration_tests::see::mounts(output.ok());
    let of_groups = mounts.iter().filter(|mount| mount.target.starts_with("/sys/fs/cgroup"));
    let private: Vec<_> =
        of_groups.filter(|mount| !mount.propagation.iter().any(|how| how.starts_with("shared"))).collect();
    assert!(private.is_empty(), "{private:#?}");
}
