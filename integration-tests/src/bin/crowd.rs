//! A crowd: many containers at once, each created, started, entered, killed and deleted.
//!
//! `RUNTIME=plimsoll|runc|crun crowd [CONTAINERS [AT_ONCE]]` (250, 60): exit status 1 if a command failed, took a program for
//! another's, or left anything.
#![allow(clippy::print_stdout, reason = "it prints what came of it")]
use plimsoll_integration_tests::container::Leftovers;
use plimsoll_integration_tests::{Container, cgroup, runtime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

fn main() -> ExitCode {
    if cfg!(panic = "abort") {
        panic!("crowd needs a debug build, in which one that is lost does not end the others");
    }
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<usize>().expect("a number"));
    let all = arguments.next().unwrap_or(250);
    let at_once = arguments.next().unwrap_or(60).min(all);
    let (taken, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // The first of everyone are alive at the same time, whatever the machine.
    let together = Barrier::new(at_once);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                let mut first = true;
                while taken.fetch_add(1, Ordering::Relaxed) < all {
                    let together = std::mem::take(&mut first).then_some(&together);
                    if catch_unwind(AssertUnwindSafe(|| live(together))).is_err() {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let lost = lost.into_inner();
    println!(
        "{}, cgroup {}: {all} containers, {at_once} at once, {lost} lost, {:.1} s",
        runtime().version,
        if cgroup::is_v2() { "v2" } else { "v1" },
        started.elapsed().as_secs_f64()
    );
    ExitCode::from(u8::from(lost > 0))
}

/// The life of one.
fn live(together: Option<&Barrier>) {
    let container = Container::new();
    let id = container.id.clone();
    let container = container.shell(&format!("echo {id} >/dev/shm/own; exec sleep 1000"));
    let created = container.create();
    let running = (created.status == 0).then(|| container.start());
    // Whoever has failed must not let the others wait for ever.
    if let Some(together) = together {
        together.wait();
    }
    created.ok();
    running.expect("it is created").ok();
    let own = || container.exec(&["cat", "/dev/shm/own"]).ok().to_owned();
    plimsoll_integration_tests::wait_until("its program has begun", || (own() == id).then_some(()));
    assert_eq!(container.status(), "running");
    container.kill("KILL").ok();
    container.wait_for("stopped");
    container.delete().ok();
    assert_eq!(container.left_behind(), Leftovers::default());
}
