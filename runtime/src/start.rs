//! `start`: lets a created container run its program.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    invocation.store()?.load(invocation.id()?)?.start()?;
    Ok(0)
}
