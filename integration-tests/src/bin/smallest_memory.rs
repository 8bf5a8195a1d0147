//! The smallest `linux.resources.memory.limit` (and no swap) with which `/bin/true` runs, by bisection, and what a created container
//! is charged at the most.
//!
//! `RUNTIME=/path/to/plimsoll smallest_memory`: plimsoll, runc and crun, as far as they are there.
#![allow(clippy::print_stdout, reason = "it prints a table")]
use plimsoll_integration_tests::{Container, Runtime, cgroup, runtime};
use serde_json::json;
use std::fs;

const PAGE: u64 = 4096;
/// It has to run as often as this.
const TIMES: usize = 5;

fn limited(runtime: &Runtime, limit: u64) -> Container {
    let memory = json!({"memory": {"limit": limit, "swap": limit}});
    Container::of(runtime.clone()).set("/linux/resources", memory).args(&["/bin/true"])
}

fn runs(runtime: &Runtime, limit: u64) -> bool {
    (0..TIMES).all(|_| limited(runtime, limit).run().status == 0)
}

/// In pages: the kernel counts no less.
fn smallest(runtime: &Runtime) -> u64 {
    let mut enough = 1 << 14;
    assert!(runs(runtime, enough * PAGE), "{} needs more than 64 MiB", runtime.name);
    let mut too_little = 0;
    while enough - too_little > 1 {
        let middle = too_little.midpoint(enough);
        if runs(runtime, middle * PAGE) {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    enough * PAGE
}

/// The most that was ever charged to the group of a container that has been created, in bytes.
fn charged(runtime: &Runtime) -> Option<u64> {
    let container = Container::of(runtime.clone()).args(&["/bin/true"]).created();
    let file = if cgroup::is_v2() { "memory.peak" } else { "memory.max_usage_in_bytes" };
    fs::read_to_string(container.cgroup_dir("memory").join(file)).ok()?.trim().parse().ok()
}

fn main() {
    let others = ["runc", "crun"].iter().filter_map(|name| Runtime::find(name));
    println!("cgroup {}, {TIMES} runs for every limit", if cgroup::is_v2() { "v2" } else { "v1" });
    println!("{:28} {:>18} {:>26}", "", "smallest limit, KiB", "charged at create, KiB");
    for runtime in std::iter::once(runtime().clone()).chain(others) {
        let charged = charged(&runtime).map_or("–".to_owned(), |bytes| (bytes / 1024).to_string());
        println!("{:28} {:>18} {charged:>26}", runtime.version, smallest(&runtime) / 1024);
    }
}
