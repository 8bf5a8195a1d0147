//! What the kernel answers over rtnetlink.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::netlink(bytes));
