//! Cheap process starts and medians, for the programs in `src/bin`.
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// From the start of a process to its end. Nothing here asks for fork(2), so std uses posix_spawn(3), and what
/// the harness costs is the same small thing for everyone.
///
/// # Panics
/// If it does not succeed: a failure is not a measurement.
pub fn time(command: &mut Command) -> Duration {
    quiet(command);
    let started = Instant::now();
    let status = command.status();
    let elapsed = started.elapsed();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
    elapsed
}

pub fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}

/// # Panics
/// If there are none.
pub fn median<T: Ord + Copy>(values: &mut [T]) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
