//! A subuid(5).
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::subids(bytes));
