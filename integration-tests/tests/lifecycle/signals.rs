//! kill, and signals to the runtime itself: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#kill>
use super::three_running;
use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGPIPE, SIGUSR1};
use nix::sys::signal::{SigHandler, signal};
use plimsoll_integration_tests::{Container, Output, known_deviation, output, wait_until};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn kill_takes_a_name_or_a_number() {
    ["KILL", "SIGKILL", "9"].iter().copied().for_each(kills);
}

#[test]
fn kill_takes_a_name_in_small_letters() {
    if known_deviation() {
        return;
    }
    ["kill", "sigkill"].iter().copied().for_each(kills);
}

#[track_caller]
fn kills(signal: &str) {
    let container = Container::new().running();
    container.kill(signal).ok();
    container.wait_for("stopped");
}

#[test]
fn kill_is_sigterm_by_default_and_is_heard_by_a_handler() {
    let script = "trap 'echo heard; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let container = Container::new().shell(script);
    let mut run = container.launcher(&["run"]);
    let child = run.stdout(fs::File::create_new(container.dir.join("said")).expect("new")).spawn().expect("it starts");
    let said = || fs::read_to_string(container.dir.join("said")).unwrap_or_default();
    wait_until("the handler is set", || said().contains("ready").then_some(()));
    container.call(&["kill", &container.id]).ok();
    assert_eq!(plimsoll_integration_tests::output::wait(child, "run"), 3);
    assert_eq!(said(), "ready\nheard\n");
}

#[test]
fn run_passes_signals_on() {
    let script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done";
    let container = Container::new().shell(script);
    let said = container.dir.join("said");
    let child =
        container.launcher(&["run"]).stdout(fs::File::create_new(&said).expect("new")).spawn().expect("it starts");
    wait_until("the handler is set", || {
        fs::read_to_string(&said).is_ok_and(|text| text.contains("ready")).then_some(())
    });
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGUSR1).expect("our own child");
    assert_eq!(plimsoll_integration_tests::output::wait(child, "run"), 5);
}

/// By nohup(1), or a shell that has the runtime in the background.
#[test]
fn what_the_caller_ignores_the_program_does_not() {
    let ignoring = |mut command: Command| {
        let ignore = || {
            for ignored in [SIGHUP, SIGINT, SIGPIPE, SIGUSR1] {
                // SAFETY: no handler takes the place of another.
                unsafe { signal(ignored, SigHandler::SigIgn) }?;
            }
            Ok(())
        };
        // SAFETY: only system calls between fork and exec.
        unsafe { command.pre_exec(ignore) };
        output::finish(&mut command)
    };
    let look = ["grep", "SigIgn", "/proc/self/status"];
    let is_ignored = |said: &Output| {
        let mask = said.ok().split_whitespace().last().and_then(|mask| u64::from_str_radix(mask, 16).ok());
        [SIGHUP, SIGINT, SIGPIPE, SIGUSR1].map(|signal| mask.expect("a mask") >> (signal as i32 - 1) & 1 == 1)
    };
    assert_eq!(is_ignored(&ignoring(Container::new().args(&look).launcher(&["run"]))), [false; 4]);
    let container = Container::new().running();
    let exec = container.command(&[&["exec", &container.id], &look[..]].concat());
    assert_eq!(is_ignored(&ignoring(exec)), [false; 4]);
}

#[test]
fn an_unknown_signal_is_refused() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.kill("NONSENSE").fails("unknown signal");
    assert_eq!(container.status(), "running");
}

#[test]
fn a_created_container_can_be_killed() {
    let container = Container::new().created();
    container.end();
}

#[test]
fn kill_reaches_all_of_a_container_without_a_pid_namespace() {
    let container = Container::new().without_namespace("pid").shell("sleep 1000 & sleep 1000 & wait").created();
    container.start().ok();
    wait_until("there are three of them", || {
        (container.cgroup_file("pids", "cgroup.procs").lines().count() == 3).then_some(())
    });
    container.delete_by_force().ok();
    container.assert_nothing_left();
}

#[test]
fn kill_takes_an_expression_for_many() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    let names = three_running(&container);
    let status = |name: &str| container.call(&["state", name]).ok().contains("\"running\"");
    container.call(&["kill", "--regex", &format!("^{}-a[0-9]$", container.id), "KILL"]).ok();
    wait_until("the two that match end", || (!status(&names[0]) && !status(&names[1])).then_some(()));
    assert!(status(&names[2]));
    container.call(&["delete", "--force", "--regex", "."]).ok();
}

#[test]
fn a_created_container_hears_sigterm() {
    if known_deviation() {
        return;
    }
    let container = Container::new().created();
    container.kill("TERM").ok();
    container.wait_for("stopped");
    container.delete().ok();
    container.assert_nothing_left();
}
