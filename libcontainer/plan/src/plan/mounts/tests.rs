mod cgroup;

use crate::facts::{Hierarchy, HostFacts};
use crate::plan::tests::{check, check_on, facts, refused};

fn check_mount(mount: &str, lines: &str) {
    check(&format!(r#"{{"mounts": [{mount}]}}"#), "/mounts/0", lines);
}

fn refused_mount(mount: &str, message: &str) {
    refused(&format!(r#"{{"mounts": [{mount}]}}"#), &format!("config.json: /mounts/0{message}"));
}

#[test]
fn a_filesystem_is_mounted_with_its_options() {
    check_mount(
        r#"{"destination": "/scratch", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "mode=1777", "size=64k", "sync"]}"#,
        "init mount tmpfs on /scratch nosuid,noexec sync,mode=1777,size=64k",
    );
    check_mount(
        r#"{"destination": "/tmp", "type": "tmpfs", "options": ["tmpcopyup", "rprivate"]}"#,
        "init mount tmpfs on /tmp rprivate tmpcopyup",
    );
}

#[test]
fn procfs_and_sysfs_land_on_an_ordinary_directory() {
    check_mount(
        r#"{"destination": "/proc", "type": "proc", "source": "proc"}"#,
        "init mount proc on /proc (ordinary directory)",
    );
    check_mount(
        r#"{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}"#,
        "init mount sysfs on /sys (ordinary directory) ro,nosuid ro",
    );
}

#[test]
fn an_annotation_says_which_option_carries_the_label() {
    let config = |annotations: &str| {
        format!(
            r#"{{"linux": {{"mountLabel": "u:r:t"}}, "annotations": {annotations},
                "mounts": [{{"destination": "/tmp", "type": "tmpfs"}}]}}"#
        )
    };
    check(&config("{}"), "/mounts/0", "init mount tmpfs on /tmp context=u:r:t");
    let root = r#"{"run.oci.mount_context_type": "rootcontext"}"#;
    check(&config(root), "/mounts/0", "init mount tmpfs on /tmp rootcontext=u:r:t");
    refused(
        &config(r#"{"run.oci.mount_context_type": "size=1,context"}"#),
        "config.json: /annotations/run.oci.mount_context_type: \"size=1,context\" is no mount option for a label: \
         context, fscontext, defcontext, rootcontext",
    );
}

#[test]
fn a_read_only_tmpfs_is_filled_first() {
    check_mount(
        r#"{"destination": "/dev", "type": "tmpfs", "options": ["ro", "nosuid"]}"#,
        "init mount tmpfs on /dev nosuid → fd:2
         init remount fd:2 ro",
    );
}

#[test]
fn a_bind_mount_comes_from_the_host_or_the_bundle() {
    check_mount(
        r#"{"destination": "/data", "source": "/srv/data", "options": ["rbind", "ro", "rnosuid", "rslave"]}"#,
        "init bind-mount /srv/data on /data recursive ro,suid,dev,exec,symfollow recursively nosuid rslave",
    );
    check_mount(
        r#"{"destination": "data/../etc", "type": "bind", "source": "etc"}"#,
        "init bind-mount /bundle/etc on /etc",
    );
    check_mount(
        r#"{"destination": "/l", "source": "/s", "options": ["bind", "copy-symlink", "rw", "noatime"]}"#,
        "init bind-mount /s on /l noatime,rw,suid,dev,exec,diratime,symfollow copy-symlink",
    );
}

const MAPPED: &str = r#""linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
    "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]}"#;

#[test]
fn with_a_user_namespace_the_host_opens_sources() {
    let config = format!(r#"{{"mounts": [{{"destination": "/d", "source": "/s", "options": ["bind"]}}], {MAPPED}}}"#);
    check(&config, "/mounts", "host open-mount /s → fd:2\n init bind-mount fd:2 on /d");
    let user = HostFacts { euid: 1000, egid: 1000, ..Default::default() };
    check_on(&user, &config, "/mounts", "init bind-mount /s on /d");
}

#[test]
fn a_source_below_the_root_is_what_earlier_mounts_made_of_it() {
    let mounts =
        r#""mounts": [{"destination": "/bundle/rootfs/d", "source": "/bundle/rootfs/a/b", "options": ["bind"IDMAP]}]"#;
    check(&format!("{{{}}}", mounts.replace("IDMAP", "")), "/mounts", "init bind-mount /a/b in the root on /d");
    check(
        &format!("{{{}, {MAPPED}}}", mounts.replace("IDMAP", r#", "idmap""#)),
        "/mounts",
        "init open-source /a/b
         host id-map-mount uid 0:1000:10 gid 0:1000:10 → fd:2
         init bind-mount fd:2 on /d",
    );
}

#[test]
fn a_joined_user_namespace_has_the_mappings() {
    check(
        r#"{"mounts": [{"destination": "/d", "source": "/s", "options": ["bind", "idmap"]}],
            "linux": {"namespaces": [{"type": "user", "path": "/proc/7/ns/user"}, {"type": "mount"}]}}"#,
        "/mounts",
        "host open-mount /s id-mapped as /proc/7/ns/user → fd:2\n init bind-mount fd:2 on /d",
    );
}

#[test]
fn an_id_mapped_mount_has_its_own_or_the_containers_mappings() {
    check_mount(
        r#"{"destination": "/d", "source": "/s", "options": ["bind", "ridmap"],
            "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 6, "size": 1}]}"#,
        "host open-mount /s recursively id-mapped uid 0:5:1 gid 0:6:1 → fd:2
         init bind-mount fd:2 on /d",
    );
    let config =
        format!(r#"{{"mounts": [{{"destination": "/d", "source": "/s", "options": ["bind", "idmap"]}}], {MAPPED}}}"#);
    check(
        &config,
        "/mounts",
        "host open-mount /s id-mapped uid 0:1000:10 gid 0:1000:10 → fd:2\n init bind-mount fd:2 on /d",
    );
    refused_mount(
        r#"{"destination": "/d", "source": "/s", "options": ["bind", "idmap"]}"#,
        "/options: idmap without mappings, and the container has none",
    );
}

#[test]
fn proc_is_covered_only_by_procfs_and_a_few_files() {
    check_mount(
        r#"{"destination": "/proc/meminfo", "source": "/lxcfs/meminfo", "options": ["bind"]}"#,
        "init bind-mount /lxcfs/meminfo on /proc/meminfo (in proc)",
    );
    refused_mount(
        r#"{"destination": "/proc/self/attr", "type": "tmpfs"}"#,
        r#"/destination: "/proc/self/attr" cannot be mounted because it is inside /proc"#,
    );
    refused_mount(
        r#"{"destination": "/x/../proc", "type": "tmpfs"}"#,
        r#"/destination: "/proc" cannot be mounted because it is not of type proc"#,
    );
    check_mount(
        r#"{"destination": "/proc", "source": "/proc", "options": ["rbind"]}"#,
        "init bind-mount /proc on /proc (ordinary directory) recursive",
    );
}

#[test]
fn a_mount_that_is_changed_later_is_held_until_then() {
    check(
        r#"{"mounts": [
            {"destination": "/t", "type": "tmpfs", "options": ["ro"]},
            {"destination": "/x/../t", "options": ["remount", "nosuid", "rprivate"]},
            {"destination": "/d", "source": "/srv", "options": ["rbind"]},
            {"destination": "/d", "options": ["remount", "bind", "rro"]},
            {"destination": "/d", "source": "/opt", "options": ["bind"]},
            {"destination": "/l", "source": "/link", "options": ["bind", "copy-symlink"]},
            {"destination": "/l", "options": ["remount", "ro"]},
            {"destination": "/sys", "type": "sysfs", "options": ["ro"]},
            {"destination": "/sys", "options": ["remount", "rw", "async"]}]}"#,
        "/mounts",
        "init mount tmpfs on /t → fd:2
         init remount fd:2 nosuid rprivate → fd:3
         init bind-mount /srv on /d recursive → fd:4
         init remount fd:4 recursively ro
         init bind-mount /opt on /d
         init bind-mount /link on /l copy-symlink
         init remount /l ro
         init mount sysfs on /sys (ordinary directory) ro ro → fd:5
         init remount fd:5 rw async,rw
         init remount fd:3 ro",
    );
}

#[test]
fn values_that_fsconfig_has_no_room_for_are_mounted_as_one_string() {
    let long = "/".to_owned() + &"x".repeat(255);
    check_mount(
        &format!(
            r#"{{"destination": "/o", "type": "overlay", "options": ["ro", "sync", "nosuid", "lowerdir={long}", "x=\"a,b\""]}}"#
        ),
        &format!("init mount overlay on /o ro,nosuid sync,lowerdir={long},x=\"a,b\" at once"),
    );
    check_mount(
        &format!(r#"{{"destination": "/d", "options": ["remount", "nosuid", "x={long}"]}}"#),
        &format!("init remount /d nosuid x={long} at once"),
    );
    check_mount(
        &format!(r#"{{"destination": "/d", "type": "nfs", "source": "{long}", "options": ["a=b"]}}"#),
        "init mount nfs on /d a=b at once",
    );
    // As long as it fits it is one option after the other, of which each can be blamed.
    let fits = &long[1..];
    let option = format!(r#"{{"destination": "/o", "type": "overlay", "options": ["lowerdir={fits}"]}}"#);
    check_mount(&option, &format!("init mount overlay on /o lowerdir={fits}"));
    let page = "y".repeat(4096);
    refused_mount(
        &format!(r#"{{"destination": "/o", "type": "overlay", "options": ["lowerdir={page}"]}}"#),
        "/options: 4105 bytes of options: mount(2) takes 4095",
    );
    check_mount(
        r#"{"destination": "/f", "type": "fuse.sshfs", "source": "x", "options": ["fd=3"]}"#,
        "init mount fuse.sshfs on /f subtype=sshfs,fd=3",
    );
}

#[test]
fn a_label_with_commas_is_quoted_where_all_options_are_one_string() {
    let long = "x".repeat(256);
    let mount = format!(r#"{{"destination": "/d", "type": "tmpfs", "options": ["mpol={long}"]}}"#);
    check(
        &format!(r#"{{"linux": {{"mountLabel": "u:r:t:s0:c1,c2"}}, "mounts": [{mount}]}}"#),
        "/mounts",
        &format!("init mount tmpfs on /d mpol={long},context=\"u:r:t:s0:c1,c2\" at once"),
    );
}

const SYSFS: &str = r#"{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}"#;

#[test]
fn a_user_namespace_without_a_network_namespace_gets_the_hosts_sysfs() {
    let maps = r#""uidMappings": [{"containerID": 0, "hostID": 9, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 9, "size": 1}]"#;
    let with = |namespaces: &str, mount: &str| {
        format!(r#"{{"mounts": [{mount}], "linux": {{"namespaces": [{{"type": "mount"}}{namespaces}], {maps}}}}}"#)
    };
    let bound = "host open-mount /sys recursive → fd:2
        init bind-mount fd:2 on /sys (ordinary directory) recursive recursively ro,nosuid";
    check(&with(r#", {"type": "user"}"#, SYSFS), "/mounts/0", bound);
    let joined = r#", {"type": "user"}, {"type": "network", "path": "/run/netns/x"}"#;
    check(&with(joined, SYSFS), "/mounts/0", bound);
    let own = r#", {"type": "user"}, {"type": "network"}"#;
    let either = "init mount sysfs on /sys (ordinary directory) ro,nosuid ro or bind /sys recursive ro";
    check(&with(own, SYSFS), "/mounts/0", either);
    // Nobody gets the host's who wants to write to it.
    let writable = SYSFS.replace("ro", "rw");
    check(
        &with(r#", {"type": "user"}"#, &writable),
        "/mounts/0",
        "init mount sysfs on /sys (ordinary directory) nosuid",
    );
    let user = HostFacts { euid: 1000, egid: 1000, ..Default::default() };
    check_on(
        &user,
        &with(r#", {"type": "user"}"#, SYSFS),
        "/mounts/0",
        "init bind-mount /sys on /sys (ordinary directory) recursive recursively ro,nosuid",
    );
}

#[test]
fn an_id_map_may_be_in_the_option() {
    let mount = |option: &str| format!(r#"{{"destination": "/d", "source": "/s", "options": ["rbind", "{option}"]}}"#);
    check_mount(
        &mount("idmap=uids=0-1-10#10-11-10;gids=0-100-10"),
        "host open-mount /s recursive id-mapped uid 0:1:10,10:11:10 gid 0:100:10 → fd:2
         init bind-mount fd:2 on /d recursive",
    );
    let container = r#""linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
        "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 2, "size": 1000}],
        "gidMappings": [{"containerID": 0, "hostID": 100, "size": 1000}]}"#;
    check(
        &format!(r#"{{"mounts": [{}], {container}}}"#, mount("ridmap=uids=@1-3-10;gids=@0-0-10")),
        "/mounts",
        "host open-mount /s recursive recursively id-mapped uid 1:4:10 gid 0:100:10 → fd:2
         init bind-mount fd:2 on /d recursive",
    );
    for (option, message) in [
        ("idmap=uids=0-1-10", "an id-mapped mount needs both uids=… and gids=…"),
        ("idmap=uids=0-1;gids=0-1-1", "\"0-1\" is not three numbers, as 0-1000-1"),
        ("idmap=both=0-1-1", "\"both=0-1-1\" is neither uids=… nor gids=…"),
        ("idmap=uids=@0-1-1;gids=0-1-1", "\"@0-1-1\" is relative to a mapping that the container has not"),
    ] {
        refused_mount(&mount(option), &format!("/options/1: {message}"));
    }
    refused_mount(
        r#"{"destination": "/d", "source": "/s", "options": ["bind", "idmap=uids=0-1-1;gids=0-1-1"],
            "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 6, "size": 1}]}"#,
        "/options: idmap=… says something else than uidMappings and gidMappings",
    );
    refused_mount(
        r#"{"destination": "/d", "type": "tmpfs", "options": ["idmap=uids=0-1-1;gids=0-1-1"]}"#,
        ": only a bind mount can be id-mapped",
    );
}

#[test]
fn symbolic_links_at_either_end_are_followed_or_not() {
    check_mount(
        r#"{"destination": "/d", "source": "/s", "options": ["bind", "src-nofollow", "dest-nofollow"]}"#,
        "init bind-mount /s on /d dest-nofollow src-nofollow",
    );
    refused_mount(
        r#"{"destination": "/d", "source": "/s", "options": ["bind", "src-nofollow", "copy-symlink"]}"#,
        "/options: copy-symlink excludes src-nofollow and dest-nofollow",
    );
    refused_mount(
        r#"{"destination": "/d", "type": "tmpfs", "options": ["dest-nofollow"]}"#,
        "/options: copy-symlink, src-nofollow and dest-nofollow are for bind mounts",
    );
}

#[test]
fn a_mount_can_be_changed() {
    check_mount(r#"{"destination": "/d", "options": ["remount", "ro", "size=1m"]}"#, "init remount /d ro size=1m");
}

#[test]
fn what_is_for_a_filesystem_is_ignored_on_a_bind_mount() {
    check_mount(
        r#"{"destination": "/a", "source": "/b", "options": ["bind", "size=3", "sync"]}"#,
        "init bind-mount /b on /a",
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    refused_mount(r#"{"destination": "/"}"#, "/destination: the root filesystem cannot be mounted over");
    refused_mount(r#"{"destination": "/a"}"#, "/type: a mount that is no bind mount needs a type");
    refused_mount(r#"{"destination": "/a", "options": ["bind"]}"#, "/source: a bind mount needs a source");
}
