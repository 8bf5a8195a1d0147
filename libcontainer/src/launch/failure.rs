//! Init's last words become a sentence.
use super::channel::Words;
use crate::error::describe;
use crate::plan::line::{Action, Line};
use crate::{Error, ErrorKind};
use rustix::io::Errno;
use step::{Call, Lsm, Step, Target};

/// What was asked, where in config.json, which call, errno, and the kernel's words.
pub(crate) fn explain(lines: &[Line], words: &Words) -> Error {
    let Some(line) = lines.get(usize::from(words.line)) else {
        return Error::system("start init", words.call.name(), words.errno).detail(words.detail.clone());
    };
    let error = match (&line.action, words.call) {
        (Action::Init(Step::ResolveProgram { name, .. }), _) => missing_program(&name.to_string(), words.errno),
        // Engines look for these words of runc's.
        (Action::Init(Step::Exec { .. }), Call::Execve) => {
            Error::new(ErrorKind::Init, format!("exec {}: {}", words.detail, describe(words.errno)))
        }
        (Action::Init(Step::RunHook { .. }), _) => {
            let (kind, index) = hook(line.origin());
            let message = format!("error running {kind} hook #{index}");
            match words.call {
                Call::Wait | Call::Poll => Error::new(ErrorKind::Hook, format!("{message}: {}", words.detail)),
                call => Error::system(message, call.name(), words.errno).kind_of(ErrorKind::Hook),
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
            Error::system(format!("{line}: {message}"), words.call.name(), words.errno)
        }
        // runc's words. A symbolic link there would choose where procfs lands (CVE-2019-19921).
        (Action::Init(Step::Mount { fstype, kind: Target::OrdinaryDirectory, .. }), Call::Openat2)
            if matches!(words.errno, Errno::LOOP | Errno::NOTDIR) =>
        {
            let message = format!("filesystem \"{fstype}\" must be mounted on ordinary directory");
            Error::system(format!("{line}: {message}"), words.call.name(), words.errno)
        }
        // security_fs_context_parse_param(): who knows `context` and its like is SELinux, and it is not here.
        (Action::Init(Step::Mount { .. }), _)
            if ["context'", "fscontext'", "defcontext'", "rootcontext'"]
                .iter()
                .any(|option| words.detail.contains(&format!("Unknown parameter '{option}"))) =>
        {
            let message = "mount label is specified in config, but selinux is disabled or not supported";
            Error::config("/linux/mountLabel", message).kind_of(ErrorKind::Unsupported)
        }
        (
            Action::Init(Step::Mount { fstype, .. } | Step::MakeMount { fstype, .. }),
            call @ (Call::Fsopen | Call::Fsconfig | Call::Fsmount),
        ) if words.errno == Errno::PERM && owned_by(&fstype.to_string()).is_some() => {
            let namespace = owned_by(&fstype.to_string()).unwrap_or_default();
            let hint = format!("hint: the container's user namespace has to own its {namespace} namespace");
            Error::system(line.to_string(), call.name(), words.errno).detail(hint)
        }
        _ => Error::system(line.to_string(), words.call.name(), words.errno).detail(words.detail.clone()),
    };
    let kind = if error.kind() == ErrorKind::System { ErrorKind::Init } else { error.kind() };
    error.kind_of(kind).at(line.origin())
}

/// What is seen in a filesystem of this type: who does not own that may not mount it.
fn owned_by(fstype: &str) -> Option<&'static str> {
    match fstype {
        "proc" => Some("pid"),
        "sysfs" => Some("network"),
        "mqueue" => Some("ipc"),
        "cgroup" | "cgroup2" => Some("cgroup"),
        _ => None,
    }
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

/// In the words of Go's exec.LookPath, which engines turn into exit statuses 126 and 127.
fn missing_program(name: &str, errno: Errno) -> Error {
    if errno == Errno::NOENT && !name.contains('/') {
        return Error::new(ErrorKind::Init, format!("exec: {name:?}: executable file not found in $PATH"));
    }
    let call = if errno == Errno::NOENT { format!("stat {name}") } else { "access".to_owned() };
    Error::system(format!("exec: {name:?}"), call, errno)
}

/// `/hooks/createContainer/0` in its parts.
fn hook(origin: &str) -> (&str, &str) {
    let mut parts = origin.rsplit('/');
    let index = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), index)
}
