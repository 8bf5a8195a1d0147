//! A state.json.
#![no_main]
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| libcontainer::fuzz::state(bytes));
fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { mutate::json(data, size, max, seed, DONORS) });

const DONORS: &[&str] = &[include_str!("../seeds/state/everything.json")];
