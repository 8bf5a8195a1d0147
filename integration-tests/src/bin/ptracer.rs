//! What a process in a container gets hold of that may trace others: `ptracer STOP` looks at every process that comes up until the
//! file STOP is there, then says what it has seen. Not a test by itself: `advisories.rs` runs it inside.
#![allow(clippy::print_stdout, reason = "what it says is what it is for")]
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::null_mut;

#[derive(Default)]
struct Seen {
    processes: u64,
    stopped: u64,
    /// Capabilities that any of them was permitted.
    permitted: u64,
    /// What any of them had open, and roots that were not ours.
    open: BTreeSet<String>,
    roots: BTreeSet<String>,
}

impl Seen {
    fn look(&mut self, pid: i32, own_root: (u64, u64)) {
        self.take_status(pid);
        let root = fs::metadata(format!("/proc/{pid}/root/")).ok();
        if let Some(root) = root.filter(|root| (root.dev(), root.ino()) != own_root) {
            self.roots.insert(format!("{}:{}", root.dev(), root.ino()));
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            if let Ok(target) = fs::read_link(entry.path()) {
                let name = target.to_string_lossy().into_owned();
                self.open.insert(name.split_once(":[").map_or(name.clone(), |(kind, _)| kind.to_owned()));
            }
        }
    }

    fn take_status(&mut self, pid: i32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let sets = status.lines().filter_map(|line| line.strip_prefix("CapPrm:\t").or(line.strip_prefix("CapEff:\t")));
        for set in sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()) {
            self.permitted |= set;
        }
    }

    /// Stops it where it is, which takes as much as making it do something else.
    fn stop(&mut self, pid: i32, own_root: (u64, u64)) {
        let none = null_mut::<c_void>();
        // SAFETY: requests without a pointer that the kernel would write through; `status` is an int.
        unsafe {
            if libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) != 0 {
                return;
            }
            let mut status = 0;
            libc::ptrace(libc::PTRACE_INTERRUPT, pid, none, none);
            if libc::waitpid(pid, &raw mut status, libc::__WALL) == pid && libc::WIFSTOPPED(status) {
                self.stopped += 1;
                self.look(pid, own_root);
                libc::ptrace(libc::PTRACE_DETACH, pid, none, none);
            }
        }
    }
}

fn main() {
    let stop = std::env::args().nth(1).expect("a path");
    let root = fs::metadata("/").expect("a root");
    let root = (root.dev(), root.ino());
    let mut seen = Seen::default();
    let numbers = || {
        let names = fs::read_dir("/proc").expect("procfs").flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect::<BTreeSet<i32>>()
    };
    let mut known = numbers();
    while !Path::new(&stop).exists() {
        let now = numbers();
        for pid in now.difference(&known) {
            seen.processes += 1;
            // Every other one runs on while it is looked at.
            if seen.processes % 2 == 0 {
                seen.stop(*pid, root);
            }
            seen.look(*pid, root);
        }
        known = now;
    }
    println!("processes {}\nstopped {}\npermitted {:x}", seen.processes, seen.stopped, seen.permitted);
    println!("open {:?}\nroots {:?}", seen.open, seen.roots);
}
