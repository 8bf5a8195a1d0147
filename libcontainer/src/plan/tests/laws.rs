//! What holds for every plan, tried on random configurations.
use crate::Bundle;
use crate::container::CgroupManager;
use crate::facts::{Hierarchy, HostFacts, Systemd};
use crate::plan::line::{Action, HostStep, InitStep};
use crate::plan::namespaces::CGROUP;
use crate::plan::{ExecPlanOptions, Line, Plan, PlanOptions, create, exec, tests};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use step::{Source, Step};

// ---- random configurations ------------------------------------------------------------------------------------

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
        ("seccomp", vec![seccomp("SCMP_ACT_ERRNO"), seccomp("SCMP_ACT_NOTIFY")]),
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
    let hierarchy = |controllers: &[&str], mount: &str, unified| Hierarchy {
        controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
        mount: mount.into(),
        own: "/own".into(),
        unified,
        writable: true,
    };
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

// ---- the laws -------------------------------------------------------------------------------------------------

fn init_steps(plan: &Plan) -> impl Iterator<Item = (usize, &InitStep)> {
    plan.lines.iter().enumerate().filter_map(|(number, line)| match &line.action {
        Action::Init(step) => Some((number, step)),
        Action::Host(_) => None,
    })
}

fn place(plan: &Plan, is: impl Fn(&InitStep) -> bool) -> Option<usize> {
    init_steps(plan).find(|(_, step)| is(step)).map(|(number, _)| number)
}

fn host_place(plan: &Plan, is: impl Fn(&HostStep) -> bool) -> Option<usize> {
    plan.lines.iter().position(|line| matches!(&line.action, Action::Host(step) if is(step)))
}

fn nothing_needs_a_capability_that_is_gone(plan: &Plan) {
    let Some(dropped) = place(plan, |step| matches!(step, Step::SetCapabilities { .. })) else { return };
    for (number, step) in init_steps(plan).filter(|(number, _)| *number > dropped) {
        let harmless = matches!(
            step,
            Step::DefaultHome { .. }
                | Step::ResolveProgram { .. }
                | Step::SetNoNewPrivs
                | Step::LoadSeccomp { .. }
                | Step::SetCapabilities { .. }
                | Step::AwaitStart { .. }
                | Step::RunHook { .. }
                | Step::CloseDescriptors { .. }
                | Step::Exec { .. }
        );
        assert!(harmless, "{} after set-capabilities", plan.lines[number]);
    }
}

fn a_filter_is_loaded_with_no_new_privs_or_with_capabilities(plan: &Plan) {
    const SYS_ADMIN: u64 = 1 << 21;
    for (load, _) in init_steps(plan).filter(|(_, step)| matches!(step, Step::LoadSeccomp { .. })) {
        let set = place(plan, |step| matches!(step, Step::SetNoNewPrivs)).is_some_and(|number| number < load);
        let of = |line: Option<&Line>| match line.map(|line| &line.action) {
            Some(Action::Init(Step::SetCapabilities { effective, permitted, .. })) => Some(*effective & *permitted),
            _ => None,
        };
        assert!(set || of(plan.lines.get(load - 1)).is_some_and(|sets| sets & SYS_ADMIN != 0), "{plan}");
        // What was kept for the filter is gone before the program runs.
        let mut sets = plan.lines.iter().rev().filter_map(|line| of(Some(line)));
        let wanted =
            init_steps(plan).any(|(_, step)| matches!(step, Step::DropBoundingSet { keep } if keep & SYS_ADMIN != 0));
        assert!(wanted || sets.next().is_some_and(|sets| sets & SYS_ADMIN == 0), "{plan}");
    }
}

fn host_paths_are_opened_before_the_pivot_and_the_containers_after_the_root(plan: &Plan) {
    let attached = place(plan, |step| matches!(step, Step::AttachRootfs { .. }));
    let root = attached.or_else(|| place(plan, |step| matches!(step, Step::OpenRootfs { .. }))).unwrap();
    let pivot = place(plan, |step| matches!(step, Step::PivotRoot | Step::MoveRoot | Step::ChangeRoot)).unwrap();
    for (number, step) in init_steps(plan) {
        let line = &plan.lines[number];
        let host = matches!(
            step,
            Step::Join { .. }
                | Step::OpenRootfs { .. }
                | Step::AttachRootfs { .. }
                | Step::BindMount { source: Source::Path(_), .. }
                | Step::BindDevice { .. }
                | Step::MountCgroup2 { .. }
                | Step::WriteSysctl { .. }
                | Step::SetTimeOffsets { .. }
                | Step::SetOomScoreAdj { .. }
        ) || line.origin().starts_with("/hooks/createContainer");
        assert!(!host || number < pivot, "{line} after the pivot");
        let container = matches!(
            step,
            Step::Mount { .. }
                | Step::BindMount { .. }
                | Step::MountCgroup2 { .. }
                | Step::Remount { .. }
                | Step::MakeDevice { .. }
                | Step::BindDevice { .. }
                | Step::Symlink { .. }
                | Step::MakeDirectory { .. }
                | Step::MaskPath { .. }
                | Step::ReadonlyPath { .. }
        );
        assert!(!container || number > root, "{line} before the root filesystem is open");
    }
}

fn slots_are_filled_before_they_are_used_and_none_in_vain(plan: &Plan) {
    let mut filled = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (line, slot) in plan.with_slots() {
        match &line.action {
            Action::Host(HostStep::Clone { tasks, .. }) => filled.extend(0..tasks.len()),
            Action::Host(_) => assert!(slot.is_none_or(|slot| filled.insert(slot)), "{plan}"),
            Action::Init(step) => {
                let slots: Vec<usize> = match step {
                    Step::JoinCgroup { first, count } => (usize::from(*first)..).take(usize::from(*count)).collect(),
                    Step::BindMount { source: Source::Slot(slot), .. }
                    | Step::JoinProcess { slot, .. }
                    | Step::RunHook { state: slot, .. }
                    | Step::AwaitStart { slot } => vec![usize::from(*slot)],
                    _ => Vec::new(),
                };
                assert!(slots.iter().all(|slot| filled.contains(slot)), "{line} before its slot is filled:\n{plan}");
                used.extend(slots);
            }
        }
    }
    assert_eq!(filled, used, "{plan}");
}

/// What is done to the group, what shows it and who may look for it comes after it is there, and after init is in it.
fn nothing_depends_on_a_scope_before_it_is_there(plan: &Plan) {
    let Some(start) = host_place(plan, |step| matches!(step, HostStep::StartScope { .. })) else { return };
    let settled = host_place(plan, |step| matches!(step, HostStep::AwaitScope { .. })).unwrap();
    assert!(start < settled && plan.unit.is_some() && !plan.cgroups.is_empty(), "{plan}");
    for (number, line) in plan.lines.iter().enumerate() {
        let depends = match &line.action {
            Action::Init(Step::MountCgroup2 { .. } | Step::RunHook { .. } | Step::AwaitStart { .. }) => true,
            Action::Init(Step::Unshare { namespaces }) => namespaces & CGROUP != 0,
            Action::Host(step) => matches!(
                step,
                HostStep::WriteCgroup { .. }
                    | HostStep::AttachDeviceProgram { .. }
                    | HostStep::ChownCgroup { .. }
                    | HostStep::RunHook { .. }
                    | HostStep::SaveState
            ),
            Action::Init(_) => false,
        };
        assert!(!depends || number > settled, "{line} before the scope is there:\n{plan}");
        let forks = matches!(line.action, Action::Init(Step::Fork { .. }));
        assert!(!forks || number < start, "{line} leaves the scope empty:\n{plan}");
    }
}

fn origins_are_places_in_the_configuration(plan: &Plan, config: &Value) {
    for line in &plan.lines {
        let origin = line.origin();
        let known = matches!(origin, "(default)" | "(lifecycle)") || config.pointer(origin).is_some();
        assert!(known, "{line} because of {origin}");
    }
}

/// From the first line about the identity of the process to the last before `start`.
fn identity(plan: &Plan) -> Vec<Line> {
    let first = plan.lines.iter().position(|line| {
        let origin = line.origin();
        let console = matches!(line.step(), "open-console" | "forward-console" | "set-cpu-affinity");
        let earlier = console || matches!(line.step(), "set-oom-score-adj" | "make-directory");
        let linux = matches!(origin, "/linux/personality" | "/linux/memoryPolicy");
        (origin.starts_with("/process") && !earlier) || linux
    });
    let last =
        host_place(plan, |step| matches!(step, HostStep::SendState { status: "created" } | HostStep::ListenForStart));
    let last = last.or_else(|| host_place(plan, |step| matches!(step, HostStep::SaveState)));
    let mut lines = plan.lines[first.unwrap()..last.unwrap()].to_vec();
    for line in &mut lines {
        // What the agent is told is all that differs.
        if let Action::Host(HostStep::ForwardSeccompListener { status, .. }) = &mut line.action {
            *status = "";
        }
    }
    lines
}

fn the_process_ends_as_the_program(plan: &Plan, has_process: bool) {
    let last = plan.lines.last().unwrap();
    match has_process {
        true => assert!(matches!(last.action, Action::Init(Step::Exec { .. }))),
        false => assert!(matches!(last.action, Action::Init(Step::AwaitStart { .. } | Step::RunHook { .. }))),
    }
    let undumpable = place(plan, |step| matches!(step, Step::SetUndumpable)).unwrap();
    let visible =
        place(plan, |step| matches!(step, Step::Fork { .. } | Step::JoinProcess { .. } | Step::OpenRootfs { .. }));
    assert!(visible.is_none_or(|visible| undumpable < visible), "{plan}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn all_laws_hold_for_every_plan(config in config(), facts in facts()) {
        let bundle = || Bundle::from_parts("/bundle".into(), serde_json::to_vec(&config).unwrap()).unwrap();
        let spec = bundle().spec().clone();
        let plan = match create("/bundle".as_ref(), &spec, &facts, &options(&facts)) {
            Ok(plan) => plan,
            Err(error) => {
                prop_assert!(error.origin().is_some(), "{error}");
                return Ok(());
            }
        };
        nothing_needs_a_capability_that_is_gone(&plan);
        a_filter_is_loaded_with_no_new_privs_or_with_capabilities(&plan);
        host_paths_are_opened_before_the_pivot_and_the_containers_after_the_root(&plan);
        slots_are_filled_before_they_are_used_and_none_in_vain(&plan);
        nothing_depends_on_a_scope_before_it_is_there(&plan);
        origins_are_places_in_the_configuration(&plan, &config);
        the_process_ends_as_the_program(&plan, spec.process().is_some());

        // Hash maps are in another order every time.
        let again = create("/bundle".as_ref(), bundle().spec(), &facts, &options(&facts)).unwrap();
        prop_assert_eq!(&again, &plan);

        if let Some(process) = spec.process() {
            let options = ExecPlanOptions { tasks: vec!["/t".into()], ..ExecPlanOptions::default() };
            let exec = exec(&spec, process, &facts, &options).unwrap();
            nothing_needs_a_capability_that_is_gone(&exec);
            a_filter_is_loaded_with_no_new_privs_or_with_capabilities(&exec);
            slots_are_filled_before_they_are_used_and_none_in_vain(&exec);
            the_process_ends_as_the_program(&exec, true);
            prop_assert_eq!(identity(&exec), identity(&plan));
        }
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
