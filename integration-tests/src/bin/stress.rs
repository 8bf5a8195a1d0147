//! The stress test: many workers, random commands on few ids of one store, and what is lost afterwards.
//!
//! `RUNTIME=plimsoll|runc|crun stress [IDS [SECONDS [WORKERS]]]` (1, 100, 16): exit status 1 if anything was.
#![allow(clippy::print_stdout, reason = "it prints a table")]
use plimsoll_integration_tests::runtime;
use plimsoll_integration_tests::storm::{Losses, Storm};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let number = |at: usize, default: u64| {
        std::env::args().nth(at).map_or(default, |argument| argument.parse().expect("a number"))
    };
    let (ids, seconds, workers) = (number(1, 1), number(2, 100), number(3, 16));
    println!("{}: {workers} workers, {ids} ids, {seconds} s", runtime().version);
    let storm = Storm::over(usize::try_from(ids).expect("not that many"));
    let calls = storm.blow(workers, Duration::from_secs(seconds));
    for (command, (called, succeeded)) in &calls {
        println!("{command:32} {called:>7} calls {succeeded:>7} succeeded");
    }
    let losses = storm.losses();
    let Losses { hung, refused, crashed, undeletable, left } = &losses;
    println!("{} calls", calls.values().map(|(called, _)| called).sum::<usize>());
    let (hung, crashed, refused) = (hung.len(), crashed.len(), refused.len());
    println!("failed: {hung} hung, {crashed} crashed, {refused} delete --force, {} undeletable", undeletable.len());
    let (state, cgroups, processes) = (left.state.len(), left.cgroups.len(), left.processes.len());
    println!("left: {state} folders, {cgroups} cgroups, {processes} processes, {} mounts", left.mounts.len());
    if losses == Losses::default() {
        return ExitCode::SUCCESS;
    }
    println!("{losses:#?}");
    ExitCode::FAILURE
}
