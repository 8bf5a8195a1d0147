//! The words for what init does.
#![forbid(unsafe_code)]

use super::EnvValues;
use super::names::{
    bits, command, joined, limit, link_name, namespace_names, node, number, or_none, push, quoted, strings,
};
use crate::plan::capabilities::names as capability_names;
use crate::plan::line::InitStep;
use crate::plan::mount_options::{ATTRIBUTES, MOUNT_FLAGS, PRIVATE, REC, SHARED, SLAVE, UNBINDABLE};
use crate::plan::rlimits;
use std::fmt::Write as _;
use step::{Attributes, Lsm, Mounted, Options, Present, Source, Target};

pub(super) fn init_words(step: &InitStep, env: EnvValues) -> (&'static str, String) {
    use step::Step::*;
    match step {
        Host { .. } => ("host", String::new()),
        SetOomScoreAdj { value } => ("set-oom-score-adj", value.to_string()),
        SetCpuAffinity { mask } if mask.is_empty() => ("set-cpu-affinity", "all".to_owned()),
        SetCpuAffinity { mask } => ("set-cpu-affinity", bits(mask)),
        JoinCgroup { first, count: 1 } => ("join-cgroup", format!("fd:{first}")),
        JoinCgroup { first, count } => {
            ("join-cgroup", format!("fd:{first}–{}", u32::from(*first) + u32::from(*count) - 1))
        }
        Join { path, namespace } => ("join", format!("{} {path}", namespace_names(*namespace))),
        JoinProcess { slot, namespaces } => ("join-process", format!("fd:{slot} {}", namespace_names(*namespaces))),
        EnterRoot { slot } => ("enter-root", format!("fd:{slot}")),
        Unshare { namespaces } => ("unshare", namespace_names(*namespaces)),
        OpenPidNamespace { slot } => ("open-pid-namespace", format!("fd:{slot}")),
        Fork { namespaces } => ("fork", namespace_names(*namespaces)),
        SetTimeOffsets { offsets } => {
            let text = String::from_utf8_lossy(offsets);
            ("set-time-offsets", text.trim_end().replace('\n', ", "))
        }
        BecomeRoot => ("become-root", String::new()),
        SetUndumpable => ("set-undumpable", String::new()),
        JoinSessionKeyring { name } => ("join-session-keyring", name.to_string()),
        SetLoopbackUp => ("set-loopback-up", String::new()),

        SetRootPropagation { propagation } => ("set-root-propagation", propagation_name(*propagation)),
        OpenNull => ("open-null", String::new()),
        OpenRootfs { path } => ("open-rootfs", path.to_string()),
        AttachRootfs { path } => ("attach-rootfs", path.to_string()),
        SetRlimit { resource, soft, hard } => {
            ("set-rlimit", format!("{} {}:{}", rlimits::name(*resource), limit(*soft), limit(*hard)))
        }
        RaiseRlimit { resource, to } => ("raise-rlimit", format!("{} to {}", rlimits::name(*resource), limit(*to))),
        Mount { fstype, target, kind, options, attributes, propagation, copy_up, or_bind, .. } => {
            let mut detail = format!("{fstype} on {target}{}", target_kind(*kind));
            push(&mut detail, &attribute_names(*attributes));
            push(&mut detail, &option_names(options));
            push(&mut detail, &propagation_name(*propagation));
            push(&mut detail, if *copy_up { "tmpcopyup" } else { "" });
            if let Some(path) = or_bind {
                push(&mut detail, &format!("or bind {path} recursive ro"));
            }
            ("mount", detail)
        }
        BindMount { source, target, kind, recursive, attributes, recursive_attributes, propagation, link, .. } => {
            let source = match source {
                Source::Path(path) => path.to_string(),
                Source::Inside(path) => format!("{path} in the root"),
                Source::Slot(slot) => format!("fd:{slot}"),
            };
            let mut detail = format!("{source} on {target}{}", target_kind(*kind));
            push(&mut detail, if *recursive { "recursive" } else { "" });
            push(&mut detail, &attribute_names(*attributes));
            push(&mut detail, &recursively(*recursive_attributes));
            push(&mut detail, &propagation_name(*propagation));
            push(&mut detail, link_name(*link));
            ("bind-mount", detail)
        }
        OpenSource { path, recursive, link } => {
            let mut detail = path.to_string();
            push(&mut detail, link_name(*link));
            push(&mut detail, if *recursive { "recursive" } else { "" });
            ("open-source", detail)
        }
        MakeMount { fstype, target, options, copy_up, .. } => {
            let mut detail = format!("{fstype} for {target}");
            push(&mut detail, &option_names(options));
            push(&mut detail, if *copy_up { "tmpcopyup" } else { "" });
            ("make-mount", detail)
        }
        ShowMount { slot } => ("show-mount", format!("fd:{slot}")),
        FindMount { target, mount } => ("find-mount", format!("{target} {mount:#x}")),
        Unmount { target, mount } => ("unmount", format!("{target} {mount:#x}")),
        Remount { mount, attributes, recursive_attributes, propagation, options, .. } => {
            let mut detail = match mount {
                Mounted::At(target) => target.to_string(),
                Mounted::Held(slot) => format!("fd:{slot}"),
            };
            push(&mut detail, &attribute_names(*attributes));
            push(&mut detail, &recursively(*recursive_attributes));
            push(&mut detail, &option_names(options));
            push(&mut detail, &propagation_name(*propagation));
            ("remount", detail)
        }
        MountCgroup2 { target, options, attributes, propagation, fallback, .. } => {
            let mut detail = target.to_string();
            push(&mut detail, &attribute_names(*attributes));
            push(&mut detail, &strings(options).join(","));
            push(&mut detail, &propagation_name(*propagation));
            ("mount-cgroup2", format!("{detail} or bind {fallback}"))
        }
        MakeDevice { path, device, mode, uid, gid, present } => {
            ("make-device", format!("{path} {}{}", node(device, *mode, *uid, *gid), unless(*present)))
        }
        BindDevice { source, path, device, present } => {
            let source = match source {
                Source::Path(source) | Source::Inside(source) if source == path => String::new(),
                Source::Path(source) | Source::Inside(source) => format!("{source} on "),
                Source::Slot(slot) => format!("fd:{slot} on "),
            };
            let sealed = if source.starts_with("fd:") { "" } else { " ro,nosuid,noexec" };
            ("bind-device", format!("{source}{path} {}{sealed}{}", number(device), unless(*present)))
        }
        Symlink { target, path, replace } => {
            ("symlink", format!("{path} → {target}{}", if *replace { " (replacing)" } else { "" }))
        }
        MakeDirectory { path } => ("make-directory", path.to_string()),
        MaskPath { path } => ("mask-path", path.to_string()),
        ReadonlyPath { path } => ("readonly-path", path.to_string()),
        WriteSysctl { key, value } => ("write-sysctl", format!("{key} {}", quoted(&value.to_string()))),
        SetHostname { name } => ("set-hostname", name.to_string()),
        SetDomainname { name } => ("set-domainname", name.to_string()),
        PivotRoot => ("pivot-root", String::new()),
        MoveRoot => ("move-root", String::new()),
        ChangeRoot => ("change-root", String::new()),
        SetRootReadonly => ("set-root-readonly", String::new()),
        SetPropagation { propagation } => ("set-propagation", propagation_name(*propagation)),

        NewSession => ("new-session", String::new()),
        OpenConsole { height, width, uid, on_dev_console } => {
            let size = if (*height, *width) == (0, 0) { String::new() } else { format!("{width}x{height} ") };
            ("open-console", format!("{size}for {uid}{}", if *on_dev_console { ", on /dev/console" } else { "" }))
        }
        ReopenStreams => ("reopen-streams", String::new()),
        SetControllingTerminal => ("set-controlling-terminal", String::new()),
        ChownStdio { uid } => ("chown-stdio", uid.to_string()),
        SetUmask { mask } => ("set-umask", format!("{mask:04o}")),
        SetScheduler { policy, flags, nice, priority, runtime, deadline, period } => {
            let mut detail = named(POLICIES, *policy);
            let flags = if *flags == 0 { String::new() } else { format!("flags {flags:#x}") };
            push(&mut detail, &flags);
            let nice = if *nice == 0 { String::new() } else { format!("nice {nice}") };
            push(&mut detail, &nice);
            let numbers = [
                ("priority", u64::from(*priority)),
                ("runtime", *runtime),
                ("deadline", *deadline),
                ("period", *period),
            ];
            for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
                push(&mut detail, &format!("{name} {number}"));
            }
            ("set-scheduler", detail)
        }
        SetIoPriority { value } => {
            ("set-io-priority", format!("{} {}", named(IO_CLASSES, value >> 13), value & 0x1fff))
        }
        SetPersonality { domain: 0 } => ("set-personality", "LINUX".to_owned()),
        SetPersonality { domain: 8 } => ("set-personality", "LINUX32".to_owned()),
        SetPersonality { domain } => ("set-personality", format!("{domain:#x}")),
        SetMemoryPolicy { mode, nodes } => {
            let mut detail = named(MEMORY_MODES, mode & 0xfff);
            for (flag, name) in [(13, "NUMA_BALANCING"), (14, "RELATIVE_NODES"), (15, "STATIC_NODES")] {
                if mode & (1 << flag) != 0 {
                    let _ = write!(detail, "|MPOL_F_{name}");
                }
            }
            push(&mut detail, &bits(nodes));
            ("set-memory-policy", detail)
        }
        SetExecLabel { lsm: Lsm::Apparmor, label } => ("set-exec-label", format!("apparmor {label}")),
        SetExecLabel { lsm: Lsm::Selinux, label } => ("set-exec-label", format!("selinux {label}")),
        SetNoNewPrivs => ("set-no-new-privs", String::new()),
        DropBoundingSet { keep } => ("drop-bounding-set", format!("but {}", or_none(capability_names(*keep)))),
        Chdir { path, uid: 0, gid: 0 } => ("chdir", path.to_string()),
        Chdir { path, uid, gid } => ("chdir", format!("{path} as {uid}:{gid}")),
        SetGroups { gids } => {
            let gid = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
            ("set-groups", or_none(joined(gids.chunks_exact(4).map(gid), ",")))
        }
        SetIds { uid, gid } => ("set-ids", format!("{uid}:{gid}")),
        SetCapabilities { effective, permitted, inheritable, ambient } => {
            let sets = [
                ("effective", effective),
                ("permitted", permitted),
                ("inheritable", inheritable),
                ("ambient", ambient),
            ];
            ("set-capabilities", capability_sets(&sets))
        }
        KeepCapabilities { effective, permitted } => {
            ("keep-capabilities", capability_sets(&[("effective", effective), ("permitted", permitted)]))
        }
        LoadSeccomp { flags, filter } => {
            let flags = if *flags == 0 { String::new() } else { format!(", flags {flags:#x}") };
            ("load-seccomp", format!("{} instructions{flags}", filter.len() / 8))
        }
        DefaultHome { uid } => ("default-home", uid.to_string()),
        ResolveProgram { name, search } => ("resolve-program", format!("{} in {search}", quoted(&name.to_string()))),
        RunHook { path, argv, env: environment, timeout, state, .. } => {
            let mut detail = format!("{path}: {}", command(argv, environment, env));
            if *timeout != 0 {
                let _ = write!(detail, " at most {timeout} s");
            }
            ("run-hook", format!("{detail}, state fd:{state}"))
        }
        HoldNamespaces { namespaces } => ("hold-namespaces", namespace_names(*namespaces)),
        PrepareToWait => ("prepare-to-wait", String::new()),
        AwaitStart { start, said, door: None } => ("await-start", format!("fd:{start}, answer fd:{said}")),
        AwaitStart { start, said, door: Some(door) } => {
            ("await-start", format!("fd:{start}, answer fd:{said}, or exec fd:{door}"))
        }
        CloseDescriptors { preserve: 0 } => ("close-descriptors", String::new()),
        CloseDescriptors { preserve } => ("close-descriptors", format!("but {preserve}")),
        PrepareExec { pointers } => ("prepare-exec", format!("{pointers} pointers")),
        AnnounceExec => ("announce-exec", String::new()),
        Exec { program: None, argv, env: environment } => ("exec", command(argv, environment, env)),
        Exec { program: Some(slot), argv, env: environment } => {
            ("exec", format!("fd:{slot} as {}", command(argv, environment, env)))
        }
    }
}

const POLICIES: &[&str] =
    &["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];
const IO_CLASSES: &[&str] = &["IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
const MEMORY_MODES: &[&str] = &[
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

fn named(names: &[&str], number: u32) -> String {
    let name = usize::try_from(number).ok().and_then(|index| names.get(index));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn capability_sets(sets: &[(&str, &u64)]) -> String {
    let mut detail = String::new();
    for (name, set) in sets.iter().filter(|(_, set)| **set != 0) {
        push(&mut detail, &format!("{name} {}", capability_names(**set)));
    }
    or_none(detail)
}

fn unless(present: Present) -> &'static str {
    match present {
        Present::Stays => " unless something is there",
        Present::IsTheDevice => "",
    }
}

fn propagation_name(bits: u32) -> String {
    let names = [(PRIVATE, "private"), (SHARED, "shared"), (SLAVE, "slave"), (UNBINDABLE, "unbindable")];
    let name = names.iter().find(|(bit, _)| bits & bit != 0).map_or("", |(_, name)| name);
    format!("{}{name}", if bits & REC != 0 { "r" } else { "" })
}

/// As mount options: `ro,nosuid,exec`.
fn attribute_names(attributes: Attributes) -> String {
    let set = ATTRIBUTES.iter().filter(|(_, bit)| attributes.set & bit != 0).map(|(name, _)| (*name).to_owned());
    let opposite = |name: &str| match name {
        "ro" => "rw".to_owned(),
        name => name.trim_start_matches("no").to_owned(),
    };
    // Of the access times the whole field is cleared whatever is set.
    const TIMES: u64 = 0x70;
    let cleared =
        ATTRIBUTES.iter().filter(|(_, bit)| attributes.clear & bit & !TIMES != 0).map(|(name, _)| opposite(name));
    let relatime = (attributes.clear & TIMES != 0 && attributes.set & TIMES == 0).then(|| "relatime".to_owned());
    set.chain(cleared).chain(relatime).collect::<Vec<_>>().join(",")
}

fn target_kind(kind: Target) -> &'static str {
    match kind {
        Target::Any => "",
        Target::OrdinaryDirectory => " (ordinary directory)",
        Target::InProc => " (in proc)",
        Target::InBind => " (in a bind mount)",
        Target::Link => " dest-nofollow",
    }
}

fn recursively(attributes: Attributes) -> String {
    let names = attribute_names(attributes);
    if names.is_empty() { names } else { format!("recursively {names}") }
}

fn option_names(options: &Options<Vec<u8>>) -> String {
    match options {
        Options::Each(options) => strings(options).join(","),
        Options::Whole { flags, data } => {
            // What is an attribute as well has been said.
            let flags = MOUNT_FLAGS.iter().filter(|(_, bit, flag)| *bit == 0 && flags & flag != 0);
            let flags = flags.map(|(name, ..)| (*name).to_owned());
            flags.chain(strings(data)).collect::<Vec<_>>().join(",") + " at once"
        }
    }
}
