//! process.scheduler: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use nix::errno::Errno;
use plimsoll_integration_tests::{Container, cgroup, known_deviation, output, runtime, skips};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;

/// `nice rt_priority policy`, as /proc/PID/stat has them: fields 19, 40 and 41.
const READ: &str = "cut -d' ' -f19,40,41 /proc/self/stat";

/// The same of this program. A policy that has no use for niceness leaves what was inherited.
fn inherited_niceness() -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let after_name = stat.rsplit(')').next().expect("its fields");
    after_name.split_whitespace().nth(16).expect("its niceness").to_owned()
}

#[track_caller]
fn seen(scheduler: Value) -> String {
    // cut(1) is a child: nothing is reset on fork unless that is asked for.
    Container::new().set("/process/scheduler", scheduler).shell(&format!("{READ}; true")).run().ok().to_owned()
}

#[test]
fn policy_and_what_belongs_to_it_are_as_asked_for() {
    if known_deviation() {
        return;
    }
    assert_eq!(seen(json!({"policy": "SCHED_OTHER", "nice": 7})), "7 0 0");
    assert_eq!(seen(json!({"policy": "SCHED_BATCH", "nice": -3})), "-3 0 3");
    assert_eq!(seen(json!({"policy": "SCHED_IDLE"})), format!("{} 0 5", inherited_niceness()));
    let flags = json!(["SCHED_FLAG_RESET_ON_FORK"]);
    assert_eq!(seen(json!({"policy": "SCHED_BATCH", "nice": -3, "flags": flags})), "0 0 3");
}

#[test]
fn what_the_policy_has_no_use_for_is_an_error() {
    if known_deviation() {
        return;
    }
    for (scheduler, words) in [
        (json!({"policy": "SCHED_OTHER", "nice": 20}), "invalid scheduler.nice: 20"),
        (json!({"policy": "SCHED_OTHER", "priority": 3}), "scheduler.priority can only be specified for"),
        (json!({"policy": "SCHED_FIFO", "runtime": 3}), "can only be specified for SchedDeadline policy"),
        (json!({"policy": "SCHED_SAIL"}), "SCHED_SAIL"),
        (json!({"policy": "SCHED_FIFO"}), "/process/scheduler/priority"),
        (json!({"policy": "SCHED_RR", "priority": 100}), "/process/scheduler/priority"),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 10}), "/process/scheduler/runtime"),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 9000, "deadline": 5000}), "/process/scheduler/deadline"),
        (
            json!({"policy": "SCHED_DEADLINE", "runtime": 9000, "deadline": 10000, "period": 9999}),
            "/process/scheduler/period",
        ),
        // Only the kernel's settings say so.
        (json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000}), "a period of 3000 ns is not between"),
    ] {
        let container = Container::new().set("/process/scheduler", scheduler);
        container.create().fails(words);
        container.assert_nothing_left();
    }
}

#[test]
fn exec_has_it_too() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 4})).running();
    assert_eq!(container.exec(&["sh", "-c", READ]).ok(), "4 0 3");
}

#[test]
fn nor_does_exec_lose_what_no_fork_hands_on() {
    if known_deviation() {
        return;
    }
    let read = ["cut", "-d", " ", "-f19,40,41", "/proc/self/stat"];
    let seen = |scheduler: Value| {
        let container = Container::new().set("/process/scheduler", scheduler).running();
        container.exec(&read).ok().to_owned()
    };
    assert_eq!(seen(json!({"policy": "SCHED_BATCH", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]})), "-3 0 3");
    let deadline =
        json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 10_000_000, "period": 100_000_000});
    assert_eq!(seen(deadline), format!("{} 0 6", inherited_niceness()));
}

/// <https://github.com/opencontainers/runc/issues/806>
#[test]
fn a_real_time_caller_needs_a_group_with_time_for_it_and_is_told_so() {
    // That of this program needs some: the topmost has.
    let own = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.rt_runtime_us");
    let has_none = cgroup::is_v2() || own.map_or(true, |runtime| runtime.trim() == "0");
    if skips(has_none, "needs realtime runtime for groups") || known_deviation() {
        return;
    }
    let container = Container::new();
    let mut command = container.launcher(&["run"]);
    let first = libc::sched_param { sched_priority: 6 };
    let become_first = move || {
        // SAFETY: reads one structure.
        Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const first) })?;
        Ok(())
    };
    // SAFETY: only a system call between fork and exec.
    unsafe { command.pre_exec(become_first) };
    let refused = output::finish(&mut command);
    refused.fails("invalid argument");
    if runtime().is("plimsoll") {
        refused.says("realtimeRuntime");
    }
    container.assert_nothing_left();
}
