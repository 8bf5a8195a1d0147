//! `state`: the container's state as JSON, spelled as runc spells it (no newline at the end).
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::print;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let state = invocation.store()?.load(invocation.id()?)?.state()?;
    let json = serde_json::to_vec_pretty(&state).map_err(|error| Failure::new(error.to_string()))?;
    print(&json)?;
    Ok(0)
}
