//! What docs/kernel-features.md says of older kernels, tried on this one: strace(1) has the calls fail as they would there.
use plimsoll_integration_tests::skip::NOT_BY_SYSTEMD;
use plimsoll_integration_tests::{Container, Output, cgroup, output, runtime, skips};
use std::process::Command;

fn is_ours() -> bool {
    runtime().version.starts_with("plimsoll ")
}

/// Calls the runtime on a kernel on which `call` fails so: `ENOSYS`, `EINVAL:when=1`.
#[track_caller]
fn with_failing(command: &Command, call: &str, error: &str) -> Output {
    // A call that strace does not know goes by its number.
    let inject = format!("inject={call}:error={error}");
    let strace = ["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
    under(command, "strace", &strace)
}

/// The same command as the argument of another.
#[track_caller]
fn under(command: &Command, program: &str, arguments: &[&str]) -> Output {
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    output::finish(&mut wrapped)
}

#[track_caller]
fn runs_without(call: &str, error: &str) {
    if !is_ours() {
        return;
    }
    let container = Container::new().shell("echo ship");
    assert_eq!(with_failing(&container.launcher(&["run"]), call, error).ok(), "ship");
    container.assert_nothing_left();
}

#[test]
fn before_6_3_no_memfd_is_asked_to_be_executable() {
    runs_without("memfd_create", "EINVAL:when=1");
}

#[test]
fn where_no_memfd_can_be_had_init_is_a_file_without_a_name() {
    runs_without("memfd_create", "ENOSYS");
}

#[test]
fn where_no_memfd_may_be_executed_init_is_a_file_without_a_name() {
    // systemd does not know processes by their pids in a namespace.
    if !is_ours() || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    // For a pid namespace, from 6.3 on.
    let forbid = "echo 2 >/proc/sys/vm/memfd_noexec 2>/dev/null; exec \"$@\"";
    let container = Container::new().shell("readlink /proc/1/exe; echo ship");
    let arguments = ["--pid", "--fork", "--mount-proc", "sh", "-c", forbid, "sh"];
    assert_eq!(under(&container.launcher(&["run"]), "unshare", &arguments).ok().lines().last(), Some("ship"));
    container.assert_nothing_left();
}

#[test]
fn a_filter_around_us_that_is_older_than_faccessat2_says_eperm() {
    runs_without("faccessat2", "EPERM");
    runs_without("faccessat2", "ENOSYS");
}

#[test]
fn before_5_7_nobody_is_born_in_a_group() {
    // Nor is anybody where systemd makes it.
    if !is_ours()
        || cgroup::by_systemd()
        || !(cgroup::is_v2() || std::path::Path::new(cgroup::ROOT).join("unified").exists())
    {
        return;
    }
    for error in ["E2BIG:when=1", "EINVAL:when=1"] {
        let container = Container::new().without_namespace("cgroup").args(&["cat", "/proc/self/cgroup"]);
        let said = with_failing(&container.launcher(&["run"]), "clone3", error);
        let unified = said.ok().lines().find_map(|line| line.strip_prefix("0::"));
        assert!(unified.is_some_and(|group| group.ends_with(&container.cgroup())), "{said:?}");
        container.assert_nothing_left();
    }
}

#[test]
fn before_5_14_processes_are_ended_one_by_one() {
    if !is_ours() {
        return;
    }
    let container = Container::new().without_namespace("pid").running();
    container.exec_with(&["--detach"], &["sleep", "1000"]).ok();
    let delete = container.command(&["delete", "--force", &container.id]);
    let strace = ["-f", "-qq", "-o", "/dev/null", "-P", "cgroup.kill", "-e", "inject=openat:error=ENOENT"];
    under(&delete, "strace", &strace).ok();
    container.assert_nothing_left();
}

#[test]
fn before_5_8_the_program_is_found_by_the_older_call() {
    runs_without("faccessat2", "ENOSYS");
}

#[test]
fn without_keyrings_none_is_joined() {
    runs_without("keyctl", "ENOSYS");
}

#[test]
fn what_there_must_be_is_named_with_the_kernel_that_has_it() {
    if !is_ours() {
        return;
    }
    for (call, errno) in [
        ("openat2", "ENOSYS"),
        ("fsopen", "ENOSYS"),
        ("fsmount", "ENOSYS"),
        ("move_mount", "ENOSYS"),
        ("open_tree", "ENOSYS"),
        ("mount_setattr", "ENOSYS"),
        ("clone3", "ENOSYS"),
    ] {
        let container = Container::new().args(&["true"]);
        let said = with_failing(&container.launcher(&["run"]), call, errno);
        assert_eq!(said.status, 1, "{said:#?}");
        let hint = "hint: Linux 5.12 or later has it, unless a seccomp filter hides it";
        assert!(said.stderr.contains(call) && said.stderr.contains(hint), "{call}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
        container.assert_nothing_left();
    }
}

#[test]
fn before_6_18_a_procfs_is_made_by_who_is_in_its_pid_namespace() {
    if !is_ours() {
        return;
    }
    let other = Container::new().running();
    let path = format!("/proc/{}/ns/pid", other.pid());
    let container = Container::new().namespace("pid", Some(&path)).args(&["cat", "/proc/1/cmdline"]);
    // Of the runtime alone, which tries it; init is not traced.
    let strace = ["-qq", "-o", "/dev/null", "-e", "trace=fsconfig", "-e", "inject=fsconfig:error=EINVAL"];
    let seen = under(&container.launcher(&["run"]), "strace", &strace);
    assert_eq!(seen.ok().replace('\0', " ").trim(), "sleep 1000");
    container.assert_nothing_left();
}
