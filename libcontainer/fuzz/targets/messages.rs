//! What init and the host say to each other.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::messages(bytes));
