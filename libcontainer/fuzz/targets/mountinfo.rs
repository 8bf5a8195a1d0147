//! A /proc/PID/mountinfo.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::mountinfo(bytes));
