//! The words for a line: what `plimsoll plan` prints, what an error says was attempted.
#![forbid(unsafe_code)]

use super::Plan;
use super::capabilities::names as capability_names;
use super::line::{Action, HostStep, IdMap, IdMappedMount, InitStep, Line, Tolerate};
use super::mount_options::{ATTRIBUTES, MOUNT_FLAGS, PRIVATE, REC, SHARED, SLAVE, UNBINDABLE};
use oci_spec::runtime::LinuxNamespaceType;
use std::fmt::{self, Write as _};
use step::{Attributes, Device, Link, Lsm, Mounted, Options, Present, Source, Target};

impl Line {
    /// What: `bind-mount`.
    pub fn step(&self) -> &'static str {
        self.parts(None, false).0
    }

    /// With what: `/srv/data on /data ro`. Of an environment only the names, as it may hold secrets.
    pub fn detail(&self) -> String {
        self.parts(None, false).1
    }

    /// `init bind-mount /srv/data on /data`
    #[cfg(test)]
    pub fn brief(&self, slot: Option<usize>) -> String {
        let (step, detail) = self.parts(slot, false);
        format!("{} {step} {detail}", self.actor()).trim_end().to_owned()
    }

    fn parts(&self, slot: Option<usize>, env: bool) -> (&'static str, String) {
        let (name, mut detail) = match &self.action {
            Action::Host(step) => host_words(step),
            Action::Init(step) => init_words(step, env),
        };
        if let Some(slot) = slot {
            let _ = write!(detail, "{}→ fd:{slot}", if detail.is_empty() { "" } else { " " });
        }
        (name, visible(&detail))
    }
}

impl Plan {
    /// For people: number, actor, step, details, and on the right the origin. The values of an environment are
    /// shown only if `env` is set. Not stable.
    pub fn to_text(&self, env: bool) -> String {
        let words: Vec<_> = self.with_slots().map(|(line, slot)| (line, line.parts(slot, env))).collect();
        let steps = words.iter().map(|(_, (step, _))| step.len()).max().unwrap_or(0);
        // One long line (an argument list, say) must not push every origin off the screen.
        let details = words.iter().map(|(_, (_, detail))| detail.chars().count()).filter(|width| *width <= 72).max();
        let details = details.unwrap_or(0);
        let mut text = String::new();
        for (number, (line, (step, detail))) in words.iter().enumerate() {
            let (actor, origin) = (line.actor(), visible(line.origin()));
            let _ = writeln!(text, "{number:3}  {actor}  {step:steps$}  {detail:details$}  {origin}");
        }
        text
    }

    /// For programs: an array of objects with `line`, `actor`, `step`, `detail` and `origin`.
    pub fn to_json(&self, env: bool) -> serde_json::Value {
        let object = |(number, (line, slot)): (usize, (&Line, Option<usize>))| {
            let (step, detail) = line.parts(slot, env);
            let origin = line.origin();
            serde_json::json!({"line": number, "actor": line.actor(), "step": step, "detail": detail, "origin": origin})
        };
        self.with_slots().enumerate().map(object).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(false))
    }
}

/// `set-rlimit RLIMIT_CPU 1:2`: what was attempted, for an error.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, detail) = self.parts(None, false);
        f.write_str(step)?;
        // A page of options must not hide what comes after it.
        const LONG: usize = 300;
        let short: String = detail.chars().take(LONG).collect();
        let rest = if short.len() < detail.len() { "…" } else { "" };
        if detail.is_empty() { Ok(()) } else { write!(f, " {short}{rest}") }
    }
}

fn host_words(step: &HostStep) -> (&'static str, String) {
    match step {
        HostStep::CreateCgroup { groups } => {
            ("create-cgroup", joined(groups.iter().map(|group| group.directory.display()), " "))
        }
        HostStep::WriteCgroup { file, value, tolerate } => {
            let otherwise = match tolerate {
                Tolerate::Nothing => String::new(),
                Tolerate::Missing => " if it is there".to_owned(),
                Tolerate::Forbidden { value: Some(value) } => format!(" or {}", quoted(value)),
                Tolerate::Forbidden { value: None } => " if it may be".to_owned(),
                Tolerate::Otherwise { file, value } => format!(" or {} {}", file.display(), quoted(value)),
            };
            ("write-cgroup", format!("{} {}{otherwise}", file.display(), quoted(value)))
        }
        HostStep::AttachDeviceProgram { directory, program } => {
            ("attach-device-program", format!("{} instructions to {}", program.len() / 8, directory.display()))
        }
        HostStep::ChownCgroup { directory, uid } => ("chown-cgroup", format!("{} to {uid}", directory.display())),
        HostStep::StartScope { unit, properties } => {
            let whose = if unit.user { " of the user's" } else { "" };
            ("start-scope", format!("{}{whose} {}", unit.name, joined(properties.iter(), " ")))
        }
        HostStep::AwaitScope { groups } => {
            ("await-scope", joined(groups.iter().map(|group| group.directory.display()), " "))
        }
        HostStep::AttachToScope { unit, below } => ("attach-to-scope", format!("{} {below}", unit.name)),
        HostStep::Clone { namespaces, into_cgroup, tasks } => {
            let mut detail = namespace_names(*namespaces);
            if let Some(directory) = into_cgroup {
                let _ = write!(detail, " into {}", directory.display());
            }
            for (slot, directory) in tasks.iter().enumerate() {
                let _ = write!(detail, " {} → fd:{slot}", directory.display());
            }
            ("clone", detail.trim_start().to_owned())
        }
        HostStep::JoinCgroup { directory } => ("join-cgroup", directory.display().to_string()),
        HostStep::WriteIdMaps { uid, gid, deny_setgroups } => {
            let denied = if *deny_setgroups { " setgroups denied" } else { "" };
            ("write-id-maps", format!("{}{denied}", both_maps(uid, gid)))
        }
        HostStep::OpenProcess => ("open-process", String::new()),
        HostStep::SetScheduler { step } => init_words(step, false),
        HostStep::OpenRoot => ("open-root", String::new()),
        HostStep::OpenMount { source, recursive, link, shared, id_map } => {
            let mut detail = source.display().to_string();
            push(&mut detail, link_name(*link));
            if *recursive {
                detail.push_str(" recursive");
            }
            if *shared {
                detail.push_str(" shared with the host");
            }
            if let Some(map) = id_map {
                let recursively = if map.recursive { " recursively" } else { "" };
                let _ = write!(detail, "{recursively} id-mapped {}", id_map_of(map));
            }
            ("open-mount", detail)
        }
        HostStep::IdMapMount { id_map } => {
            let recursively = if id_map.recursive { "recursively " } else { "" };
            ("id-map-mount", format!("{recursively}{}", id_map_of(id_map)))
        }
        HostStep::MakeNode { device, mode, uid, gid } => ("make-node", node(device, *mode, *uid, *gid)),
        HostStep::NoteMount { destination } => ("note-mount", destination.display().to_string()),
        HostStep::Meet => ("meet", String::new()),
        HostStep::MoveNetDevice { name, new_name } if name == new_name => ("move-net-device", name.clone()),
        HostStep::MoveNetDevice { name, new_name } => ("move-net-device", format!("{name} as {new_name}")),
        HostStep::MakeRdtClass { directory, schemata, shared } => {
            let shared = if *shared { " unless it is there" } else { "" };
            let schemata = schemata.join(", ");
            ("make-rdt-class", format!("{} {schemata}", directory.display()).trim_end().to_owned() + shared)
        }
        HostStep::MakeRdtMonitor { directory } => ("make-rdt-monitor", directory.display().to_string()),
        HostStep::JoinRdtGroup { directory } => ("join-rdt-group", directory.display().to_string()),
        HostStep::RunHook { kind, index } => ("run-hook", format!("{} {index}", kind.key())),
        HostStep::SendState { status } => ("send-state", (*status).to_owned()),
        HostStep::SetRlimit { name, soft, hard, .. } => {
            ("set-rlimit", format!("{name} {}:{}", limit(*soft), limit(*hard)))
        }
        HostStep::ForwardConsole => ("forward-console", String::new()),
        HostStep::ForwardSeccompListener { path, .. } => ("forward-seccomp-listener", path.display().to_string()),
        HostStep::ChownStreams { uid } => ("chown-streams", uid.to_string()),
        HostStep::ListenForStart => ("listen-for-start", String::new()),
        HostStep::AnswerStart => ("answer-start", String::new()),
        HostStep::ListenForExec => ("listen-for-exec", String::new()),
        HostStep::SaveState => ("save-state", String::new()),
    }
}

/// `c 1:3`
fn number(device: &Device) -> String {
    let Device { kind, major, minor } = device;
    match kind >> 12 {
        0o2 => format!("c {major}:{minor}"),
        0o6 => format!("b {major}:{minor}"),
        _ => "p".to_owned(),
    }
}

/// `c 1:3 0666`, and whose it is if not root's.
fn node(device: &Device, mode: u32, uid: u32, gid: u32) -> String {
    let owner = if (uid, gid) == (0, 0) { String::new() } else { format!(" {uid}:{gid}") };
    format!("{} {mode:04o}{owner}", number(device))
}

fn unless(present: Present) -> &'static str {
    match present {
        Present::Stays => " unless something is there",
        Present::IsTheDevice => "",
    }
}

fn id_map_of(map: &IdMappedMount) -> String {
    match &map.of {
        Some(path) => format!("as {}", path.display()),
        None => both_maps(&map.uid, &map.gid),
    }
}

fn init_words(step: &InitStep, env: bool) -> (&'static str, String) {
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
            ("set-rlimit", format!("{} {}:{}", super::rlimits::name(*resource), limit(*soft), limit(*hard)))
        }
        RaiseRlimit { resource, to } => {
            ("raise-rlimit", format!("{} to {}", super::rlimits::name(*resource), limit(*to)))
        }
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
        Exec { argv, env: environment } => ("exec", command(argv, environment, env)),
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

fn push(detail: &mut String, more: &str) {
    if !more.is_empty() {
        detail.push(' ');
        detail.push_str(more);
    }
}

fn joined<T: fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text.trim_start().to_owned() }
}

fn limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

/// What config.json says can neither forge a line nor command a terminal.
fn visible(text: &str) -> String {
    let is_unseen = |letter: char| letter.is_control() || ('\u{2028}'..='\u{202e}').contains(&letter);
    let mut visible = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if is_unseen(letter) => visible.extend(letter.escape_default()),
            _ => visible.push(letter),
        }
    }
    visible
}

/// As it is if that is one word.
fn quoted(text: &str) -> String {
    let plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '"';
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

/// The strings of a block.
fn strings(block: &[u8]) -> Vec<String> {
    let texts = block.split_inclusive(|byte| *byte == 0).map(|text| text.strip_suffix(&[0]).unwrap_or(text));
    texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

fn command(argv: &[u8], environment: &[u8], with_values: bool) -> String {
    let mut detail = joined(strings(argv).iter().map(|text| quoted(text)), " ");
    let entries = strings(environment);
    if !entries.is_empty() {
        let shown = |entry: &String| match entry.split_once('=') {
            Some((name, _)) if !with_values => name.to_owned(),
            _ => quoted(entry),
        };
        let _ = write!(detail, " env {}", joined(entries.iter().map(shown), " "));
    }
    detail
}

fn namespace_names(namespaces: u32) -> String {
    use LinuxNamespaceType::*;
    const NAMES: &[(LinuxNamespaceType, &str)] = &[
        (User, "user"),
        (Pid, "pid"),
        (Network, "network"),
        (Ipc, "ipc"),
        (Uts, "uts"),
        (Mount, "mount"),
        (Cgroup, "cgroup"),
        (Time, "time"),
    ];
    joined(NAMES.iter().filter(|(kind, _)| namespaces & *kind as u32 != 0).map(|(_, name)| name), ",")
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

fn link_name(link: Link) -> &'static str {
    match link {
        Link::Follow => "",
        Link::Copy => "copy-symlink",
        Link::Bind => "src-nofollow",
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

fn maps(maps: &[IdMap]) -> String {
    joined(maps.iter().map(|map| format!("{}:{}:{}", map.container_id, map.host_id, map.size)), ",")
}

fn both_maps(uid: &[IdMap], gid: &[IdMap]) -> String {
    format!("uid {} gid {}", maps(uid), maps(gid))
}

/// `0-3,7` for a bit mask of native words.
fn bits(mask: &[u8]) -> String {
    let words: Vec<usize> = mask
        .chunks_exact(size_of::<usize>())
        .map(|bytes| usize::from_ne_bytes(bytes.try_into().unwrap_or_default()))
        .collect();
    let width = usize::BITS as usize;
    let is_set = |bit: usize| words.get(bit / width).is_some_and(|word| word & (1 << (bit % width)) != 0);
    let mut ranges: Vec<String> = Vec::new();
    let mut bit = 0;
    while bit < words.len() * width {
        if is_set(bit) {
            let last = (bit..).find(|next| !is_set(next + 1)).unwrap_or(bit);
            ranges.push(if bit == last { bit.to_string() } else { format!("{bit}-{last}") });
            bit = last;
        }
        bit += 1;
    }
    ranges.join(",")
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{plan_of, spec_of, text_of};

    #[test]
    fn a_configuration_can_neither_forge_a_line_nor_command_a_terminal() {
        let config = r#"{"mounts": [{"destination": "/a\n  9  init  exec", "type": "tmpfs", "options": ["x=\u001b[2J"]}],
            "linux": {"sysctl": {"net.a\nb": "1"}, "namespaces": [{"type": "mount"}, {"type": "network"}]}}"#;
        let plan = plan_of(&spec_of(config));
        assert_eq!(text_of(&plan, "/mounts"), r"init mount tmpfs on /a\n  9  init  exec x=\u{1b}[2J");
        let text = plan.to_text(true);
        assert_eq!(text.lines().count(), plan.lines.len(), "{text}");
        assert!(text.contains(r"/linux/sysctl/net.a\nb"), "{text}");
    }
}
