//! [Seccomp](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp)
#![forbid(unsafe_code)]

use super::capabilities::Granted;
use super::line::{Action, HostStep, InitStep, Line};
use super::{host, init, no_new_privileges};
use crate::seccomp::{Problem, allows, compile};
use crate::{Error, Result};
use oci_spec::runtime::{Process, Spec};

const ORIGIN: &str = "/linux/seccomp";

/// Whether somebody else answers calls for the process.
pub(super) fn has_listener(lines: &[Line]) -> bool {
    lines.iter().any(|line| matches!(line.action, Action::Host(HostStep::ForwardSeccompListener { .. })))
}

/// Whether the filter is loaded before init can be seen by others in the pid namespace. Where it takes CAP_SYS_ADMIN to load it, which
/// the program does not get, they would see a process with that one; unless the filter does not let init do what is left to do.
pub(super) fn goes_first(process: &Process, capabilities: &Granted, lines: &[Line]) -> bool {
    let loaded = lines.iter().find_map(|line| match &line.action {
        Action::Init(InitStep::LoadSeccomp { filter, .. }) => Some(filter),
        _ => None,
    });
    let Some(filter) = loaded.filter(|_| !has_listener(lines) && !no_new_privileges::is_set(process)) else {
        return false;
    };
    !capabilities.permit_a_filter() && LAST_CALLS.iter().all(|(call, arguments)| allows(filter, *call, *arguments))
}

/// What init calls from the filter on to the program, with what filters look at.
const LAST_CALLS: &[(libc::c_long, [u64; 2])] = &[
    (libc::SYS_capset, [0, 0]),
    (libc::SYS_capget, [0, 0]),
    (libc::SYS_prctl, [libc::PR_CAP_AMBIENT as u64, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64]),
    (libc::SYS_prctl, [libc::PR_CAP_AMBIENT as u64, libc::PR_CAP_AMBIENT_RAISE as u64]),
    (libc::SYS_prctl, [libc::PR_SET_KEEPCAPS as u64, 0]),
    (libc::SYS_clone, [libc::CLONE_PARENT as u64, 0]),
    (libc::SYS_exit_group, [0, 0]),
    (libc::SYS_write, [3, 0]),
    (libc::SYS_close, [3, 0]),
    (libc::SYS_sched_setaffinity, [0, 0]),
    (libc::SYS_prlimit64, [0, libc::RLIMIT_NPROC as u64]),
    (libc::SYS_setsid, [0, 0]),
    (libc::SYS_ioctl, [0, libc::TIOCSCTTY as u64]),
    (libc::SYS_sendmsg, [3, 0]),
    (libc::SYS_recvmsg, [3, 0]),
    (libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 0]),
    (libc::SYS_rt_sigaction, [15, 0]),
    (libc::SYS_madvise, [0, 0]),
    (libc::SYS_accept4, [3, 0]),
    (libc::SYS_close_range, [3, 0]),
    (libc::SYS_mmap, [0, 0]),
    (libc::SYS_execve, [0, 0]),
];

/// Loads the filter, with no_new_privs or else with CAP_SYS_ADMIN, which is kept for it until then (seccomp(2)).
/// `status`: what the agent is told that the container is.
pub(super) fn lines(spec: &Spec, process: Option<(&Process, &Granted)>, status: &'static str) -> Result<Vec<Line>> {
    let mut lines = load(spec, status)?;
    let privileged = process.filter(|(process, _)| !lines.is_empty() && !no_new_privileges::is_set(process));
    if let Some((_, capabilities)) = privileged {
        lines.insert(0, capabilities.sets_for_the_filter());
        lines.push(capabilities.sets());
    }
    Ok(lines)
}

fn load(spec: &Spec, status: &'static str) -> Result<Vec<Line>> {
    let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else { return Ok(Vec::new()) };
    let problem = |problem: Problem| Error::config(format!("{ORIGIN}{}", problem.pointer), problem.message);
    let program = compile(profile).map_err(problem)?;
    let mut lines = vec![init(InitStep::LoadSeccomp { flags: program.flags, filter: program.filter }, ORIGIN)];
    if program.listener {
        // At once: from the next call on somebody has to answer.
        // `validate` has seen to it that there is one.
        let path = profile.listener_path().clone().unwrap_or_default();
        let metadata = profile.listener_metadata().clone().unwrap_or_default();
        let step = HostStep::ForwardSeccompListener { path, metadata, status };
        lines.push(host(step, format!("{ORIGIN}/listenerPath")));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{plan_of, refused, spec_of, text_of};

    fn config(no_new_privileges: bool, seccomp: &str) -> String {
        format!(
            r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{}}, "noNewPrivileges": {no_new_privileges}}},
                "linux": {{"namespaces": [{{"type": "mount"}}], "seccomp": {seccomp}}}}}"#
        )
    }

    const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": [], "listenerPath": "/run/agent.sock",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#;

    /// The steps from the first that changes the user to the last before `start`, by their names.
    fn steps(no_new_privileges: bool) -> Vec<&'static str> {
        let plan = plan_of(&spec_of(&config(no_new_privileges, PROFILE)));
        let names = plan.lines.iter().map(|line| line.step());
        names
            .filter(|name| *name != "new-session")
            .skip_while(|name| *name != "chown-stdio")
            .take_while(|name| *name != "listen-for-start")
            .collect()
    }

    #[test]
    fn without_no_new_privs_cap_sys_admin_is_kept_until_the_filter_is_loaded() {
        let steps = steps(false);
        let last =
            ["resolve-program", "set-capabilities", "load-seccomp", "forward-seccomp-listener", "set-capabilities"];
        assert_eq!(steps[steps.len() - 5..], last);
        let plan = plan_of(&spec_of(&config(false, PROFILE)));
        let sets = plan.lines.iter().filter(|line| line.step() == "set-capabilities").map(|line| line.detail());
        assert_eq!(
            sets.collect::<Vec<_>>(),
            ["permitted CAP_SYS_ADMIN", "effective CAP_SYS_ADMIN permitted CAP_SYS_ADMIN", "none"]
        );
    }

    #[test]
    fn with_no_new_privs_the_filter_is_loaded_last() {
        let steps = steps(true);
        let last = ["resolve-program", "set-no-new-privs", "load-seccomp", "forward-seccomp-listener"];
        assert_eq!(steps[steps.len() - 4..], last);
    }

    #[test]
    fn without_a_listener_only_the_program_is_behind_the_filter() {
        let profile = r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#;
        let last = |no_new_privileges| {
            let plan = plan_of(&spec_of(&config(no_new_privileges, profile)));
            let names: Vec<_> = plan.lines.iter().map(|line| line.step()).collect();
            names[names.len() - 3..].to_vec()
        };
        assert_eq!(last(true), ["close-descriptors", "load-seccomp", "exec"]);
        assert_eq!(last(false), ["load-seccomp", "set-capabilities", "exec"]);
    }

    #[test]
    fn who_enters_a_pid_namespace_does_not_bring_cap_sys_admin_along_for_its_filter() {
        let order = |default: &str, more: &str| {
            let profile = format!(r#"{{"defaultAction": "{default}"{more}}}"#);
            let config =
                config(false, &profile).replace(r#"[{"type": "mount"}"#, r#"[{"type": "pid"}, {"type": "mount"}"#);
            let spec = spec_of(&config);
            let plan = crate::plan::exec(
                &spec,
                spec.process().as_ref().unwrap(),
                &crate::plan::tests::facts(),
                &crate::plan::ExecPlanOptions::default(),
            );
            let names: Vec<_> = plan.unwrap().lines.iter().map(|line| line.step()).collect();
            let place = |name| names.iter().position(|step| *step == name).unwrap();
            place("load-seccomp") < place("fork")
        };
        assert!(order("SCMP_ACT_ALLOW", ""));
        // One that would not let it go on.
        assert!(!order("SCMP_ACT_ERRNO", ""));
        let setsid = r#", "syscalls": [{"names": ["setsid"], "action": "SCMP_ACT_ERRNO"}]"#;
        assert!(!order("SCMP_ACT_ALLOW", setsid));
    }

    #[test]
    fn a_mistake_in_the_profile_is_named() {
        refused(
            &config(
                true,
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            ),
            "config.json: /linux/seccomp/listenerPath: seccomp listenerPath is not set",
        );
        let text = text_of(&plan_of(&spec_of(&config(true, PROFILE))), "/linux/seccomp");
        assert!(text.ends_with("host forward-seccomp-listener /run/agent.sock"), "{text}");
    }
}
