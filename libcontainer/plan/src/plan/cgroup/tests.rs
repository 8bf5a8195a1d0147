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
fn memory_v1() {
    check(
        &v1(),
        r#"{"memory": {"limit": 1000, "swap": 2000, "reservation": 500, "kernel": 600, "kernelTCP": 700,
            "swappiness": 10, "disableOOMKiller": true, "useHierarchy": true}}"#,
        "memory/web/memory.limit_in_bytes = 1000
         memory/web/memory.memsw.limit_in_bytes = 2000
         memory/web/memory.soft_limit_in_bytes = 500
         memory/web/memory.kmem.limit_in_bytes = 600
         memory/web/memory.kmem.tcp.limit_in_bytes = 700
         memory/web/memory.swappiness = 10
         memory/web/memory.oom_control = 1
         memory/web/memory.use_hierarchy = 1 (if there)",
    );
    check(
        &v1(),
        r#"{"memory": {"limit": -1}}"#,
        "memory/web/memory.limit_in_bytes = -1
         memory/web/memory.memsw.limit_in_bytes = -1 (if there)",
    );
    check(
        &v1(),
        r#"{"memory": {"limit": 1000, "swap": -1}}"#,
        "memory/web/memory.limit_in_bytes = 1000
         memory/web/memory.memsw.limit_in_bytes = -1 (if there)",
    );
}

#[test]
fn memory_v2() {
    check(
        &v2(),
        r#"{"memory": {"limit": 1000, "swap": 3000, "reservation": 500}}"#,
        "web/memory.swap.max = 2000
         web/memory.max = 1000
         web/memory.low = 500",
    );
    // As much swap as memory is no swap.
    check(
        &v2(),
        r#"{"memory": {"limit": 1000, "swap": 1000}}"#,
        "web/memory.swap.max = 0 (if there)
         web/memory.max = 1000",
    );
    check(
        &v2(),
        r#"{"memory": {"limit": -1}}"#,
        "web/memory.swap.max = max (if there)
         web/memory.max = max",
    );
    check(
        &v2(),
        r#"{"memory": {"limit": -1, "swap": 3000, "reservation": -1}}"#,
        "web/memory.swap.max = 3000
         web/memory.max = max
         web/memory.low = max",
    );
    check(&v2(), r#"{"memory": {"swap": -1}}"#, "web/memory.swap.max = max (if there)");
    check(
        &v2(),
        r#"{"memory": {"swap": 3000}}"#,
        "config.json: /linux/resources/memory/swap: unable to set swap limit without memory limit",
    );
}

#[test]
fn memory_that_makes_no_sense_is_refused() {
    for facts in [v1(), v2()] {
        check(
            &facts,
            r#"{"memory": {"limit": 1000, "swap": 999}}"#,
            "config.json: /linux/resources/memory/swap: memory+swap limit should be >= memory limit",
        );
        check(
            &facts,
            r#"{"memory": {"limit": -2}}"#,
            "config.json: /linux/resources/memory/limit: -2 is no number of bytes; -1 is unlimited",
        );
        check(
            &facts,
            r#"{"memory": {"swappiness": 101}}"#,
            "config.json: /linux/resources/memory/swappiness: invalid memory swappiness value: 101 (valid range is 0-100)",
        );
    }
}

#[test]
fn what_only_v1_has_is_refused_on_v2() {
    for (resources, origin) in [
        (r#"{"memory": {"kernel": 1}}"#, "memory/kernel"),
        (r#"{"memory": {"kernelTCP": 1}}"#, "memory/kernelTCP"),
        (r#"{"memory": {"swappiness": 60}}"#, "memory/swappiness"),
        (r#"{"memory": {"disableOOMKiller": true}}"#, "memory/disableOOMKiller"),
        (r#"{"cpu": {"realtimePeriod": 1}}"#, "cpu/realtimePeriod"),
        (r#"{"cpu": {"realtimeRuntime": 1}}"#, "cpu/realtimeRuntime"),
        (r#"{"blockIO": {"leafWeight": 10}}"#, "blockIO/leafWeight"),
        (
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}}"#,
            "blockIO/weightDevice/0/leafWeight",
        ),
        (r#"{"network": {"classID": 1}}"#, "network/classID"),
        (r#"{"network": {"priorities": [{"name": "eth0", "priority": 1}]}}"#, "network/priorities"),
    ] {
        let words = "cgroup v2 has nothing like it; it can only be set on cgroup v1";
        check(&v2(), resources, &format!("config.json: /linux/resources/{origin}: {words}"));
    }
}

/// Docker and containerd send every key.
#[test]
fn zeros_ask_for_nothing() {
    let zeros = r#"{
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "kernelTCP": -1, "swappiness": 18446744073709551615,
                   "disableOOMKiller": false, "useHierarchy": false, "checkBeforeUpdate": false},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": [], "throttleReadBpsDevice": null},
        "network": {"classID": 0, "priorities": []}, "hugepageLimits": [], "rdma": {}, "unified": {}}"#;
    for mut facts in [v1(), v2(), hybrid()] {
        check(&facts, zeros, "");
        facts
            .hierarchies
            .retain(|hierarchy| hierarchy.controllers.contains(&"devices".to_owned()) || hierarchy.unified);
        facts
            .hierarchies
            .iter_mut()
            .filter(|hierarchy| hierarchy.unified)
            .for_each(|unified| unified.controllers.clear());
        check(&facts, zeros, "");
    }
}

#[test]
fn cpu_v1() {
    check(
        &v1(),
        r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "idle": 1, "realtimePeriod": 1000,
            "realtimeRuntime": 500, "cpus": "0-1", "mems": "0"}}"#,
        "cpu,cpuacct/web/cpu.idle = 1
         cpu,cpuacct/web/cpu.cfs_period_us = 100000
         cpu,cpuacct/web/cpu.cfs_quota_us = 50000
         cpu,cpuacct/web/cpu.cfs_burst_us = 1000
         cpu,cpuacct/web/cpu.rt_period_us = 1000
         cpu,cpuacct/web/cpu.rt_runtime_us = 500
         cpuset/web/cpuset.cpus = 0-1
         cpuset/web/cpuset.mems = 0",
    );
    check(
        &v1(),
        r#"{"cpu": {"shares": 1}}"#,
        "config.json: /linux/resources/cpu/shares: the minimum allowed cpu-shares is 2",
    );
    check(
        &v1(),
        r#"{"cpu": {"shares": 262145}}"#,
        "config.json: /linux/resources/cpu/shares: the maximum allowed cpu-shares is 262144",
    );
}

#[test]
fn cpu_v2() {
    check(
        &v2(),
        r#"{"cpu": {"shares": 1024, "quota": 50000, "period": 200000, "burst": 1000, "idle": 0, "cpus": "0-1", "mems": "0"}}"#,
        "web/cpu.idle = 0 (if there)
         web/cpu.weight = 100
         web/cpu.max = 50000 200000
         web/cpu.max.burst = 1000
         web/cpuset.cpus = 0-1
         web/cpuset.mems = 0",
    );
    check(&v2(), r#"{"cpu": {"quota": 50000}}"#, "web/cpu.max = 50000 100000");
    check(&v2(), r#"{"cpu": {"quota": -1}}"#, "web/cpu.max = max 100000");
    check(&v2(), r#"{"cpu": {"period": 10000}}"#, "web/cpu.max = max 10000");
}

#[test]
fn shares_become_weight_so_that_the_defaults_meet() {
    let expected =
        [(1, 1), (2, 1), (10, 4), (100, 17), (512, 59), (1024, 100), (2048, 174), (4096, 303), (262_144, 10_000)];
    for (shares, weight) in expected {
        assert_eq!(v2::cpu_weight(shares), weight, "{shares}");
    }
}

#[test]
fn pids_limit() {
    for (facts, group) in [(v1(), "pids/web"), (v2(), "web")] {
        check(&facts, r#"{"pids": {"limit": 10}}"#, &format!("{group}/pids.max = 10"));
        check(&facts, r#"{"pids": {"limit": 0}}"#, &format!("{group}/pids.max = 1"));
        check(&facts, r#"{"pids": {"limit": -1}}"#, &format!("{group}/pids.max = max (if there)"));
    }
}

const BLOCK_IO: &str = r#"
    "weightDevice": [{"major": 8, "minor": 0, "weight": 500}, {"major": 8, "minor": 16}],
    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 0}],
    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]"#;

#[test]
fn block_io_v1() {
    check(
        &v1(),
        &format!(r#"{{"blockIO": {{"weight": 10, "leafWeight": 20, {BLOCK_IO}}}}}"#),
        "blkio/web/blkio.weight = 10 (else blkio/web/blkio.bfq.weight = 10)
         blkio/web/blkio.weight_device = 8:0 500 (else blkio/web/blkio.bfq.weight_device = 8:0 500)
         blkio/web/blkio.leaf_weight = 20
         blkio/web/blkio.throttle.read_bps_device = 8:0 1
         blkio/web/blkio.throttle.read_bps_device = 8:16 0
         blkio/web/blkio.throttle.write_bps_device = 8:0 2
         blkio/web/blkio.throttle.read_iops_device = 8:0 3
         blkio/web/blkio.throttle.write_iops_device = 8:0 4",
    );
    check(
        &v1(),
        r#"{"blockIO": {"weight": 9}}"#,
        "config.json: /linux/resources/blockIO/weight: weight 9 is not between 10 and 1000",
    );
}

#[test]
fn block_io_v2() {
    check(
        &v2(),
        &format!(r#"{{"blockIO": {{"weight": 1000, {BLOCK_IO}}}}}"#),
        "web/io.bfq.weight = 1000 (else web/io.weight = 10000)
         web/io.bfq.weight = 8:0 500 (else web/io.weight = 8:0 4950)
         web/io.max = 8:0 rbps=1
         web/io.max = 8:16 rbps=max
         web/io.max = 8:0 wbps=2
         web/io.max = 8:0 riops=3
         web/io.max = 8:0 wiops=4",
    );
}

#[test]
fn hugepage_limits() {
    let limits = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}, {"pageSize": "1GB", "limit": -1}]}"#;
    check(
        &v1(),
        limits,
        "hugetlb/web/hugetlb.2MB.limit_in_bytes = 4194304
         hugetlb/web/hugetlb.2MB.rsvd.limit_in_bytes = 4194304 (if there)
         hugetlb/web/hugetlb.1GB.limit_in_bytes = -1
         hugetlb/web/hugetlb.1GB.rsvd.limit_in_bytes = -1 (if there)",
    );
    check(
        &v2(),
        limits,
        "web/hugetlb.2MB.max = 4194304
         web/hugetlb.2MB.rsvd.max = 4194304 (if there)
         web/hugetlb.1GB.max = max
         web/hugetlb.1GB.rsvd.max = max (if there)",
    );
    for size in ["", "2", "MB", "../2MB", "02MB", "2 MB", "2TB"] {
        let limits = format!(r#"{{"hugepageLimits": [{{"pageSize": "{size}", "limit": 1}}]}}"#);
        let message =
            format!("/linux/resources/hugepageLimits/0/pageSize: {size:?} is no page size such as 2MB or 1GB");
        check(&v1(), &limits, &format!("config.json: {message}"));
    }
}

#[test]
fn network() {
    check(
        &v1(),
        r#"{"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}, {"name": "eth0", "priority": 6}]}}"#,
        "net_cls,net_prio/web/net_cls.classid = 1048577
         net_cls,net_prio/web/net_prio.ifpriomap = lo 5
         net_cls,net_prio/web/net_prio.ifpriomap = eth0 6",
    );
}

#[test]
fn rdma() {
    for (facts, group) in [(v1(), "rdma/web"), (v2(), "web")] {
        check(
            &facts,
            r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}}"#,
            &format!("{group}/rdma.max = mlx4_0 hca_object=0\n{group}/rdma.max = mlx5_1 hca_handle=3 hca_object=10000"),
        );
        check(
            &facts,
            r#"{"rdma": {"a/b": {}}}"#,
            "config.json: /linux/resources/rdma/a~1b: needs hcaHandles or hcaObjects",
        );
    }
}

#[test]
fn unified() {
    check(
        &v2(),
        r#"{"unified": {"memory.high": "1000", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cgroup.max.depth": "5"}}"#,
        "web/cgroup.max.depth = 5
         web/io.max = 8:0 rbps=1
         web/io.max = 8:16 rbps=2
         web/memory.high = 1000",
    );
    let prefix = "config.json: /linux/resources/unified/";
    for (entries, message) in [
        (r#"{"a/b.c": ""}"#, r#"a~1b.c: unified resource "a/b.c" must be a file name (no slashes)"#),
        (r#"{"memory": "1"}"#, r#"memory: unified resource "memory" must be in the form CONTROLLER.PARAMETER"#),
        (
            r#"{"dmem.max": "1"}"#,
            r#"dmem.max: unified resource "dmem.max" can't be set: controller "dmem" not available"#,
        ),
    ] {
        check(&v2(), &format!(r#"{{"unified": {entries}}}"#), &format!("{prefix}{message}"));
    }
    for facts in [v1(), hybrid()] {
        let message = "memory.max: invalid configuration: unified resources cannot be used on cgroup v1";
        check(&facts, r#"{"unified": {"memory.max": "1"}}"#, &format!("{prefix}{message}"));
    }
}

#[test]
fn a_missing_controller_is_an_error_that_names_who_wants_it() {
    let without = |mut facts: HostFacts, names: &[&str]| {
        for hierarchy in &mut facts.hierarchies {
            hierarchy.controllers.retain(|controller| !names.contains(&controller.as_str()));
        }
        facts
    };
    for (resources, origin, v1_name, v2_name) in [
        (r#"{"memory": {"limit": 1}}"#, "memory/limit", "memory", "memory"),
        (r#"{"cpu": {"quota": 1}}"#, "cpu/quota", "cpu", "cpu"),
        (r#"{"cpu": {"mems": "0"}}"#, "cpu/mems", "cpuset", "cpuset"),
        (r#"{"pids": {"limit": 1}}"#, "pids/limit", "pids", "pids"),
        (r#"{"blockIO": {"weight": 10}}"#, "blockIO/weight", "blkio", "io"),
        (r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#, "hugepageLimits/0/limit", "hugetlb", "hugetlb"),
        (r#"{"rdma": {"x": {"hcaObjects": 1}}}"#, "rdma/x", "rdma", "rdma"),
    ] {
        let message = |name| {
            format!("config.json: /linux/resources/{origin}: the {name} controller is not available on this host")
        };
        check(&without(v1(), &[v1_name]), resources, &message(v1_name));
        check(&without(v2(), &[v2_name]), resources, &message(v2_name));
    }
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
