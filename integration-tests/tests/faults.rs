//! What the fault sweep has found (docs/fault-sweep.md), on the calls concerned: each of them fails once with EIO.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]
use plimsoll_integration_tests::runtime;
use std::process::Command;

/// No finding in `command`, whichever call of this name fails.
#[track_caller]
fn nothing_comes_of(call: &str, command: &str) {
    nothing_comes_of_it_with("EIO", call, command);
}

#[track_caller]
fn nothing_comes_of_it_with(errno: &str, call: &str, command: &str) {
    if !runtime().version.starts_with("plimsoll ") {
        return;
    }
    let sweep = || {
        let mut sweep = Command::new(env!("CARGO_BIN_EXE_fault_sweep"));
        let output = sweep.args(["--jobs", "1", "--errno", errno, "--at", call, command]).output();
        let output = output.expect("built with us");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = table.lines().find_map(|line| line.strip_prefix(command)).unwrap_or_default();
        let faults = row.split_whitespace().nth(1).and_then(|number| number.parse::<u32>().ok());
        if output.status.success() && faults > Some(0) { Ok(()) } else { Err(table) }
    };
    // It sees what other tests change of the machine meanwhile.
    let swept = sweep().or_else(|_| sweep());
    swept.unwrap_or_else(|table| panic!("{call} {errno} in {command}: {table}"));
}

#[test]
fn a_program_never_gets_the_socket_to_the_host() {
    nothing_comes_of("child1:fcntl", "exec");
}

#[test]
fn a_program_never_inherits_what_the_caller_does_with_signals() {
    nothing_comes_of("child1:rt_sigaction", "exec");
    nothing_comes_of("child1:rt_sigprocmask", "exec");
}

#[test]
fn streams_that_cannot_be_asked_are_not_taken_for_closed() {
    nothing_comes_of("runtime:fcntl", "exec");
}

#[test]
fn nothing_runs_twice() {
    nothing_comes_of_it_with("EAGAIN", "runtime:recvmsg", "exec");
}

#[test]
fn nothing_runs_of_which_start_has_said_that_it_does_not() {
    for call in ["read", "openat", "memfd_create", "unlinkat", "ioctl", "write"] {
        nothing_comes_of(&format!("runtime:{call}"), "start");
    }
}

#[test]
fn device_rules_that_cannot_be_written_are_not_taken_for_forbidden() {
    nothing_comes_of_it_with("EPERM", "runtime:openat", "create");
}

#[test]
fn an_update_that_cannot_be_written_down_is_taken_back() {
    nothing_comes_of("runtime:renameat", "update");
}

#[test]
fn mounts_are_removed_by_the_same_command_again_if_one_cannot_be() {
    nothing_comes_of("child1:umount2", "mounts remove");
    nothing_comes_of("runtime:renameat", "mounts remove");
}

#[test]
fn a_paused_container_that_cannot_be_thawed_is_not_said_to_be_killed() {
    nothing_comes_of("runtime:openat", "kill --all");
}

#[test]
fn run_says_that_it_has_left_something() {
    nothing_comes_of("runtime:unlinkat", "run");
}

#[test]
fn a_list_that_lacks_one_is_an_error() {
    nothing_comes_of("runtime:pidfd_open", "list");
    nothing_comes_of("runtime:read", "list");
}
