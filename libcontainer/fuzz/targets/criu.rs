//! What CRIU answers, and what images of anybody's hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::criu(bytes));
