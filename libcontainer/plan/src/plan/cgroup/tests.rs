mod resources;

use super::*;
use crate::plan::line::Action;
use crate::plan::line::Tolerate;

fn hierarchy(controllers: &[&str], mount: &str, own: &str, unified: bool) -> Hierarchy {
    Hierarchy { own: own.to_owned(), ..Hierarchy::example(controllers, mount, unified) }
}

fn facts(hierarchies: Vec<Hierarchy>) -> HostFacts {
    HostFacts { privileged: true, hierarchies, ..HostFacts::default() }
}

/// Every controller of v1, some mounted together as systemd does.
fn v1() -> HostFacts {
    let mounts: [&[&str]; 11] = [
        &["cpu", "cpuacct"],
        &["cpuset"],
        &["memory"],
        &["devices"],
        &["freezer"],
        &["blkio"],
        &["pids"],
        &["hugetlb"],
        &["net_cls", "net_prio"],
        &["rdma"],
        &["name=systemd"],
    ];
    let mount = |names: &&[&str]| {
        let directory = format!("/sys/fs/cgroup/{}", names.join(",").replace("name=", ""));
        hierarchy(names, &directory, "/own", false)
    };
    facts(mounts.iter().map(mount).collect())
}

fn hybrid() -> HostFacts {
    let mut facts = v1();
    facts.hierarchies.retain(|hierarchy| !hierarchy.controllers.contains(&"hugetlb".to_owned()));
    facts.hierarchies.push(hierarchy(&["hugetlb"], "/sys/fs/cgroup/unified", "/own", true));
    facts
}

fn v2() -> HostFacts {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];
    facts(vec![hierarchy(&controllers, "/sys/fs/cgroup", "/user/own", true)])
}

fn spec(linux: &str) -> Spec {
    serde_json::from_str(&format!(r#"{{"ociVersion": "1.3.0", "linux": {linux}}}"#)).unwrap()
}

fn made(linux: &str, facts: &HostFacts) -> Result<CgroupPlan> {
    plan(&spec(linux), facts, "web", CgroupManager::Cgroupfs)
}

fn print(lines: &[Line]) -> String {
    let short = |file: &Path| file.strip_prefix("/sys/fs/cgroup").unwrap_or(file).display().to_string();
    let line = |line: &Line| match &line.action {
        Action::Host(HostStep::CreateCgroup { groups }) => {
            format!(
                "create-cgroup {}",
                groups.iter().map(|group| short(&group.directory)).collect::<Vec<_>>().join(" ")
            )
        }
        Action::Host(HostStep::WriteCgroup { file, value, tolerate }) => {
            let end = match tolerate {
                Tolerate::Nothing => String::new(),
                Tolerate::Missing => " (if there)".to_owned(),
                Tolerate::Forbidden { value: Some(value) } => format!(" (else {value})"),
                Tolerate::Forbidden { value: None } => " (if it may be)".to_owned(),
                Tolerate::Otherwise { file, value } => format!(" (else {} = {value})", short(file)),
            };
            format!("{} = {value}{end}", short(file))
        }
        Action::Host(HostStep::AttachDeviceProgram { directory, program }) => {
            format!("attach-device-program {} ({} instructions)", short(directory), program.len() / 8)
        }
        Action::Host(HostStep::ChownCgroup { directory, uid }) => format!("chown-cgroup {} {uid}", short(directory)),
        other => format!("{other:?}"),
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What `resources` write, the device rules left out.
#[track_caller]
fn check(facts: &HostFacts, resources: &str, expected: &str) {
    let linux = format!(r#"{{"cgroupsPath": "/web", "resources": {resources}}}"#);
    let printed = match made(&linux, facts) {
        Ok(plan) => {
            let is_resource = |line: &&Line| {
                let is_write = matches!(&line.action, Action::Host(HostStep::WriteCgroup { file, .. })
                    if !file.display().to_string().contains("/devices."));
                is_write && line.origin().starts_with("/linux/resources/")
            };
            print(&plan.lines.iter().filter(is_resource).cloned().collect::<Vec<_>>())
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(printed, trimmed(expected));
}

#[test]
fn an_absolute_path_counts_from_the_mount() {
    let plan = made(r#"{"cgroupsPath": "/pods/web"}"#, &v2()).unwrap();
    assert_eq!(plan.into_cgroup.as_deref(), Some(Path::new("/sys/fs/cgroup/pods/web")));
    assert_eq!(print(&plan.lines[..1]), "create-cgroup pods/web");
    assert_eq!(plan.lines[0].origin(), "/linux/cgroupsPath");
}

#[test]
fn a_relative_path_counts_from_the_own_group() {
    let plan = made(r#"{"cgroupsPath": "pods/web"}"#, &v1()).unwrap();
    assert_eq!(plan.groups[2].directory, Path::new("/sys/fs/cgroup/memory/own/pods/web"));
    assert_eq!(plan.tasks[0], Path::new("/sys/fs/cgroup/cpu,cpuacct/own/pods/web/tasks"));
    assert_eq!(plan.into_cgroup, None);
}

/// The own group holds the caller, so that on v2 it cannot have children with controllers.
#[test]
fn on_v2_alone_a_relative_path_counts_from_the_parent_of_the_own_group() {
    let plan = made(r#"{"cgroupsPath": "pods/web"}"#, &v2()).unwrap();
    assert_eq!(plan.groups[0].directory, Path::new("/sys/fs/cgroup/user/pods/web"));
    let plan = made("{}", &v2()).unwrap();
    assert_eq!(plan.groups[0].directory, Path::new("/sys/fs/cgroup/user/web"));
    assert_eq!(plan.lines[0].origin(), "(default)");
}

#[test]
fn dots_do_not_lead_out_of_the_hierarchy() {
    for path in ["../../../web", "/../../web", "./../web", "/a/../../../web"] {
        let mut facts = v1();
        facts.hierarchies.truncate(4);
        facts.hierarchies.iter_mut().for_each(|hierarchy| hierarchy.own = "/".to_owned());
        let plan = made(&format!(r#"{{"cgroupsPath": "{path}"}}"#), &facts).unwrap();
        assert_eq!(plan.groups[1].directory, Path::new("/sys/fs/cgroup/cpuset/web"), "{path}");
    }
    // Not out of the own group either.
    let plan = made(r#"{"cgroupsPath": "../../web"}"#, &v1()).unwrap();
    assert_eq!(plan.groups[1].directory, Path::new("/sys/fs/cgroup/cpuset/own/web"));
}

#[test]
fn a_path_without_a_name_is_refused() {
    for path in ["/", ".", "/..", "a/.."] {
        let error = made(&format!(r#"{{"cgroupsPath": "{path}"}}"#), &v1()).unwrap_err();
        assert_eq!(error.to_string(), "config.json: /linux/cgroupsPath: names no group of the container's own");
    }
}

#[test]
fn a_hybrid_host_has_a_group_on_either_side() {
    let plan = made(r#"{"cgroupsPath": "/web"}"#, &hybrid()).unwrap();
    assert_eq!(plan.into_cgroup.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/web")));
    assert_eq!((plan.tasks.len(), plan.groups.len()), (10, 11));
    check(
        &hybrid(),
        r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}], "unified": {"hugetlb.1GB.max": "0"}}"#,
        "unified/web/hugetlb.2MB.max = 4194304
         unified/web/hugetlb.2MB.rsvd.max = 4194304 (if there)
         unified/web/hugetlb.1GB.max = 0",
    );
}

#[test]
fn device_rules_are_always_there() {
    let plan = made(r#"{"cgroupsPath": "/web"}"#, &hybrid()).unwrap();
    assert_eq!(
        print(&plan.lines[1..]),
        trimmed(
            "devices/web/devices.deny = a
             devices/web/devices.allow = b *:* m (if it may be)
             devices/web/devices.allow = c *:* m (if it may be)
             devices/web/devices.allow = c 1:3 rwm (else c 1:3 rw)
             devices/web/devices.allow = c 1:5 rwm (else c 1:5 rw)
             devices/web/devices.allow = c 1:7 rwm (else c 1:7 rw)
             devices/web/devices.allow = c 1:8 rwm (else c 1:8 rw)
             devices/web/devices.allow = c 1:9 rwm (else c 1:9 rw)
             devices/web/devices.allow = c 5:0 rwm (else c 5:0 rw)
             devices/web/devices.allow = c 5:2 rwm (else c 5:2 rw)
             devices/web/devices.allow = c 10:200 rwm (else c 10:200 rw)
             devices/web/devices.allow = c 136:* rwm (else c 136:* rw)"
        )
    );
    let plan = made(r#"{"cgroupsPath": "/web"}"#, &v2()).unwrap();
    assert_eq!(print(&plan.lines[1..]), "attach-device-program web (69 instructions)");
    let mut facts = v1();
    facts.hierarchies.retain(|hierarchy| !hierarchy.controllers.contains(&"devices".to_owned()));
    assert!(made("{}", &facts).unwrap_err().to_string().contains("the devices controller is not available"));
}

#[test]
fn an_ordinary_user_gets_groups_where_he_may_make_some() {
    let mut facts = v1();
    facts.privileged = false;
    facts.hierarchies.iter_mut().for_each(|hierarchy| hierarchy.writable = hierarchy.controllers == ["name=systemd"]);
    let plan = made("{}", &facts).unwrap();
    assert_eq!(print(&plan.lines), "create-cgroup systemd/own/web");

    facts.hierarchies.iter_mut().for_each(|hierarchy| hierarchy.writable = false);
    assert!(has_no_group(&made("{}", &facts).unwrap()));
    let words = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups";
    let error = made(r#"{"resources": {"pids": {"limit": 5}}}"#, &facts).unwrap_err();
    assert_eq!(error.to_string(), format!("config.json: /linux/resources/pids/limit: {words}"));
    // Whoever names a path gets it or an error from mkdir(2); but for the v2 side of a hybrid host, where nobody needs one.
    let v1 = facts.hierarchies.iter().filter(|hierarchy| !hierarchy.unified).count();
    assert_eq!(made(r#"{"cgroupsPath": "/web"}"#, &facts).unwrap().groups.len(), v1);
}

#[test]
fn a_container_with_a_cgroup_namespace_and_a_writable_mount_gets_its_group() {
    let config = |options: &str, maps: &str| {
        let json = format!(
            r#"{{"ociVersion": "1.3.0", "process": {{"cwd": "/", "args": ["x"], "user": {{"uid": 7, "gid": 0}}}},
                 "mounts": [{{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [{options}]}}],
                 "linux": {{"cgroupsPath": "/web", "namespaces": [{{"type": "cgroup"}}], "uidMappings": [{maps}]}}}}"#
        );
        let plan = plan(&serde_json::from_str(&json).unwrap(), &v2(), "web", CgroupManager::Cgroupfs).unwrap();
        print(&plan.lines[2..])
    };
    let map = r#"{"containerID": 0, "hostID": 100000, "size": 1000}"#;
    assert_eq!(config(r#""rw""#, map), "chown-cgroup web 100007");
    assert_eq!(config(r#""rw""#, ""), "chown-cgroup web 7");
    assert_eq!(config(r#""ro""#, map), "");
    assert_eq!(config("", r#"{"containerID": 0, "hostID": 100000, "size": 7}"#), "");
}

/// The caller's groups are shown then, and nothing is done.
fn has_no_group(plan: &CgroupPlan) -> bool {
    plan.lines.is_empty() && plan.into_cgroup.is_none() && plan.tasks.is_empty() && plan.groups.is_empty()
}

#[test]
fn no_manager_no_groups() {
    let spec = spec(r#"{"resources": {"pids": {"limit": 5}}}"#);
    assert!(has_no_group(&plan(&spec, &v1(), "web", CgroupManager::Disabled).unwrap()));
}
