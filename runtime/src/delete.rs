//! `delete`: removes what a container holds.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use libcontainer::ErrorKind;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let force = invocation.is_set("force");
    let container = invocation.store()?.load(invocation.id()?);
    match container.and_then(|container| container.delete(force)) {
        Err(error) if force && error.kind() == ErrorKind::DoesNotExist => Ok(0),
        outcome => Ok(outcome.map(|()| 0)?),
    }
}
