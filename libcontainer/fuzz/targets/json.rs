//! A file in JSON that somebody else has written.
#![no_main]
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::json(bytes));
fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { mutate::keys(data, size, max, seed, DONORS) });

const DONORS: &[&str] = &[include_str!("../seeds/config/everything.json"), include_str!("../seeds/json/resources.json")];
