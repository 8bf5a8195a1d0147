//! A /proc/PID/cgroup.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::places(bytes));
