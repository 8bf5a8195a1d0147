use super::*;
use crate::CgroupManager;
use crate::facts::Hierarchy;
use crate::plan::line::{Action, Line};
use crate::plan::{PlanOptions, create, tests::spec_of, tests::text_of};

fn v2() -> HostFacts {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];
    HostFacts {
        privileged: true,
        hierarchies: vec![Hierarchy::example(&controllers, "/sys/fs/cgroup", true)],
        systemd: Some(Systemd::default()),
        ..HostFacts::default()
    }
}

fn v1() -> HostFacts {
    let mount =
        |names: &&[&str]| Hierarchy::example(names, &format!("/c/{}", names.join(",").replace("name=", "")), false);
    let mounts: [&[&str]; 7] =
        [&["cpu", "cpuacct"], &["cpuset"], &["memory"], &["devices"], &["blkio"], &["pids"], &["name=systemd"]];
    let mut hierarchies: Vec<_> = mounts.iter().map(mount).collect();
    hierarchies.push(Hierarchy::example(&[], "/c/unified", true));
    HostFacts { hierarchies, ..v2() }
}

fn user() -> HostFacts {
    let root = "/user.slice/user-1000.slice/user@1000.service".to_owned();
    let delegated = Some(["cpu", "memory", "pids"].map(str::to_owned).to_vec());
    let systemd = Some(Systemd { user: true, root, delegated });
    HostFacts { privileged: false, euid: 1000, egid: 1000, systemd, ..v2() }
}

fn plan(config: &str, facts: &HostFacts) -> Result<CgroupPlan> {
    super::plan(&spec_of(config), facts, "web")
}

fn with_path(path: &str) -> String {
    format!(r#"{{"linux": {{"cgroupsPath": "{path}"}}}}"#)
}

/// The properties that are there because of config.json.
#[track_caller]
fn properties(plan: &CgroupPlan) -> Vec<String> {
    let Some(Line { action: Action::Host(HostStep::StartScope { properties, .. }), .. }) =
        plan.scope.as_ref().map(|scope| &scope.start)
    else {
        panic!("no scope: {plan:?}");
    };
    let usual = ["Description", "Slice", "Delegate", "DefaultDependencies=no", "CollectMode=inactive-or-failed"];
    let usual = [&usual[..], &["CPUAcc", "MemoryAcc", "IOAcc", "TasksAcc", "Device"]].concat();
    let all = properties.iter().map(ToString::to_string);
    all.filter(|property| !usual.iter().any(|usual| property.starts_with(usual))).collect()
}

/// `resources` in, properties out.
#[track_caller]
fn check(facts: &HostFacts, resources: &str, expected: &str) {
    let plan = plan(&format!(r#"{{"linux": {{"resources": {resources}}}}}"#), facts).unwrap();
    assert_eq!(properties(&plan).join(" "), expected);
}

#[test]
fn the_path_names_slice_prefix_and_name() {
    let place = |path: &str, facts: &HostFacts| {
        let plan = plan(&with_path(path), facts).unwrap();
        let unit = plan.scope.unwrap().unit;
        assert_eq!(unit.user, facts.systemd.as_ref().unwrap().user);
        let directory = plan.groups[0].directory.display().to_string();
        assert!(directory.ends_with(&unit.name), "{directory}");
        directory
    };
    assert_eq!(place("system.slice:docker:web", &v2()), "/sys/fs/cgroup/system.slice/docker-web.scope");
    assert_eq!(place("a-b-c.slice:p:web", &v2()), "/sys/fs/cgroup/a.slice/a-b.slice/a-b-c.slice/p-web.scope");
    assert_eq!(place("-.slice:p:web", &v2()), "/sys/fs/cgroup/p-web.scope");
    assert_eq!(place("::web", &v2()), "/sys/fs/cgroup/system.slice/web.scope");
    assert_eq!(place("", &v2()), "/sys/fs/cgroup/system.slice/plimsoll-web.scope");
    let own = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
    assert_eq!(place("", &user()), format!("{own}/user.slice/plimsoll-web.scope"));
    assert_eq!(place("app.slice:p:web", &user()), format!("{own}/app.slice/p-web.scope"));
    // systemd in a container that sees the host's groups.
    let nested = HostFacts { systemd: Some(Systemd { root: "/docker/x".to_owned(), ..Systemd::default() }), ..v2() };
    assert_eq!(place("", &nested), "/sys/fs/cgroup/docker/x/system.slice/plimsoll-web.scope");
}

#[test]
fn an_id_may_have_what_a_unit_may_not() {
    assert_eq!(escape_name("a+b_c.d-1"), "a\\x2bb_c.d-1");
    let long = super::plan(&spec_of("{}"), &v2(), &"a".repeat(250)).unwrap_err().to_string();
    assert!(long.ends_with(".scope\" is no name of a unit"), "{long}");
}

#[test]
fn a_path_that_names_no_scope_is_an_error() {
    let refused = |path: &str, words: &str| {
        let error = plan(&with_path(path), &v2()).unwrap_err().to_string();
        assert_eq!(error, format!("config.json: /linux/cgroupsPath: {words}"));
    };
    let format = "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got";
    refused("/pods/web", &format!("{format} \"/pods/web\" instead"));
    refused("a.slice:web", &format!("{format} \"a.slice:web\" instead"));
    refused("a:b:c:d", &format!("{format} \"a:b:c:d\" instead"));
    for slice in
        ["a", ".slice", "a/b.slice", "../a.slice", "a--b.slice", "-a.slice", "a-.slice", "a@b.slice", "a b.slice"]
    {
        refused(&format!("{slice}:p:web"), &format!("{slice:?} is no name of a slice, as a-b.slice is"));
    }
    refused("a.slice:p:../web", "\"p-../web.scope\" is no name of a unit");
    refused("a.slice:p:a b", "\"p-a b.scope\" is no name of a unit");
    refused("a.slice:p:web.slice", "\"web.slice\" is a slice, which holds no processes but in a scope");
}

#[test]
fn limits_are_properties_with_the_values_that_are_written() {
    check(
        &v2(),
        r#"{"memory": {"limit": 1000, "swap": 3000, "reservation": 500}, "pids": {"limit": 0},
            "cpu": {"shares": 1024, "cpus": "0-2,9", "mems": "0"}}"#,
        "MemorySwapMax=2000 MemoryMax=1000 MemoryLow=500 AllowedCPUs=0,1,2,9 AllowedMemoryNodes=0 TasksMax=1 CPUWeight=100",
    );
    let unlimited = r#"{"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}}"#;
    let infinite = "MemorySwapMax=infinity MemoryMax=infinity TasksMax=infinity CPUQuotaPerSecUSec=infinity CPUQuotaPeriodUSec=100000";
    check(&v2(), unlimited, infinite);
    check(
        &v1(),
        r#"{"memory": {"limit": 1000, "swap": 3000}, "pids": {"limit": 5}, "blockIO": {"weight": 100},
            "cpu": {"shares": 1024, "quota": 50000, "period": 200000, "cpus": "0"}}"#,
        "MemoryLimit=1000 CPUShares=1024 TasksMax=5 BlockIOWeight=100 CPUQuotaPerSecUSec=250000 CPUQuotaPeriodUSec=200000",
    );
}

/// systemd would refuse the whole scope, and not say why: the kernel says which file does not take it.
#[test]
fn processors_that_no_kernel_has_are_not_told() {
    assert_eq!(set("AllowedCPUs", "8192"), None);
    let Some(Property { value: Value::Set(bytes), .. }) = set("AllowedCPUs", "1,8190-9999") else { panic!("a set") };
    assert_eq!((bytes.len(), bytes[0], bytes[1023]), (1024, 2, 0xc0));
    check(&v2(), r#"{"cpu": {"cpus": "no"}}"#, "");
}

#[test]
fn a_quota_is_rounded_up_to_what_systemd_keeps() {
    assert_eq!(per_second(12_345, 100_000), 130_000);
    assert_eq!(per_second(50_000, 100_000), 500_000);
    assert_eq!(per_second(1, 1_000_000), 10_000);
    assert_eq!(per_second(u64::MAX - 1, 1), u64::MAX);
    check(&v2(), r#"{"cpu": {"period": 50000}}"#, "CPUQuotaPerSecUSec=infinity CPUQuotaPeriodUSec=50000");
}

#[test]
fn to_systemd_idle_is_a_weight() {
    check(&v2(), r#"{"cpu": {"idle": 1}}"#, "CPUWeight=0");
    check(&v2(), r#"{"cpu": {"idle": 0}}"#, "CPUWeight=100");
    check(&v2(), r#"{"cpu": {"idle": 0, "shares": 2}}"#, "CPUWeight=1");
}

#[test]
fn devices_are_told_by_their_numbers() {
    check(
        &v2(),
        r#"{"blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}, {"major": 8, "minor": 16, "rate": 0}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}]}}"#,
        "IOWeight=1 IODeviceWeight=/dev/block/8:0:10000 IOReadBandwidthMax=/dev/block/8:0:5,/dev/block/8:16:infinity \
         IOWriteIOPSMax=/dev/block/8:0:7",
    );
}

#[test]
fn files_that_are_named_are_properties_as_well() {
    check(
        &v2(),
        r#"{"unified": {"memory.high": "900", "memory.min": "1", "memory.zswap.max": "max", "memory.oom.group": "1",
            "cpu.weight": "7", "cpu.max": "max", "io.max": "8:0 rbps=1 wiops=max\n8:16 riops=2", "io.weight": "default 50",
            "cpuset.cpus": "1", "pids.max": "4", "cgroup.max.depth": "5", "memory.swap.high": "3"}}"#,
        "IOWeight=50 MemoryHigh=900 MemoryMin=1 OOMPolicy=kill MemoryZSwapMax=infinity TasksMax=4 \
         CPUQuotaPerSecUSec=infinity CPUQuotaPeriodUSec=100000 CPUWeight=7 IOReadBandwidthMax=/dev/block/8:0:1 \
         IOReadIOPSMax=/dev/block/8:16:2 IOWriteIOPSMax=/dev/block/8:0:infinity"
            .replace("IOWeight=50 MemoryHigh", "AllowedCPUs=1 IOWeight=50 MemoryHigh")
            .as_str(),
    );
}

#[test]
fn what_systemd_has_no_property_for_is_written_all_the_same() {
    let config =
        r#"{"linux": {"resources": {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "cpu": {"burst": 5}}}}"#;
    let plan = plan(config, &v2()).unwrap();
    assert!(properties(&plan).is_empty());
    let settled = &plan.scope.unwrap().settled;
    let words: Vec<_> =
        settled.iter().map(|line| line.to_string().replace("/sys/fs/cgroup/system.slice/", "")).collect();
    let expected = [
        "await-scope plimsoll-web.scope",
        "write-cgroup plimsoll-web.scope/cpu.max.burst 5",
        "write-cgroup plimsoll-web.scope/hugetlb.2MB.max 0",
        "write-cgroup plimsoll-web.scope/hugetlb.2MB.rsvd.max 0 if it is there",
        "attach-device-program 69 instructions to plimsoll-web.scope",
    ];
    assert_eq!(words, expected);
}

#[test]
fn device_rules_are_told_as_far_as_systemd_can_say_them() {
    let told = |rules: &str, unified: bool| {
        let rules: Vec<_> = serde_json::from_str(rules).unwrap();
        let properties = devices::rules(&rules).unwrap().systemd(unified);
        let usual = "block-*:m,char-*:m,/dev/char/1:3:rwm,/dev/char/1:5:rwm,/dev/char/1:7:rwm,/dev/char/1:8:rwm,\
                     /dev/char/1:9:rwm,/dev/char/5:0:rwm,/dev/char/5:2:rwm,/dev/char/10:200:rwm,char-136:rwm";
        let text = properties.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        usual.split(',').fold(text, |text, device| text.replacen(device, "", 1)).replace(",,", "").replace("=,", "=")
    };
    assert_eq!(told("[]", true).trim_end_matches(','), "DevicePolicy=strict DeviceAllow=");
    let rules = r#"[{"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"},
                    {"allow": true, "type": "c", "major": 7, "access": "rw"}]"#;
    let text = told(rules, true);
    assert!(text.contains("/dev/block/8:1:r") && text.contains("char-7:rw"), "{text}");
    // All but some: not a thing that systemd knows. Our own program does.
    assert_eq!(told(r#"[{"allow": true}]"#, true), "");
    let minor = r#"[{"allow": true, "type": "b", "minor": 3, "access": "r"}]"#;
    let all = |unified| {
        let rules: Vec<_> = serde_json::from_str(minor).unwrap();
        devices::rules(&rules).unwrap().systemd(unified).iter().map(ToString::to_string).collect::<String>()
    };
    assert!(all(true).contains("block-*:rm") && !all(false).contains("block-*:rm"));
}

#[test]
fn of_annotations_only_harmless_ones_become_properties() {
    let annotated = |key: &str, value: &str| {
        let annotations = serde_json::json!({ key: value, "other": "x" });
        let plan = plan(&format!(r#"{{"annotations": {annotations}}}"#), &v2());
        plan.map(|plan| properties(&plan).join(" ")).map_err(|error| error.to_string())
    };
    let property = |name: &str, value: &str| annotated(&format!("org.systemd.property.{name}"), value);
    for (name, value, expected) in [
        // podman and CRI-O
        ("KillSignal", "15", "KillSignal=15"),
        ("TimeoutStopUSec", "uint64 10000000", "TimeoutStopUSec=10000000"),
        ("TimeoutStopSec", "uint64 10", "TimeoutStopUSec=10000000"),
        ("CollectMode", "'inactive'", "CollectMode=inactive"),
        ("DefaultDependencies", "true", "DefaultDependencies=yes"),
        ("After", "['crio.service', \"a.service\"]", "After=crio.service,a.service"),
        ("Before", "@as []", "Before="),
    ] {
        assert_eq!(property(name, value).unwrap(), expected);
    }
    for name in ["SuccessAction", "ExecStopPost", "Wants", "MemoryMax", "Slice", "PIDs", "", "Afters", "after"] {
        let error = property(name, "'reboot-force'").unwrap_err();
        let words = format!("systemd's property {name:?} cannot be set by an annotation; these can: After, Before,");
        assert!(error.contains(&words), "{error}");
    }
    for (name, value) in [
        ("KillSignal", "'TERM'"),
        ("TimeoutStopUSec", "-1"),
        ("TimeoutStopSec", "18446744073709551615"),
        ("CollectMode", "inactive"),
        ("CollectMode", "'a\\'b'"),
        ("After", "'a.service'"),
        ("DefaultDependencies", "yes"),
    ] {
        let error = property(name, value).unwrap_err();
        assert!(error.contains("is no value of systemd's property"), "{error}");
    }
}

#[test]
fn a_user_has_what_is_delegated_and_no_device_rules() {
    let limits = r#"{"linux": {"resources": {"memory": {"limit": 1000}, "devices": [{"allow": false}]}}}"#;
    let scope = plan(limits, &user()).unwrap().scope.unwrap();
    assert!(!scope.start.to_string().contains("Device"), "{}", scope.start);
    assert!(!scope.settled.iter().any(|line| line.step() == "attach-device-program"));
    let error = plan(r#"{"linux": {"resources": {"cpu": {"cpus": "0"}}}}"#, &user()).unwrap_err().to_string();
    let words =
        "the cpuset controller is not available on this host: to the user's systemd are delegated cpu, memory, pids";
    assert_eq!(error, format!("config.json: /linux/resources/cpu/cpus: {words} (Delegate= of user@.service)"));
}

#[test]
fn without_a_systemd_there_is_no_scope() {
    let without = |facts| HostFacts { systemd: None, ..facts };
    let error = plan("{}", &without(v2())).unwrap_err().to_string();
    assert_eq!(error, "the systemd cgroup driver: there is no systemd here");
    // As with directories: a user who asks for nothing needs nothing.
    for nothing in
        ["{}", r#"{"resources": {}}"#, r#"{"resources": {"devices": [{"allow": false}], "memory": {"limit": 0}}}"#]
    {
        let plain = plan(&format!(r#"{{"linux": {nothing}}}"#), &without(user())).unwrap();
        assert!(plain.scope.is_none() && plain.groups.is_empty());
    }
    for asked in [r#"{"resources": {"pids": {"limit": 5}}}"#, r#"{"cgroupsPath": "user.slice:p:web"}"#] {
        let error = plan(&format!(r#"{{"linux": {asked}}}"#), &without(user())).unwrap_err().to_string();
        let words = "there is no systemd of the user's own (where XDG_RUNTIME_DIR or DBUS_SESSION_BUS_ADDRESS say)";
        assert_eq!(error, format!("the systemd cgroup driver: {words}"));
    }
}

#[test]
fn on_cgroup_v1_there_is_a_group_in_every_hierarchy() {
    let plan = plan(&with_path("s.slice:p:web"), &v1()).unwrap();
    let directories: Vec<_> = plan.groups.iter().map(|group| group.directory.display().to_string()).collect();
    let expected = ["cpu,cpuacct", "cpuset", "memory", "devices", "blkio", "pids", "systemd", "unified"]
        .map(|name| format!("/c/{name}/s.slice/p-web.scope"));
    assert_eq!(directories, expected);
    // Nobody delegates controllers of v1: a user's systemd only keeps track of processes there.
    let user = HostFacts { hierarchies: v1().hierarchies, ..user() };
    let plan = super::plan(&spec_of(&with_path("s.slice:p:web")), &user, "web").unwrap();
    let names: Vec<_> = plan.groups.iter().map(|group| group.controllers.join(",")).collect();
    assert_eq!(names, ["name=systemd", ""]);
}

/// The whole plan, the host's and init's lines about the group and what surrounds them.
fn order(config: &str) -> String {
    let options = PlanOptions { id: "web".into(), cgroup_manager: CgroupManager::Systemd, ..PlanOptions::default() };
    let plan = create("/bundle".as_ref(), &spec_of(config), &v2(), &options).unwrap();
    let known =
        ["clone", "start-scope", "await-scope", "unshare", "fork", "mount", "mount-cgroup2", "run-hook", "host"];
    let text = text_of(&plan, "");
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let kept = words.filter(|words| known.contains(&words[1]) || words[1] == "pivot-root");
    let short = |words: Vec<&str>| match words[1] {
        "mount" | "unshare" | "fork" => format!("{} {}", words[1], words[2]),
        word => word.to_owned(),
    };
    kept.map(short).collect::<Vec<_>>().join(", ")
}

#[test]
fn mounts_are_made_while_systemd_is_at_it() {
    let mounts = r#""mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/a", "type": "tmpfs"},
        {"destination": "/sys/fs/cgroup", "type": "cgroup"}, {"destination": "/b", "type": "tmpfs"}]"#;
    assert_eq!(
        order(&format!(r#"{{{mounts}, "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "cgroup"}}]}}}}"#)),
        "clone, start-scope, mount proc, mount tmpfs, await-scope, unshare cgroup, mount-cgroup2, mount tmpfs, pivot-root"
    );
    // The pages of what is copied are charged to the container.
    let copied = r#""mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/a", "type": "tmpfs", "options": ["tmpcopyup"]}]"#;
    assert_eq!(order(&format!("{{{copied}}}")), "clone, start-scope, mount proc, await-scope, mount tmpfs, pivot-root");
    let hooks = r#""hooks": {"createRuntime": [{"path": "/h"}]}"#;
    let plain = r#""mounts": [{"destination": "/proc", "type": "proc"}]"#;
    assert_eq!(
        order(&format!("{{{plain}, {hooks}}}")),
        "clone, start-scope, mount proc, await-scope, run-hook, pivot-root"
    );
}

/// The first process ends there, and with it a scope that has nobody else.
#[test]
fn a_scope_is_asked_for_once_init_has_forked_for_the_last_time() {
    let config = r#"{"linux": {"uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 5, "size": 1}],
        "namespaces": [{"type": "user"}, {"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}]}}"#;
    assert_eq!(
        order(config),
        "clone, unshare user, unshare mount, fork pid, start-scope, await-scope, unshare cgroup, pivot-root"
    );
}
