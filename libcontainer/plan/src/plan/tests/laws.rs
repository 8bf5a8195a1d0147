//! The laws, tried on random configurations.
use crate::Bundle;
use crate::CgroupManager;
use crate::facts::{Hierarchy, HostFacts, Systemd};
use crate::plan::{PlanOptions, create, laws, tests};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// Some members of an object, each with one of its values.
fn members(pool: Vec<(&'static str, Vec<Value>)>) -> impl Strategy<Value = Map<String, Value>> {
    let count = pool.len();
    let chosen = subsequence(pool, 0..=count);
    (chosen, any::<prop::sample::Index>()).prop_map(|(chosen, index)| {
        chosen.into_iter().map(|(key, values)| (key.to_owned(), index.get(&values).clone())).collect()
    })
}

/// Some of the items.
fn some(items: Vec<Value>) -> impl Strategy<Value = Vec<Value>> {
    let count = items.len();
    subsequence(items, 0..=count)
}

fn namespaces() -> impl Strategy<Value = Vec<Value>> {
    let kinds = vec!["mount", "pid", "network", "ipc", "uts", "user", "cgroup", "time"];
    let count = kinds.len();
    (subsequence(kinds, 0..=count).prop_shuffle(), vec(0..4_u8, count)).prop_map(|(kinds, joined)| {
        let entry = |(kind, joined): (&str, u8)| match joined {
            0 => json!({"type": kind, "path": format!("/proc/7/ns/{kind}")}),
            _ => json!({"type": kind}),
        };
        kinds.into_iter().zip(joined).map(entry).collect()
    })
}

fn process() -> impl Strategy<Value = Value> {
    let caps = || json!(["CAP_KILL", "CAP_SYS_ADMIN"]);
    let sets =
        json!({"bounding": caps(), "effective": caps(), "permitted": caps(), "inheritable": caps(), "ambient": caps()});
    members(vec![
        ("terminal", vec![json!(true), json!(false)]),
        ("consoleSize", vec![json!({"height": 24, "width": 80})]),
        ("env", vec![json!(["PATH=/bin", "A=1", "A=2"]), json!(["HOME=/x"]), json!([])]),
        ("capabilities", vec![json!({}), sets, json!({"bounding": ["CAP_KILL"]})]),
        ("rlimits", vec![json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]), json!([])]),
        ("noNewPrivileges", vec![json!(true), json!(false)]),
        ("oomScoreAdj", vec![json!(-5), json!(0)]),
        ("apparmorProfile", vec![json!("p"), json!("")]),
        ("selinuxLabel", vec![json!("a:b:c")]),
        ("ioPriority", vec![json!({"class": "IOPRIO_CLASS_RT", "priority": 1})]),
        (
            "scheduler",
            vec![json!({"policy": "SCHED_FIFO", "priority": 1}), json!({"policy": "SCHED_OTHER", "nice": 5})],
        ),
        ("execCPUAffinity", vec![json!({"initial": "0", "final": "1-2"}), json!({"final": "1"})]),
    ])
    .prop_flat_map(|members| {
        let users = vec![
            json!({"uid": 0, "gid": 0}),
            json!({"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7]}),
            json!({}),
        ];
        select(users).prop_map(move |user| {
            let mut process = members.clone();
            process.insert("user".into(), user);
            process.insert("args".into(), json!(["sh", "-c", "true"]));
            process.insert("cwd".into(), json!("/"));
            Value::Object(process)
        })
    })
}

fn linux() -> impl Strategy<Value = Value> {
    let maps = || {
        vec![
            json!([{"containerID": 0, "hostID": 1000, "size": 100}]),
            json!([{"containerID": 5, "hostID": 5, "size": 5}]),
        ]
    };
    let seccomp = |action: &str| json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": [{"names": ["mkdir"], "action": action}]});
    let members = members(vec![
        ("uidMappings", maps()),
        ("gidMappings", maps()),
        (
            "sysctl",
            vec![
                json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "2"}),
                json!({"net/ipv4/conf/a.b/forwarding": "1"}),
            ],
        ),
        ("rootfsPropagation", vec![json!("shared"), json!("rprivate"), json!("unbindable")]),
        ("maskedPaths", vec![json!(["/proc/kcore"])]),
        ("readonlyPaths", vec![json!(["/proc/sys", "/proc/bus"])]),
        ("mountLabel", vec![json!("a:b:c")]),
        ("personality", vec![json!({"domain": "LINUX32"})]),
        ("memoryPolicy", vec![json!({"mode": "MPOL_BIND", "nodes": "0"})]),
        ("timeOffsets", vec![json!({"boottime": {"secs": 5}, "monotonic": {"nanosecs": 5}})]),
        ("netDevices", vec![json!({"eth0": {}, "eth1": {"name": "x"}})]),
        (
            "seccomp",
            vec![
                seccomp("SCMP_ACT_ERRNO"),
                seccomp("SCMP_ACT_NOTIFY"),
                json!({"defaultAction": "SCMP_ACT_KILL"}),
                json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write", "execve"], "action": "SCMP_ACT_ALLOW"}]}),
            ],
        ),
        ("cgroupsPath", vec![json!("/a/b"), json!("a"), json!("a-b.slice:p:n")]),
        ("resources", vec![json!({"memory": {"limit": 1_000_000}, "pids": {"limit": 5}}), json!({})]),
        (
            "devices",
            vec![json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}, {"path": "/p", "type": "p"}])],
        ),
    ]);
    (members, namespaces()).prop_map(|(mut members, namespaces)| {
        // Otherwise too few of them would be valid.
        if !namespaces.iter().any(|entry| entry["type"] == "user") {
            members.remove("uidMappings");
            members.remove("gidMappings");
        }
        if !namespaces.contains(&json!({"type": "time"})) {
            members.remove("timeOffsets");
        }
        members.insert("namespaces".into(), namespaces.into());
        Value::Object(members)
    })
}

fn config() -> impl Strategy<Value = Value> {
    let mounts = some(vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=64k"]}),
        json!({"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}),
        json!({"destination": "/data", "source": "/srv", "options": ["rbind", "rro", "rslave"]}),
        json!({"destination": "/mapped", "source": "rel", "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 5, "size": 1}]}),
        json!({"destination": "/link", "source": "/l", "options": ["bind", "copy-symlink"]}),
        json!({"destination": "/tmp", "type": "tmpfs", "options": ["tmpcopyup"]}),
        json!({"destination": "/tmp", "options": ["remount", "nosuid"]}),
        json!({"destination": "/tmp/../dev", "options": ["remount", "noexec", "rslave", "size=1m"]}),
        json!({"destination": "/data", "options": ["remount", "rro"]}),
        json!({"destination": "/sys/fs/cgroup", "options": ["remount", "rw"]}),
        json!({"destination": "/link", "options": ["remount", "ro"]}),
        json!({"destination": "/data", "type": "tmpfs", "options": ["ro"]}),
    ]);
    let hook = || {
        vec![
            json!([{"path": "/h"}]),
            json!([{"path": "/h", "args": ["h"], "env": ["A=1"], "timeout": 3}, {"path": "/i"}]),
        ]
    };
    let hooks = members(vec![
        ("prestart", hook()),
        ("createRuntime", hook()),
        ("createContainer", hook()),
        ("startContainer", hook()),
        ("poststart", hook()),
        ("poststop", hook()),
    ]);
    let names = members(vec![("hostname", vec![json!("web")]), ("domainname", vec![json!("d")])]);
    let root = select(vec![json!({"path": "rootfs", "readonly": true}), json!({"path": "/r"})]);
    (mounts, hooks, names, root, prop::option::weighted(0.9, process()), linux()).prop_map(
        |(mounts, hooks, mut config, root, process, linux)| {
            if !linux["namespaces"].as_array().is_some_and(|list| list.iter().any(|entry| entry["type"] == "uts")) {
                config.clear();
            }
            config.insert("ociVersion".into(), json!("1.3.0"));
            config.insert("mounts".into(), mounts.into());
            config.insert("hooks".into(), hooks.into());
            config.insert("root".into(), root);
            config.insert("linux".into(), linux);
            config.extend(process.map(|process| ("process".to_owned(), process)));
            Value::Object(config)
        },
    )
}

fn facts() -> impl Strategy<Value = HostFacts> {
    let hierarchy = Hierarchy::example;
    let v2 = vec![hierarchy(&["cpu", "memory", "pids"], "/sys/fs/cgroup", true)];
    let v1 = vec![
        hierarchy(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct", false),
        hierarchy(&["devices"], "/sys/fs/cgroup/devices", false),
        hierarchy(&["memory"], "/sys/fs/cgroup/memory", false),
        hierarchy(&["pids"], "/sys/fs/cgroup/pids", false),
        hierarchy(&["name=systemd"], "/sys/fs/cgroup/systemd", false),
        hierarchy(&[], "/sys/fs/cgroup/unified", true),
    ];
    let root = |hierarchies| HostFacts { privileged: true, hierarchies, ..HostFacts::default() };
    let user = HostFacts { euid: 1000, egid: 1000, hierarchies: v2.clone(), ..HostFacts::default() };
    let nested = HostFacts { in_user_namespace: true, ..root(v2.clone()) };
    let with_systemd = |facts| HostFacts { systemd: Some(Systemd::default()), ..facts };
    let user_with_systemd = HostFacts { systemd: Some(Systemd { user: true, ..Systemd::default() }), ..user.clone() };
    let systemd = vec![with_systemd(root(v2.clone())), with_systemd(root(v1.clone())), user_with_systemd];
    select([vec![root(v2), root(v1), user, nested], systemd].concat())
}

/// Whoever has a systemd uses it here.
fn options(facts: &HostFacts) -> PlanOptions {
    let cgroup_manager = if facts.systemd.is_some() { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
    PlanOptions { cgroup_manager, ..tests::options() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn all_laws_hold_for_every_plan(config in config(), facts in facts()) {
        // That some are refused is right.
        let _ = laws::hold(config.to_string().as_bytes(), &facts, &options(&facts));
    }
}

/// So that the laws are about something.
#[test]
fn random_configurations_are_mostly_valid() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut valid = 0;
    let mut errors = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..400 {
        let config = config().new_tree(&mut runner).unwrap().current();
        let facts = facts().new_tree(&mut runner).unwrap().current();
        let bundle = Bundle::from_parts("/bundle".into(), serde_json::to_vec(&config).unwrap()).unwrap();
        match create("/bundle".as_ref(), bundle.spec(), &facts, &options(&facts)) {
            Ok(_) => valid += 1,
            Err(error) => *errors.entry(error.to_string()).or_default() += 1,
        }
    }
    assert!(valid >= 80, "{valid} of 400: {errors:#?}");
}
