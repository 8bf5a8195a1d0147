//! What holds for every plan, whatever the configuration. Tried on random ones by `tests/laws.rs` and by the fuzzer.
use super::line::{Action, HostStep, InitStep};
use super::namespaces::{CGROUP, Namespaces};
use super::{ExecPlanOptions, Line, Plan, PlanOptions, create, exec};
use crate::Bundle;
use crate::facts::HostFacts;
use serde_json::Value;
use std::collections::BTreeSet;
use step::{Link, Mounted, Source, Step};

/// All of them, on the plans of `create` and `exec` for this configuration; or the reason why there is no plan.
pub fn hold(config: &[u8], facts: &HostFacts, options: &PlanOptions) -> crate::Result<()> {
    let bundle = || Bundle::from_parts("/bundle".into(), config.to_vec());
    let read = bundle()?;
    let (spec, config) = (read.spec().clone(), read.config_bytes());
    let plan = create("/bundle".as_ref(), &spec, facts, options).inspect_err(|error| {
        assert!(error.origin().is_some(), "{error}");
    })?;
    nothing_needs_a_capability_that_is_gone(&plan);
    a_filter_is_loaded_with_no_new_privs_or_with_capabilities(&plan);
    host_paths_are_opened_before_the_pivot_and_the_containers_after_the_root(&plan);
    slots_are_filled_before_they_are_used_and_none_in_vain(&plan);
    no_mount_is_looked_up_again(&plan);
    nothing_depends_on_a_scope_before_it_is_there(&plan);
    // In what nobody looks at there may be no Unicode.
    if let Ok(config) = serde_json::from_slice(config) {
        origins_are_places_in_the_configuration(&plan, &config);
    }
    the_process_ends_as_the_program(&plan, spec.process().is_some());
    no_stream_leads_to_a_device_of_the_hosts(&plan);
    under_the_filter_there_is_only_what_profiles_allow(&plan);
    let early = is_early(&spec);
    what_the_process_may_do_is_final_before_it_is_anybodys_business(&plan, early);
    if Namespaces::of(&spec).forks_late(&spec, facts) && spec.process().is_some() {
        who_enters_a_pid_namespace_has_what_the_program_gets(&plan);
    }
    each_line_is_printed_as_one(&plan);

    // Hash maps are in another order every time.
    assert_eq!(create("/bundle".as_ref(), bundle()?.spec(), facts, options)?, plan);

    if let Some(process) = spec.process() {
        let options = ExecPlanOptions { tasks: vec!["/t".into()], ..ExecPlanOptions::default() };
        let caller = HostFacts { hierarchies: Vec::new(), systemd: None, kcore: false, resctrl: None, ..facts.clone() };
        let with_less = exec(&spec, process, &caller, &options).unwrap();
        let exec = exec(&spec, process, facts, &options).unwrap();
        // The container's groups are in its record: `exec` does not look for the host's.
        assert_eq!(with_less, exec);
        nothing_needs_a_capability_that_is_gone(&exec);
        a_filter_is_loaded_with_no_new_privs_or_with_capabilities(&exec);
        slots_are_filled_before_they_are_used_and_none_in_vain(&exec);
        the_process_ends_as_the_program(&exec, true);
        no_stream_leads_to_a_device_of_the_hosts(&exec);
        under_the_filter_there_is_only_what_profiles_allow(&exec);
        what_the_process_may_do_is_final_before_it_is_anybodys_business(&exec, early);
        who_enters_a_pid_namespace_has_what_the_program_gets(&exec);
        assert_eq!(identity(&exec), identity(&plan));
    }
    Ok(())
}

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
                | Step::KeepCapabilities { .. }
                | Step::SetRlimit { .. }
                | Step::PrepareToWait
                | Step::Fork { namespaces: 0 }
                | Step::JoinCgroup { .. }
                | Step::SetCpuAffinity { .. }
                | Step::NewSession
                | Step::SetControllingTerminal
                | Step::AwaitStart { .. }
                | Step::RunHook { .. }
                | Step::CloseDescriptors { .. }
                | Step::PrepareExec { .. }
                | Step::AnnounceExec
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
            Some(Action::Init(
                Step::SetCapabilities { effective, permitted, .. } | Step::KeepCapabilities { effective, permitted },
            )) => Some(*effective & *permitted),
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
                | Step::BindDevice { source: Source::Path(_), .. }
                | Step::OpenNull
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

/// The program's standard streams are a terminal of the container's own, or have been opened anew with its own devices: after it has
/// them, while there still is the privilege to make one.
fn no_stream_leads_to_a_device_of_the_hosts(plan: &Plan) {
    let Some(program) = place(plan, |step| matches!(step, Step::Exec { .. })) else { return };
    let own = place(plan, |step| matches!(step, Step::OpenConsole { .. } | Step::ReopenStreams)).unwrap();
    let ready = init_steps(plan).filter(|(_, step)| {
        matches!(step, Step::MakeDevice { .. } | Step::BindDevice { .. } | Step::JoinProcess { .. })
    });
    assert!(ready.map(|(number, _)| number).max().is_none_or(|ready| ready < own) && own < program, "{plan}");
    let privileged = place(plan, |step| matches!(step, Step::SetCapabilities { .. } | Step::LoadSeccomp { .. }));
    assert!(privileged.is_none_or(|last| own < last), "{plan}");
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
                    | Step::BindDevice { source: Source::Slot(slot), .. }
                    | Step::Remount { mount: Mounted::Held(slot), .. }
                    | Step::JoinProcess { slot, .. }
                    | Step::EnterRoot { slot }
                    | Step::RunHook { state: slot, .. } => vec![usize::from(*slot)],
                    Step::AwaitStart { start, said, door } => {
                        [Some(*start), Some(*said), *door].into_iter().flatten().map(usize::from).collect()
                    }
                    _ => Vec::new(),
                };
                assert!(slots.iter().all(|slot| filled.contains(slot)), "{line} before its slot is filled:\n{plan}");
                used.extend(slots);
                assert!(slot.is_none_or(|slot| filled.insert(slot)), "{plan}");
            }
        }
    }
    assert_eq!(filled, used, "{plan}");
}

/// Who exchanges directories meanwhile would have another mount changed: what config.json mounts and changes is held in between.
fn no_mount_is_looked_up_again(plan: &Plan) {
    let mut mounted = BTreeSet::new();
    for (number, step) in init_steps(plan) {
        match step {
            // Where a link may have been copied, nothing may be mounted.
            Step::BindMount { link: Link::Copy, target, .. } => drop(mounted.remove(&target.to_string())),
            Step::Mount { target, .. } | Step::BindMount { target, .. } | Step::MountCgroup2 { target, .. } => {
                mounted.insert(target.to_string());
            }
            Step::Remount { mount: Mounted::At(path), .. } => {
                assert!(!mounted.contains(&path.to_string()), "{} is looked up again:\n{plan}", plan.lines[number]);
            }
            _ => {}
        }
    }
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
        assert!(!forks || number < start || number > settled, "{line} leaves the scope empty:\n{plan}");
    }
}

fn origins_are_places_in_the_configuration(plan: &Plan, config: &Value) {
    for line in &plan.lines {
        let origin = line.origin();
        // A user is root if it is not said who it is.
        let known = matches!(origin, "(default)" | "(lifecycle)" | "/process/user") || config.pointer(origin).is_some();
        assert!(known, "{line} because of {origin}");
    }
}

/// What init does while the filter is loaded: it is little, and what every sensible profile allows. Nothing of it waits for a
/// descriptor, which would take recvmsg(2).
fn under_the_filter_there_is_only_what_profiles_allow(plan: &Plan) {
    let Some(load) = place(plan, |step| matches!(step, Step::LoadSeccomp { .. })) else { return };
    // If a fork comes after it, the profile was asked whether it allows the rest (`Filter::before_fork`).
    if place(plan, |step| matches!(step, Step::Fork { namespaces: 0 })).is_some_and(|fork| load < fork) {
        return;
    }
    for line in &plan.lines[load + 1..] {
        let allowed = match &line.action {
            Action::Init(step) => matches!(
                step,
                Step::KeepCapabilities { .. }
                    | Step::AwaitStart { .. }
                    | Step::RunHook { .. }
                    | Step::SetRlimit { .. }
                    | Step::AnnounceExec
                    | Step::Exec { .. }
            ),
            Action::Host(step) => matches!(
                step,
                HostStep::ForwardSeccompListener { .. } | HostStep::ChownStreams { .. } | HostStep::SaveState
            ),
        };
        assert!(allowed && !line.fills_slot(), "{line} under the filter:\n{plan}");
    }
}

/// A created container is as hard as a running one, unless its profile denies init even read(2) and write(2). `early`: it does not.
fn what_the_process_may_do_is_final_before_it_is_anybodys_business(plan: &Plan, early: bool) {
    let save = host_place(plan, |step| matches!(step, HostStep::SaveState)).unwrap();
    for line in &plan.lines[save..] {
        let changes = matches!(
            line.action,
            Action::Init(
                Step::SetCapabilities { .. }
                    | Step::KeepCapabilities { .. }
                    | Step::LoadSeccomp { .. }
                    | Step::SetIds { .. }
                    | Step::SetGroups { .. }
                    | Step::SetNoNewPrivs
                    | Step::SetExecLabel { .. }
                    | Step::DropBoundingSet { .. }
                    | Step::CloseDescriptors { .. }
            )
        );
        let late = !early && matches!(line.step(), "set-capabilities" | "keep-capabilities" | "load-seccomp");
        assert!(!changes || late, "{line} after save-state:\n{plan}");
    }
}

/// Whether the profile lets init read and write.
fn is_early(spec: &oci_spec::runtime::Spec) -> bool {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    profile.is_none_or(|profile| {
        let program = crate::seccomp::compile(profile).unwrap();
        let allows = |call: &str| program.answer(call) == crate::seccomp::Answer::Allowed;
        program.listener || allows("read") && allows("write")
    })
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
    let last = host_place(plan, |step| matches!(step, HostStep::SaveState));
    let mut lines = plan.lines[first.unwrap()..last.unwrap()].to_vec();
    // What only a container needs that waits; what comes between the fork, if there is one, and the program; and small limits,
    // which come after its hooks.
    let own = [
        "send-state",
        "prepare-to-wait",
        "close-descriptors",
        "prepare-exec",
        "fork",
        "join-cgroup",
        "new-session",
        "set-controlling-terminal",
        "forward-console",
        "set-cpu-affinity",
        "set-rlimit",
        "set-scheduler",
    ];
    lines.retain(|line| !own.contains(&line.step()));
    for line in &mut lines {
        // What the agent is told is all that differs.
        if let Action::Host(HostStep::ForwardSeccompListener { status, .. }) = &mut line.action {
            *status = "";
        }
    }
    lines
}

/// Whoever writes config.json does not write what a plan says of it, nor to the terminal that it is shown on.
fn each_line_is_printed_as_one(plan: &Plan) {
    let text = plan.to_text(crate::EnvValues::Shown);
    assert_eq!(text.matches('\n').count(), plan.lines.len(), "{text}");
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
}

/// Others in there may trace it. CAP_SYS_ADMIN for a filter that comes after the fork is the exception, where an agent has to be told
/// the pid, or where init would not get past the filter.
fn who_enters_a_pid_namespace_has_what_the_program_gets(plan: &Plan) {
    const SYS_ADMIN: u64 = 1 << 21;
    let Some(fork) = place(plan, |step| matches!(step, Step::Fork { namespaces: 0 })) else { return };
    let filter_follows =
        init_steps(plan).any(|(number, step)| number > fork && matches!(step, Step::LoadSeccomp { .. }));
    let sets = |step: &InitStep| match step {
        Step::SetCapabilities { permitted, .. } => Some(*permitted),
        _ => None,
    };
    let (before, after): (Vec<_>, Vec<_>) = init_steps(plan).partition(|(number, _)| *number < fork);
    let permitted = before.iter().rev().find_map(|(_, step)| sets(step)).expect("its capabilities are its program's");
    let program = init_steps(plan).filter_map(|(_, step)| sets(step)).last().unwrap();
    assert!(permitted & !program & !if filter_follows { SYS_ADMIN } else { 0 } == 0, "{plan}");
    for (number, step) in after {
        let late = matches!(
            step,
            Step::SetIds { .. }
                | Step::SetGroups { .. }
                | Step::DropBoundingSet { .. }
                | Step::Chdir { .. }
                | Step::SetNoNewPrivs
                | Step::SetExecLabel { .. }
        );
        assert!(!late, "{} after the fork:\n{plan}", plan.lines[number]);
    }
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
