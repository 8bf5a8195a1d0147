//! [scheduler](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process): sched_setattr(2)
#![forbid(unsafe_code)]

use super::init;
use super::line::{Action, HostStep, InitStep, Line};
use crate::Result;
use oci_spec::runtime::{LinuxSchedulerFlag, LinuxSchedulerPolicy, Process};

/// Before a fork that is still to come, unless it would not outlive that.
pub(super) fn lines(process: &Process, forks: bool) -> Result<Option<Line>> {
    Ok(line(process)?.filter(|line| !(forks && is_lost(line))))
}

/// What is not handed on, by whoever has the privilege then.
pub(super) fn after_fork(process: &Process) -> Result<Option<Line>> {
    let lost = line(process)?.filter(is_lost);
    Ok(lost.and_then(|line| match line.action {
        Action::Init(step) => Some(Line { action: Action::Host(HostStep::SetScheduler { step }), origin: line.origin }),
        Action::Host(_) => None,
    }))
}

/// sched(7): a process under SCHED_DEADLINE may not fork, and that is what SCHED_RESET_ON_FORK says.
fn is_lost(line: &Line) -> bool {
    const DEADLINE: u32 = 6;
    let Action::Init(InitStep::SetScheduler { policy, flags, .. }) = &line.action else { return false };
    *policy == DEADLINE || flags & RESET_ON_FORK != 0
}

const RESET_ON_FORK: u64 = 0x01;

fn line(process: &Process) -> Result<Option<Line>> {
    let Some(scheduler) = process.scheduler() else { return Ok(None) };
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => RESET_ON_FORK,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let step = InitStep::SetScheduler {
        policy,
        flags: scheduler.flags().iter().flatten().map(flag).fold(0, |flags, flag| flags | flag),
        nice: scheduler.nice().unwrap_or(0),
        // `validate` has ruled out negative ones.
        priority: scheduler.priority().unwrap_or(0).unsigned_abs(),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    };
    Ok(Some(init(step, "/process/scheduler")))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check_process, refused_process};

    #[test]
    fn what_a_fork_would_lose_the_host_sets_after_it() {
        let lines = |scheduler: &str| {
            let config = r#"{"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
                "process": {"args": ["a"], "cwd": "/", "user": {}, "scheduler": SCHEDULER}}"#;
            let spec = crate::plan::tests::spec_of(&config.replace("SCHEDULER", scheduler));
            let process = spec.process().clone().unwrap();
            let plan = crate::plan::exec(&spec, &process, &crate::plan::tests::facts(), &Default::default()).unwrap();
            let lines = plan.lines.iter().filter(|line| matches!(line.step(), "fork" | "set-scheduler"));
            lines.map(|line| format!("{} {}", line.actor(), line.step())).collect::<Vec<_>>()
        };
        let early = ["init set-scheduler", "init fork"];
        let late = ["init fork", "host set-scheduler"];
        assert_eq!(lines(r#"{"policy": "SCHED_BATCH", "nice": 3}"#), early);
        assert_eq!(lines(r#"{"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}"#), late);
        assert_eq!(lines(r#"{"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 4000}"#), late);
    }

    #[test]
    fn policies_and_what_belongs_to_them() {
        check_process(
            r#""scheduler": {"policy": "SCHED_FIFO", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "/process/scheduler",
            "init set-scheduler SCHED_FIFO flags 0x1 priority 5",
        );
        check_process(
            r#""scheduler": {"policy": "SCHED_DEADLINE", "runtime": 10000, "deadline": 30000, "period": 40000}"#,
            "/process/scheduler",
            "init set-scheduler SCHED_DEADLINE runtime 10000 deadline 30000 period 40000",
        );
        check_process(
            r#""scheduler": {"policy": "SCHED_BATCH", "nice": -3}"#,
            "/process/scheduler",
            "init set-scheduler SCHED_BATCH nice -3",
        );
    }

    #[test]
    fn what_does_not_belong_to_the_policy_is_refused() {
        for (scheduler, message) in [
            (r#""SCHED_OTHER", "nice": 20"#, "/nice: invalid scheduler.nice: 20 when scheduler.policy is SCHED_OTHER"),
            (
                r#""SCHED_OTHER", "priority": 3"#,
                "/priority: scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
            ),
            (
                r#""SCHED_RR", "runtime": 3"#,
                ": scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
            ),
            (r#""SCHED_FIFO""#, "/priority: invalid scheduler.priority: 0: SCHED_FIFO takes 1 to 99"),
            (r#""SCHED_RR", "priority": 100"#, "/priority: invalid scheduler.priority: 100: SCHED_RR takes 1 to 99"),
            (r#""SCHED_OTHER", "priority": -1"#, "/priority: invalid scheduler.priority: -1"),
            (r#""SCHED_ISO""#, "/policy: SCHED_ISO is a number that Linux has reserved and never used"),
            (r#""SCHED_DEADLINE""#, "/runtime: 0 ns is less than the 1024 ns that SCHED_DEADLINE takes at least"),
            (r#""SCHED_DEADLINE", "runtime": 1024"#, "/deadline: SCHED_DEADLINE needs a deadline"),
            (
                r#""SCHED_DEADLINE", "runtime": 3000, "deadline": 2000"#,
                "/deadline: 2000 ns is less than the runtime, 3000 ns",
            ),
            (
                r#""SCHED_DEADLINE", "runtime": 3000, "deadline": 5000, "period": 4000"#,
                "/period: 4000 ns is less than the deadline, 5000 ns",
            ),
            (
                r#""SCHED_DEADLINE", "runtime": 3000, "deadline": 9223372036854775808"#,
                "/deadline: more than 9223372036854775807 ns",
            ),
        ] {
            refused_process(
                &format!(r#""scheduler": {{"policy": {scheduler}}}"#),
                &format!("/process/scheduler{message}"),
            );
        }
    }
}
