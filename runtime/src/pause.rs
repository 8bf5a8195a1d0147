//! `pause`: freezes a container.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    invocation.store()?.load(invocation.id()?)?.pause()?;
    Ok(0)
}
