//! The kill harness: SIGKILL `create` at some instant, `delete --force`, and count what is left. N times.
//!
//! `RUNTIME=plimsoll|runc|crun kill_create [ROUNDS]`: exit status 1 if anything was left.
#![allow(clippy::print_stdout, reason = "it prints a table")]
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SIGKILL, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plimsoll_integration_tests::{Container, measure, output, runtime};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Count {
    killed: usize,
    delete_failed: usize,
    process: usize,
    cgroup: usize,
    state: usize,
    mount: usize,
    unusable: usize,
}

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    // Whoever is orphaned comes to us, and is waited for, and so counted.
    set_child_subreaper(true).expect("a subreaper");
    let usual = usual_time();
    let mut count = Count::default();
    for round in 0..rounds {
        // Multiples of the golden ratio spread evenly over [0, 1.15 T], whatever the number of rounds.
        let instant = (f64::from(round) * 0.618_033_988_75).fract() * 1.15;
        kill_and_count(usual.mul_f64(instant), &mut count);
    }
    println!("{}: create takes {:.1} ms", runtime().version, measure::milliseconds(usual));
    println!(
        "{:>6} {:>6} | {:>13} {:>7} {:>6} {:>5} {:>5} {:>8}",
        "rounds", "killed", "delete failed", "process", "cgroup", "state", "mount", "unusable"
    );
    let Count { killed, delete_failed, process, cgroup, state, mount, unusable } = count;
    println!(
        "{rounds:>6} {killed:>6} | {delete_failed:>13} {process:>7} {cgroup:>6} {state:>5} {mount:>5} {unusable:>8}"
    );
    ExitCode::from(u8::from(delete_failed + process + cgroup + state + mount + unusable > 0))
}

/// Of a `create` that nobody disturbs.
fn usual_time() -> Duration {
    let time = |_| {
        let container = Container::new();
        let started = Instant::now();
        container.create().ok();
        started.elapsed()
    };
    let median = measure::median(&mut (0..9).map(time).collect::<Vec<_>>());
    reap();
    median
}

fn kill_and_count(after: Duration, count: &mut Count) {
    let container = Container::new();
    let mut create = container.launcher(&["create"]);
    let mut child =
        measure::quiet(&mut create).stderr(std::process::Stdio::null()).spawn().expect("the runtime starts");
    std::thread::sleep(after);
    child.kill().expect("our own child");
    count.killed += usize::from(child.wait().expect("our own child").signal().is_some());

    let deleted = output::finish(&mut container.command(&["delete", "--force", &container.id]));
    count.delete_failed += usize::from(deleted.status != 0);
    // The dying get two seconds.
    let started = Instant::now();
    while reap() && started.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let left = container.left_behind();
    count.process += usize::from(reap() || !left.processes.is_empty());
    count.cgroup += usize::from(!left.cgroups.is_empty());
    count.state += usize::from(!left.state.is_empty());
    count.mount += usize::from(!left.mounts.is_empty());
    count.unusable += usize::from(container.create().status != 0);
    // Not into the next round.
    for pid in left.processes {
        let _ = kill(Pid::from_raw(pid), SIGKILL);
    }
    drop(container);
    reap();
}

/// Waits for the dead among our children: is anyone alive?
fn reap() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return false,
            Ok(WaitStatus::StillAlive) => return true,
            _ => (),
        }
    }
}
