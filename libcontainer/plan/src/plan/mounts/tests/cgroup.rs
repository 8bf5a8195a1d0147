use super::{Hierarchy, HostFacts, check, check_on, facts, refused_mount};

const CGROUP: &str =
    r#"{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}"#;

#[test]
fn on_cgroup_v1_each_hierarchy_shows_the_containers_own_group() {
    let hierarchy = Hierarchy::example;
    let v1 = HostFacts {
        hierarchies: vec![
            hierarchy(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct", false),
            hierarchy(&["devices"], "/sys/fs/cgroup/devices", false),
            hierarchy(&["name=systemd"], "/sys/fs/cgroup/systemd", false),
            hierarchy(&["hugetlb", "misc"], "/sys/fs/cgroup/unified", true),
        ],
        ..facts()
    };
    check_on(
        &v1,
        &format!(r#"{{"mounts": [{CGROUP}]}}"#),
        "/mounts/0",
        "init mount tmpfs on /sys/fs/cgroup nosuid mode=755 → fd:5
         init bind-mount /sys/fs/cgroup/cpu,cpuacct/own/web on /sys/fs/cgroup/cpu,cpuacct ro,nosuid
         init symlink /sys/fs/cgroup/cpu → cpu,cpuacct
         init symlink /sys/fs/cgroup/cpuacct → cpu,cpuacct
         init bind-mount /sys/fs/cgroup/devices/own/web on /sys/fs/cgroup/devices ro,nosuid
         init bind-mount /sys/fs/cgroup/systemd/own/web on /sys/fs/cgroup/systemd ro,nosuid
         init bind-mount /sys/fs/cgroup/unified/own/web on /sys/fs/cgroup/unified ro,nosuid
         init remount fd:5 ro",
    );
    check_on(
        &v1,
        &format!(r#"{{"mounts": [{CGROUP}], "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "cgroup"}}]}}}}"#),
        "/mounts/0",
        "init mount tmpfs on /sys/fs/cgroup nosuid mode=755 → fd:5
         init mount cgroup on /sys/fs/cgroup/cpu,cpuacct ro,nosuid cpu,cpuacct
         init symlink /sys/fs/cgroup/cpu → cpu,cpuacct
         init symlink /sys/fs/cgroup/cpuacct → cpu,cpuacct
         init mount cgroup on /sys/fs/cgroup/devices ro,nosuid devices
         init mount cgroup on /sys/fs/cgroup/systemd ro,nosuid none,name=systemd
         init mount-cgroup2 /sys/fs/cgroup/unified ro,nosuid or bind /sys/fs/cgroup/unified/own/web
         init remount fd:5 ro",
    );
}

#[test]
fn on_cgroup_v2_there_is_one_hierarchy() {
    check_on(
        &facts(),
        &format!(r#"{{"mounts": [{CGROUP}]}}"#),
        "/mounts/0",
        "init bind-mount /sys/fs/cgroup on /sys/fs/cgroup ro,nosuid",
    );
    check_on(
        &facts(),
        &format!(r#"{{"mounts": [{CGROUP}], "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "cgroup"}}]}}}}"#),
        "/mounts/0",
        "init mount-cgroup2 /sys/fs/cgroup ro,nosuid or bind /sys/fs/cgroup/web",
    );
}

#[test]
fn options_of_cgroup_v2_are_known_and_without_a_cgroup_namespace_stay_the_hosts() {
    let mount = |kind: &str, option: &str| {
        format!(
            r#"{{"destination": "/sys/fs/cgroup", "type": "{kind}", "options": ["rslave", "nsdelegate", "{option}"]}}"#
        )
    };
    for kind in ["cgroup", "cgroup2"] {
        for option in ["memory_recursiveprot", "favordynmods", "pids_localevents", "memory_hugetlb_accounting"] {
            let config = |more: &str| {
                let namespaces = format!(r#"{{"namespaces": [{{"type": "mount"}}{more}]}}"#);
                format!(r#"{{"mounts": [{}], "linux": {namespaces}}}"#, mount(kind, option))
            };
            let bound = "init bind-mount /sys/fs/cgroup on /sys/fs/cgroup rw rslave";
            check(&config(""), "/mounts/0", bound);
            let own =
                format!("init mount-cgroup2 /sys/fs/cgroup nsdelegate,{option} rslave or bind /sys/fs/cgroup/web");
            check(&config(r#", {"type": "cgroup"}"#), "/mounts/0", &own);
        }
    }
    let other = mount("cgroup", "size=3");
    refused_mount(&other, "/options/2: a cgroup mount has no option \"size=3\"");
}

#[test]
fn on_cgroup_v1_every_hierarchy_has_the_propagation_that_was_asked_for() {
    let v1 =
        HostFacts { hierarchies: vec![Hierarchy::example(&["devices"], "/sys/fs/cgroup/devices", false)], ..facts() };
    check_on(
        &v1,
        r#"{"mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["rprivate"]}]}"#,
        "/mounts/0",
        "init mount tmpfs on /sys/fs/cgroup mode=755 rprivate
         init bind-mount /sys/fs/cgroup/devices/own/web on /sys/fs/cgroup/devices rprivate",
    );
}

#[test]
fn on_cgroup_v2_a_user_namespace_without_a_cgroup_namespace_gets_its_group_bound() {
    let maps = r#""uidMappings": [{"containerID": 0, "hostID": 9, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 9, "size": 1}]"#;
    let with = |more: &str, line: &str| {
        let namespaces = format!(r#"[{{"type": "mount"}}, {{"type": "user"}}{more}]"#);
        let linux = format!(r#"{{"namespaces": {namespaces}, {maps}}}"#);
        check_on(&facts(), &format!(r#"{{"mounts": [{CGROUP}], "linux": {linux}}}"#), "/mounts/0", line);
    };
    with("", "init bind-mount /sys/fs/cgroup/web on /sys/fs/cgroup ro,nosuid");
    with(r#", {"type": "cgroup"}"#, "init mount-cgroup2 /sys/fs/cgroup ro,nosuid or bind /sys/fs/cgroup/web");
}
