//! `features`: what this runtime can do.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::print;
use libcontainer::Features;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

pub(crate) fn run(_: &Invocation) -> Result<u8, Failure> {
    let mut json = Vec::with_capacity(8192);
    let formatter = PrettyFormatter::with_indent(b"    ");
    let written = Features::of_this_host().serialize(&mut Serializer::with_formatter(&mut json, formatter));
    written.map_err(|error| Failure::new(error.to_string()))?;
    json.push(b'\n');
    print(&json)?;
    Ok(0)
}
