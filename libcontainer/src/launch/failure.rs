//! Init's last words become a sentence.
use super::channel::Words;
use crate::describe_errno;
use crate::plan::line::{Action, HostStep, InitStep, Line};
use crate::{Error, ErrorKind};
use rustix::io::Errno;
use step::{Call, Lsm, Step, Target};

/// What was asked, where in config.json, which call, errno, and the kernel's words.
pub(crate) fn explain(lines: &[Line], words: &Words) -> Error {
    let Some(line) = lines.get(usize::from(words.line)) else {
        return Error::system("start init", words.call.name(), words.errno).detail(words.detail.clone()).in_init();
    };
    let error = match (&line.action, words.call) {
        (Action::Init(Step::ResolveProgram { name, .. }), _) => missing_program(&name.to_string(), words.errno),
        // Engines look for these words of runc's.
        (Action::Init(Step::Exec { program, argv, env }), Call::Execve | Call::Execveat) => {
            let name = if program.is_some() { "the given program" } else { &words.detail };
            let message = format!("exec {name}: {}", describe_errno(words.errno.raw_os_error()));
            let error = Error::new(why_not_executed(words.errno), message);
            match words.errno {
                Errno::TOOBIG => too_big(error, argv, env),
                _ => error,
            }
        }
        (Action::Init(Step::RunHook { .. }), _) => {
            let (kind, index) = hook(line.origin());
            let message = format!("error running {kind} hook #{index}");
            match words.call {
                Call::Wait | Call::Poll => Error::new(ErrorKind::Hook, format!("{message}: {}", words.detail)),
                call => Error::system(message, call.name(), words.errno).with_kind(ErrorKind::Hook),
            }
        }
        (Action::Init(Step::SetExecLabel { lsm, .. }), call) if is_missing(call, words.errno) => Error::new(
            ErrorKind::Unsupported,
            match lsm {
                Lsm::Apparmor => "apparmor: config provided but apparmor not supported",
                Lsm::Selinux => "selinux label is specified in config, but selinux is disabled or not supported",
            },
        ),
        // aa_change_profile(): there is no such profile.
        (Action::Init(Step::SetExecLabel { lsm: Lsm::Apparmor, label }), call) if words.errno == Errno::NOENT => {
            Error::system(format!("apparmor profile {label} is not loaded"), call.name(), words.errno)
        }
        // sched(7): a cpuset that is not the whole machine excludes SCHED_DEADLINE.
        (Action::Init(Step::SetScheduler { .. }), _)
            if words.errno == Errno::PERM && lines.iter().any(|line| line.origin() == "/linux/resources/cpu/cpus") =>
        {
            let message = "process scheduler can't be used together with AllowedCPUs";
            Error::system(format!("{}: {message}", brief(line)), words.call.name(), words.errno)
        }
        (Action::Init(Step::Unshare { namespaces }), Call::Unshare) => {
            let hint = super::hints::new_namespaces(*namespaces, words.errno);
            Error::system(brief(line), words.call.name(), words.errno).detail(hint)
        }
        (Action::Init(Step::SetScheduler { period, deadline, .. }), _) if words.errno == Errno::INVAL => {
            let hint = deadline_range(if *period == 0 { *deadline } else { *period });
            Error::system(brief(line), words.call.name(), words.errno).detail(hint.unwrap_or_default())
        }
        (Action::Init(Step::OpenConsole { .. }), call) if is_no_devpts(call, words) => {
            let hint = "hint: a terminal needs a mount of type devpts on /dev/pts";
            Error::system(brief(line), format!("{}(/dev/pts/ptmx)", call.name()), words.errno).detail(hint)
        }
        // runc's words. A symbolic link there would choose where procfs lands (CVE-2019-19921).
        (Action::Init(Step::Mount { fstype, kind: Target::OrdinaryDirectory, .. }), Call::Openat2)
            if matches!(words.errno, Errno::LOOP | Errno::NOTDIR) =>
        {
            let message = format!("filesystem \"{fstype}\" must be mounted on ordinary directory");
            Error::system(format!("{}: {message}", brief(line)), words.call.name(), words.errno)
        }
        // security_fs_context_parse_param(): who knows `context` and its like is SELinux, and it is not here.
        (Action::Init(Step::Mount { .. }), _)
            if ["context'", "fscontext'", "defcontext'", "rootcontext'"]
                .iter()
                .any(|option| words.detail.contains(&format!("Unknown parameter '{option}"))) =>
        {
            let message = "mount label is specified in config, but selinux is disabled or not supported";
            Error::config("/linux/mountLabel", message).with_kind(ErrorKind::Unsupported)
        }
        (
            Action::Init(Step::Mount { fstype, .. } | Step::MakeMount { fstype, .. }),
            call @ (Call::Fsopen | Call::Fsconfig | Call::Fsmount),
        ) if words.errno == Errno::PERM => {
            let hint = why_not_mounted(lines, &fstype.to_string(), call);
            Error::system(brief(line), call.name(), words.errno).detail(hint.unwrap_or_else(|| words.detail.clone()))
        }
        // cpu_cgroup_can_attach(): no other group says EINVAL to who moves itself.
        (Action::Init(Step::JoinCgroup { .. }), Call::Write) if words.errno == Errno::INVAL => {
            Error::system(brief(line), words.call.name(), words.errno).detail(NO_REAL_TIME)
        }
        _ => Error::system(brief(line), words.call.name(), words.errno).detail(words.detail.clone()),
    };
    error.in_init().at(line.origin())
}

/// Who runs first, and is let into a cpu group of cgroup v1 that has no time for such.
const NO_REAL_TIME: &str =
    "hint: the caller has a real-time policy, which needs a cpu group with linux.resources.cpu.realtimeRuntime";

/// sched(7): what else than `validate` looks at the kernel looks at.
pub(crate) fn deadline_range(period: u64) -> Option<String> {
    let limit = |name: &str| {
        // may fail: only a hint.
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/sched_deadline_period_{name}_us")).ok()?;
        text.trim().parse::<u64>().ok()?.checked_mul(1000)
    };
    let (least, most) = (limit("min")?, limit("max")?);
    let outside = period != 0 && !(least..=most).contains(&period);
    outside.then(|| {
        format!("a period of {period} ns is not between {least} and {most} (kernel.sched_deadline_period_*_us)")
    })
}

/// Init has ended, by this signal if it is known, and has not been able to say why.
pub(crate) fn silent_death(lines: &[Line], signal: Option<i32>) -> Error {
    let has = |step: fn(&InitStep) -> bool| {
        lines.iter().any(|line| matches!(&line.action, Action::Init(found) if step(found)))
    };
    let filtered = has(|step| matches!(step, Step::LoadSeccomp { .. }));
    let denied = has(|step| matches!(step, Step::Exec { .. })) && !has(|step| matches!(step, Step::AnnounceExec));
    let message = match signal {
        Some(libc::SIGKILL) => "container init was killed (memory limit too low?)".to_owned(),
        // An init that its filter does not let exit ends so, too.
        Some(libc::SIGSYS | libc::SIGILL) if filtered => "container init was ended by its seccomp filter".to_owned(),
        Some(signal) => format!("container init was ended by signal {signal}"),
        None => "container init ended, or was killed, before it executed the program".to_owned(),
    };
    let error = Error::new(ErrorKind::System, message).in_init();
    if !denied {
        return error;
    }
    let name = lines.iter().find_map(|line| match &line.action {
        Action::Init(Step::ResolveProgram { name, .. }) => Some(name.to_string()),
        Action::Init(Step::Exec { program: Some(_), .. }) => Some("the given program".to_owned()),
        _ => None,
    });
    let exec = if has(|step| matches!(step, Step::Exec { program: Some(_), .. })) { "execveat" } else { "execve" };
    // Giving up what the filter took to load is under it, too.
    let gives_up = has(|step| matches!(step, Step::KeepCapabilities { .. }));
    let calls = if gives_up { format!("capset or {exec}") } else { exec.to_owned() };
    let detail = format!("exec {}: {calls} denied by the profile", name.unwrap_or_default());
    error.at("/linux/seccomp").detail(detail)
}

/// What is to be `/dev/pts/ptmx` is missing, or of another filesystem.
fn is_no_devpts(call: Call, words: &Words) -> bool {
    match call {
        Call::Openat2 => words.detail == "/dev/pts/ptmx" && words.errno != Errno::ACCESS,
        Call::Statfs => words.errno == Errno::NODEV,
        _ => false,
    }
}

/// A user namespace may not mount what shows a namespace that it does not own, nor (mount_too_revealing() of the kernel) a procfs or
/// sysfs of which it sees a part covered already.
fn why_not_mounted(lines: &[Line], fstype: &str, call: Call) -> Option<String> {
    let (namespace, bit, place) = match fstype {
        "proc" => ("pid", libc::CLONE_NEWPID, "/proc"),
        "sysfs" => ("network", libc::CLONE_NEWNET, "/sys"),
        "mqueue" => ("ipc", libc::CLONE_NEWIPC, ""),
        "cgroup" | "cgroup2" => ("cgroup", libc::CLONE_NEWCGROUP, ""),
        _ => return None,
    };
    let is_new = lines.iter().any(|line| match &line.action {
        Action::Host(HostStep::Clone { namespaces, .. })
        | Action::Init(Step::Unshare { namespaces } | Step::Fork { namespaces }) => {
            namespaces & bit.unsigned_abs() != 0
        }
        _ => false,
    });
    Some(match call {
        Call::Fsmount if is_new && !place.is_empty() => {
            format!("hint: a part of the host's {place} is covered, and a user namespace may not see what is beneath")
        }
        _ => format!("hint: the container's user namespace has to own its {namespace} namespace"),
    })
}

/// This kernel runs without the module that was to be given a label.
fn is_missing(call: Call, errno: Errno) -> bool {
    match call {
        Call::LsmSetSelfAttr => errno == Errno::OPNOTSUPP,
        // KERNEL(6.8): through procfs.
        Call::Openat2 => errno == Errno::NOENT,
        _ => false,
    }
}

/// A line without the end of a list that nobody reads: what comes after it is what matters.
fn brief(line: &Line) -> String {
    const MOST: usize = 400;
    let mut words = line.to_string();
    if let Some((end, _)) = words.char_indices().nth(MOST) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// execve(2), "Limits on size of arguments and environment": which string it was, by its place. Its value may be a secret.
fn too_big(error: Error, argv: &[u8], env: &[u8]) -> Error {
    /// MAX_ARG_STRLEN, with the NUL.
    const MOST: usize = 128 << 10;
    let longest = |block: &[u8]| {
        let strings = block.split(|byte| *byte == 0).enumerate();
        strings.map(|(index, text)| (text.len(), index)).max().filter(|(length, _)| *length >= MOST)
    };
    let (origin, found) = match (longest(argv), longest(env)) {
        (Some(found), _) => ("/process/args", found),
        (None, Some(found)) => ("/process/env", found),
        (None, None) => {
            let all = argv.len() + env.len();
            return error
                .detail(format!("hint: {all} bytes with the environment; a quarter of RLIMIT_STACK is the limit"));
        }
    };
    let (length, index) = found;
    error.at(origin).detail(format!("hint: number {index} has {length} bytes; the kernel takes {}", MOST - 1))
}

/// In the words of Go's exec.LookPath, which engines turn into exit statuses 126 and 127.
fn missing_program(name: &str, errno: Errno) -> Error {
    if errno == Errno::NOENT && !name.contains('/') {
        return Error::new(ErrorKind::ProgramNotFound, format!("exec: {name:?}: executable file not found in $PATH"));
    }
    let call = if errno == Errno::NOENT { format!("stat {name}") } else { "access".to_owned() };
    Error::system(format!("exec: {name:?}"), call, errno).with_kind(why_not_executed(errno))
}

/// What execve(2), or looking for its program, has failed for.
fn why_not_executed(errno: Errno) -> ErrorKind {
    match errno {
        // Of a script or a program with a loader it may be these that are missing.
        Errno::NOENT | Errno::NOTDIR => ErrorKind::ProgramNotFound,
        Errno::TOOBIG => ErrorKind::InvalidConfig,
        Errno::NOMEM => ErrorKind::OutOfMemory,
        _ => ErrorKind::ProgramNotExecutable,
    }
}

/// `/hooks/createContainer/0` in its parts.
fn hook(origin: &str) -> (&str, &str) {
    let mut parts = origin.rsplit('/');
    let index = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), index)
}
