//! [scheduler](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process): sched_setattr(2)
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line};
use crate::Result;
use oci_spec::runtime::{LinuxSchedulerFlag, LinuxSchedulerPolicy, Process};

pub(super) fn lines(process: &Process) -> Result<Option<Line>> {
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
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
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
    fn policies_and_what_belongs_to_them() {
        check_process(
            r#""scheduler": {"policy": "SCHED_FIFO", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "/process/scheduler",
            "init set-scheduler SCHED_FIFO flags 0x1 priority 5",
        );
        check_process(
            r#""scheduler": {"policy": "SCHED_DEADLINE", "runtime": 10, "deadline": 30, "period": 40}"#,
            "/process/scheduler",
            "init set-scheduler SCHED_DEADLINE runtime 10 deadline 30 period 40",
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
        ] {
            refused_process(
                &format!(r#""scheduler": {{"policy": {scheduler}}}"#),
                &format!("/process/scheduler{message}"),
            );
        }
    }
}
