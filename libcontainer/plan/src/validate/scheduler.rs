//! process.scheduler: sched_setattr(2), which only says EINVAL, takes some values together and not others.
#![forbid(unsafe_code)]

use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{LinuxSchedulerPolicy, Scheduler};

pub(super) fn check(scheduler: &Scheduler) -> Result<()> {
    use LinuxSchedulerPolicy::*;
    let policy = scheduler.policy();
    let wrong = |key: &str, message: String| Err(Error::config(format!("/process/scheduler{key}"), message));
    if let Some(nice) = scheduler.nice() {
        let range = -20..=19;
        if matches!(policy, SchedOther | SchedBatch) && !range.contains(nice) {
            return wrong("/nice", format!("invalid scheduler.nice: {nice} when scheduler.policy is {policy}"));
        }
    }
    let real_time = matches!(policy, SchedFifo | SchedRr);
    let priority = scheduler.priority().unwrap_or(0);
    if priority < 0 {
        return wrong("/priority", format!("invalid scheduler.priority: {priority}"));
    }
    if priority != 0 && !real_time {
        let message = "scheduler.priority can only be specified for SchedFIFO or SchedRR policy";
        return wrong("/priority", message.to_owned());
    }
    let its_own = [scheduler.runtime(), scheduler.deadline(), scheduler.period()];
    if policy != &SchedDeadline && its_own.into_iter().flatten().any(|value| *value != 0) {
        let message = "scheduler runtime/deadline/period can only be specified for SchedDeadline policy";
        return wrong("", message.to_owned());
    }
    // sched(7)
    if real_time && !(1..=99).contains(&priority) {
        return wrong("/priority", format!("invalid scheduler.priority: {priority}: {policy} takes 1 to 99"));
    }
    if policy == &SchedIso {
        let message = "SCHED_ISO is a number that Linux has reserved and never used";
        return wrong("/policy", message.to_owned()).map_err(|error: Error| error.with_kind(ErrorKind::Unsupported));
    }
    if policy == &SchedDeadline { deadline(scheduler) } else { Ok(()) }
}

/// __checkparam_dl() of the kernel, which only says EINVAL. In nanoseconds.
fn deadline(scheduler: &Scheduler) -> Result<()> {
    const LEAST: u64 = 1 << 10;
    const MOST: u64 = i64::MAX.unsigned_abs();
    let of = |value: &Option<u64>| value.unwrap_or(0);
    let (runtime, deadline) = (of(scheduler.runtime()), of(scheduler.deadline()));
    let period = Some(of(scheduler.period())).filter(|period| *period != 0).unwrap_or(deadline);
    let (key, message) = if runtime < LEAST {
        ("runtime", format!("{runtime} ns is less than the {LEAST} ns that SCHED_DEADLINE takes at least"))
    } else if deadline == 0 {
        ("deadline", "SCHED_DEADLINE needs a deadline".to_owned())
    } else if deadline < runtime {
        ("deadline", format!("{deadline} ns is less than the runtime, {runtime} ns"))
    } else if period < deadline {
        ("period", format!("{period} ns is less than the deadline, {deadline} ns"))
    } else if deadline > MOST || period > MOST {
        (if deadline > MOST { "deadline" } else { "period" }, format!("more than {MOST} ns"))
    } else {
        return Ok(());
    };
    Err(Error::config(format!("/process/scheduler/{key}"), message))
}
