//! [Process](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#process): its program, its
//! environment and its working directory.
#![forbid(unsafe_code)]

use super::line::{InitStep, Line, Origin};
use super::{PlanOptions, Slots, block, init, z};
use crate::{Error, Result};
use oci_spec::runtime::{Process, Spec};
use std::collections::HashSet;
use step::Slot;

/// Where execvp(3) looks without a `PATH`.
const NO_PATH: &str = "/bin:/usr/bin";

/// What a process given to `exec` leaves open is as it is for the container's own, as with runc.
pub(super) fn inherit(process: &Process, spec: &Spec) -> Process {
    let mut process = process.clone();
    let Some(own) = spec.process() else { return process };
    let absent = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    if process.capabilities().is_none() {
        process.set_capabilities(own.capabilities().clone());
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(own.rlimits().clone());
    }
    if absent(process.apparmor_profile()) {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if absent(process.selinux_label()) {
        process.set_selinux_label(own.selinux_label().clone());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(own.oom_score_adj());
    }
    if process.scheduler().is_none() {
        process.set_scheduler(own.scheduler().clone());
    }
    if process.io_priority().is_none() {
        process.set_io_priority(*own.io_priority());
    }
    if process.exec_cpu_affinity().is_none() {
        process.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
    }
    process
}

pub(super) fn keyring(options: &PlanOptions) -> Result<Option<Line>> {
    if options.no_new_keyring {
        return Ok(None);
    }
    let name = z(format!("_ses.{}", options.id), Origin::DEFAULT)?;
    Ok(Some(init(InitStep::JoinSessionKeyring { name }, Origin::DEFAULT)))
}

pub(super) fn make_cwd(process: Option<&Process>) -> Result<Option<Line>> {
    let Some(process) = process else { return Ok(None) };
    let path = z(process.cwd(), "/process/cwd")?;
    Ok(Some(init(InitStep::MakeDirectory { path }, "/process/cwd")))
}

pub(super) fn chdir(process: &Process) -> Result<Option<Line>> {
    let user = process.user();
    let path = z(process.cwd(), "/process/cwd")?;
    Ok(Some(init(InitStep::Chdir { path, uid: user.uid(), gid: user.gid() }, "/process/cwd")))
}

/// The environment with the last of each name and without an empty `HOME`, which counts as none.
pub(super) fn environment(process: Option<&Process>, listen_fds: u32) -> Vec<String> {
    let mut env = process.and_then(|process| process.env().clone()).unwrap_or_default();
    if listen_fds > 0 {
        // sd_listen_fds(3). The pid is the container's.
        env.extend([format!("LISTEN_FDS={listen_fds}"), "LISTEN_PID=1".to_owned()]);
    }
    let mut seen = HashSet::new();
    let mut last: Vec<_> = (env.iter().rev())
        .filter(|entry| seen.insert(entry.split_once('=').map_or(entry.as_str(), |(name, _)| name)))
        .filter(|entry| *entry != "HOME=")
        .cloned()
        .collect();
    last.reverse();
    last
}

fn variable(process: &Process, name: &str) -> Option<String> {
    let env = environment(Some(process), 0);
    env.into_iter().find_map(|entry| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// A user without `HOME` gets that of /etc/passwd.
pub(super) fn home(process: &Process) -> Option<Line> {
    let missing = variable(process, "HOME").is_none();
    missing.then(|| init(InitStep::DefaultHome { uid: process.user().uid() }, Origin::DEFAULT))
}

fn args(process: &Process) -> Result<&[String]> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.is_empty() { Err(Error::config("/process/args", "args must not be empty")) } else { Ok(args) }
}

/// Before `create` is done, so that a missing program is an error of `create`.
pub(super) fn resolve(process: &Process) -> Result<Line> {
    let origin = "/process/args/0";
    let name = args(process)?.first().map(String::as_str).unwrap_or_default();
    let search = variable(process, "PATH").unwrap_or_else(|| NO_PATH.to_owned());
    Ok(init(InitStep::ResolveProgram { name: z(name, origin)?, search: z(search, origin)? }, origin))
}

/// What init does ahead of the filter, which need not allow it: nothing is left open, and what `execve` takes is there.
pub(super) fn ready(process: &Process, preserve_fds: u32, listen_fds: u32) -> Result<Vec<Line>> {
    // Nothing of the host may be open when the program is (CVE-2024-21626).
    let close = InitStep::CloseDescriptors { preserve: preserve_fds.saturating_add(listen_fds) };
    // Two lists that end with NULL, and a HOME that is found late.
    let strings = args(process)?.len() + environment(Some(process), listen_fds).len();
    let pointers = u32::try_from(strings + 3)
        .map_err(|_| Error::config("/process/args", "more arguments than a process can have"))?;
    Ok(vec![init(close, Origin::DEFAULT), init(InitStep::PrepareExec { pointers }, Origin::DEFAULT)])
}

/// Where init finds a program that it is given.
pub(super) fn held(given: bool, slots: &mut Slots) -> Result<Option<Slot>> {
    given.then(|| slots.take()).transpose()
}

pub(super) fn exec(process: &Process, listen_fds: u32, program: Option<Slot>) -> Result<Line> {
    let argv = block(args(process)?, "/process/args")?;
    let env = block(environment(Some(process), listen_fds), "/process/env")?;
    Ok(init(InitStep::Exec { program, argv, env }, "/process/args"))
}

#[cfg(test)]
mod tests {
    use crate::plan::PlanOptions;
    use crate::plan::tests::{check_process, options, plan_of, plan_with, spec_of, text_of};

    #[test]
    fn the_program_is_found_in_the_path_of_the_container() {
        check_process(
            r#""args": ["sh", "-c", "echo a b"], "env": ["PATH=/x:/y"]"#,
            "/process/args",
            "init resolve-program sh in /x:/y
             init exec sh -c \"echo a b\" env PATH",
        );
        check_process(
            r#""args": ["/sh"]"#,
            "/process/args",
            "init resolve-program /sh in /bin:/usr/bin\n init exec /sh",
        );
    }

    #[test]
    fn the_last_of_two_equal_names_wins() {
        let env = |list: &[&str]| {
            let spec = spec_of(&format!(
                r#"{{"process": {{"env": {list:?}, "user": {{"uid": 0, "gid": 0}}, "cwd": "/", "args": ["a"]}}}}"#
            ));
            super::environment(spec.process().as_ref(), 0)
        };
        assert_eq!(env(&["A=1", "B=2", "A=3", "HOME=/x", "HOME="]), ["B=2", "A=3"]);
    }

    #[test]
    fn home_has_a_default() {
        let home = |env: &str| {
            let spec = spec_of(&format!(
                r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{"uid": 7}}, "env": [{env}]}}}}"#
            ));
            text_of(&plan_of(&spec), "(default)").contains("init default-home 7")
        };
        assert!(home("") && home(r#""HOME=""#) && home(r#""HOME=/x", "HOME=""#));
        assert!(!home(r#""HOME=/root""#));
    }

    #[test]
    fn the_working_directory_is_made_while_it_can_be() {
        check_process(
            r#""cwd": "/work", "user": {"uid": 5, "gid": 6}"#,
            "/process/cwd",
            "init make-directory /work\n init chdir /work as 5:6",
        );
    }

    #[test]
    fn a_program_that_is_given_has_no_name_to_be_looked_for() {
        let plan = plan_with(&spec_of("{}"), &PlanOptions { program: true, ..options() }).unwrap();
        let text = text_of(&plan, "");
        assert!(
            text.contains("host listen-for-start → fd:0\nhost answer-start → fd:1\nhost hold-program → fd:2"),
            "{text}"
        );
        assert!(text.contains("\ninit exec fd:2 as sh") && !text.contains("resolve-program"), "{text}");
    }

    #[test]
    fn descriptors_of_socket_activation_are_counted_and_named() {
        let options = PlanOptions { preserve_fds: 2, listen_fds: 3, ..options() };
        let plan = plan_with(&spec_of("{}"), &options).unwrap();
        assert!(text_of(&plan, "(default)").contains("init close-descriptors but 5"));
        assert!(text_of(&plan, "/process/args").contains("LISTEN_FDS LISTEN_PID"));
    }
}
