//! [Seccomp](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp)
#![forbid(unsafe_code)]

use super::capabilities::Granted;
use super::line::{HostStep, InitStep, Line, Origin};
use super::{host, init, no_new_privileges};
use crate::seccomp::{Answer, Problem, Program, allows, compile};
use crate::{Error, Result};
use oci_spec::runtime::{Process, Spec};

const ORIGIN: &str = "/linux/seccomp";

/// The calls of init between the filter and the program: what runc's init calls there too, so that profiles allow them.
const WAITING: [&str; 2] = ["read", "write"];
/// What it takes to let an `exec` in meanwhile.
const LETTING_IN: [&str; 3] = ["accept4", "sendmsg", "close"];

// prctl.h, sched.h, resource.h, ioctls.h.
const PR_CAP_AMBIENT: u64 = 47;
const PR_CAP_AMBIENT_RAISE: u64 = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: u64 = 4;
const PR_SET_KEEPCAPS: u64 = 8;
const CLONE_PARENT: u64 = 0x8000;
const RLIMIT_NPROC: u64 = 6;
const TIOCSCTTY: u64 = 0x540e;

/// What init calls from the filter on to the program, with what filters look at.
const LAST_CALLS: &[(&str, [u64; 2])] = &[
    ("capset", [0, 0]),
    ("capget", [0, 0]),
    ("prctl", [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL]),
    ("prctl", [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE]),
    ("prctl", [PR_SET_KEEPCAPS, 0]),
    ("clone", [CLONE_PARENT, 0]),
    ("exit_group", [0, 0]),
    ("write", [3, 0]),
    ("close", [3, 0]),
    ("sched_setaffinity", [0, 0]),
    ("prlimit64", [0, RLIMIT_NPROC]),
    ("setsid", [0, 0]),
    ("ioctl", [0, TIOCSCTTY]),
    ("sendmsg", [3, 0]),
    ("recvmsg", [3, 0]),
    ("read", [3, 0]),
];

/// The filter of a process, and where in the plan it is loaded.
///
/// Early: before anybody is told that the process exists, so that a created container is as hard as a running one. Late: just before
/// the program, if the profile denies init what it calls in between. Loading it takes no_new_privs, or else CAP_SYS_ADMIN, which
/// is kept for it until then (seccomp(2)).
pub(super) struct Filter {
    program: Option<Program>,
    /// The line that loads it, and that which hands on its listener.
    load: Vec<Line>,
    /// Around them, without no_new_privs.
    capabilities: Option<[Line; 2]>,
    early: bool,
    /// What executes the program.
    exec: &'static str,
}

impl Filter {
    /// `status`: what the agent is told that the container is.
    /// `by_descriptor`: how the program is executed.
    pub(super) fn of(
        spec: &Spec,
        process: Option<(&Process, &Granted)>,
        status: &'static str,
        by_descriptor: bool,
    ) -> Result<Filter> {
        let exec = if by_descriptor { "execveat" } else { "execve" };
        let none = Filter { program: None, load: Vec::new(), capabilities: None, early: true, exec };
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let Some((profile, (process, granted))) = profile.zip(process) else { return Ok(none) };
        let problem = |problem: Problem| Error::config(format!("{ORIGIN}{}", problem.pointer), problem.message);
        let program = compile(profile).map_err(problem)?;
        let step = InitStep::LoadSeccomp { flags: program.flags, filter: program.filter.clone() };
        let mut load = vec![init(step, ORIGIN)];
        if program.listener {
            // At once: from the next call on somebody has to answer.
            // `validate` has seen to it that there is one.
            let path = profile.listener_path().clone().unwrap_or_default();
            let metadata = profile.listener_metadata().clone().unwrap_or_default();
            let step = HostStep::ForwardSeccompListener { path, metadata, status };
            load.push(host(step, format!("{ORIGIN}/listenerPath")));
        }
        let privileged = !no_new_privileges::is_set(process);
        let capabilities = privileged.then(|| [granted.sets_for_the_filter(), granted.after_the_filter()]);
        // The listener goes to its agent before anybody is told that the process exists.
        let early = program.listener || WAITING.iter().all(|call| program.answer(call) == Answer::Allowed);
        Ok(Filter { program: Some(program), load, capabilities, early, exec })
    }

    /// What the process may do before the filter is loaded.
    pub(super) fn sets(&self, granted: &Granted) -> Line {
        if self.capabilities.is_some() { granted.sets_but_for_the_filter() } else { granted.sets() }
    }

    fn lines(&self) -> Vec<Line> {
        let (before, after) =
            self.capabilities.clone().map_or((None, None), |[before, after]| (Some(before), Some(after)));
        before.into_iter().chain(self.load.iter().cloned()).chain(after).collect()
    }

    /// Before the process is anybody's business.
    pub(super) fn early(&self) -> Vec<Line> {
        if self.early { self.lines() } else { Vec::new() }
    }

    /// Before a fork into a pid namespace in which others are. Where it takes CAP_SYS_ADMIN to load it, which the program does not
    /// get, they would see a process with that one; unless the filter does not let init do what is left to do.
    pub(super) fn before_fork(&mut self, granted: &Granted) -> Vec<Line> {
        let first = self.program.as_ref().is_some_and(|program| {
            let passes = |(call, arguments): &(&str, [u64; 2])| allows(&program.filter, call, *arguments);
            let last = LAST_CALLS.iter().chain([&(self.exec, [0, 0])]).all(passes);
            !program.listener && !granted.permit_a_filter() && last
        });
        if !first || self.capabilities.is_none() {
            return Vec::new();
        }
        let lines = self.lines();
        (self.load, self.capabilities) = (Vec::new(), None);
        lines
    }

    /// Just before the program.
    pub(super) fn late(&self) -> Vec<Line> {
        if self.early { Vec::new() } else { self.lines() }
    }

    fn denies(&self, call: &str) -> bool {
        self.program.as_ref().is_some_and(|program| program.answer(call) == Answer::Denied)
    }

    /// Init may do this while it waits.
    fn allows(&self, call: &str) -> bool {
        self.program.as_ref().is_none_or(|program| !self.early || program.answer(call) == Answer::Allowed)
    }

    /// The program has a name, under which it is looked for.
    pub(super) fn executes_by_name(&self) -> bool {
        self.exec == "execve"
    }

    /// Init can set a limit after it.
    pub(super) fn allows_limits(&self) -> bool {
        self.allows("prlimit64")
    }

    /// Init can let an `exec` in while it waits.
    pub(super) fn can_hand_out_namespaces(&self) -> bool {
        LETTING_IN.iter().all(|call| self.allows(call))
    }

    /// Said before the last call, or before a late filter: then nothing that comes after it may fail without a word. Of a program
    /// that the filter does not let init execute nobody hears.
    pub(super) fn announcement(&self) -> Option<Line> {
        let gives_up = !self.early && self.capabilities.is_some();
        let denied = self.denies(self.exec) || gives_up && self.denies("capset");
        (!denied).then(|| init(InitStep::AnnounceExec, Origin::LIFECYCLE))
    }
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

    /// The steps from the search for the program on, by their names.
    fn steps(no_new_privileges: bool, profile: &str) -> Vec<&'static str> {
        let plan = plan_of(&spec_of(&config(no_new_privileges, profile)));
        let names = plan.lines.iter().map(|line| line.step());
        names.filter(|name| *name != "new-session").skip_while(|name| *name != "resolve-program").skip(1).collect()
    }

    const READY: [&str; 3] = ["close-descriptors", "prepare-exec", "prepare-to-wait"];
    const GO: [&str; 4] = ["save-state", "await-start", "announce-exec", "exec"];

    #[test]
    fn without_no_new_privs_cap_sys_admin_is_kept_until_the_filter_is_loaded() {
        let load = ["set-capabilities", "load-seccomp", "forward-seccomp-listener", "keep-capabilities"];
        assert_eq!(steps(false, PROFILE), [&READY[..], &load, &GO].concat());
        let plan = plan_of(&spec_of(&config(false, PROFILE)));
        let sets = plan.lines.iter().filter(|line| line.step().ends_with("-capabilities")).map(|line| line.detail());
        assert_eq!(
            sets.collect::<Vec<_>>(),
            ["permitted CAP_SYS_ADMIN", "effective CAP_SYS_ADMIN permitted CAP_SYS_ADMIN", "none"]
        );
    }

    #[test]
    fn the_filter_is_loaded_before_anybody_hears_of_the_container() {
        let load = ["set-no-new-privs"];
        let filter = ["load-seccomp", "forward-seccomp-listener"];
        assert_eq!(steps(true, PROFILE), [&load[..], &READY, &filter, &GO].concat());
        let profile = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write", "execve"], "action": "SCMP_ACT_ALLOW"}]}"#;
        assert_eq!(steps(true, profile), [&load[..], &READY, &["load-seccomp"], &GO].concat());
    }

    #[test]
    fn a_profile_that_denies_what_waiting_takes_comes_last() {
        let profile =
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]}"#;
        let wait = ["save-state", "await-start", "announce-exec"];
        assert_eq!(
            steps(true, profile),
            [&["set-no-new-privs"], &READY[..], &wait, &["load-seccomp", "exec"]].concat()
        );
        let load = ["set-capabilities", "load-seccomp", "keep-capabilities", "exec"];
        // What the filter takes to load cannot be given up under it: nobody is told of a program.
        assert_eq!(steps(false, profile), [&READY[..], &wait[..2], &load].concat());
        // By its arguments.
        let some = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}]}]}"#;
        assert_eq!(steps(true, some).iter().rev().nth(1), Some(&"load-seccomp"));
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_not_announced() {
        for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
            let all = format!(r#"{{"defaultAction": "{action}"}}"#);
            assert!(!steps(true, &all).contains(&"announce-exec"), "{action}");
            let one = format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["execve"], "action": "{action}"}}]}}"#
            );
            assert!(!steps(true, &one).contains(&"announce-exec"), "{action}");
        }
    }

    #[test]
    fn a_program_that_is_given_is_executed_by_another_call() {
        let announces = |call: &str| {
            let profile = format!(
                r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read", "write", "{call}"], "action": "SCMP_ACT_ALLOW"}}]}}"#
            );
            let options = crate::plan::PlanOptions { program: true, ..crate::plan::tests::options() };
            let plan = crate::plan::tests::plan_with(&spec_of(&config(true, &profile)), &options).unwrap();
            plan.lines.iter().any(|line| line.step() == "announce-exec")
        };
        assert!(announces("execveat") && !announces("execve"));
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
