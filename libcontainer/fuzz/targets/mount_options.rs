//! Options of a mount, one a line.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::mount_options(bytes));
