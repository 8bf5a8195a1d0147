//! `start`: lets a created container run its program.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::trace;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let trace = trace::wanted(invocation);
    let started = container.start_traced(trace.as_ref());
    trace::save(invocation, trace.as_ref())?;
    Ok(started.map(|()| 0)?)
}
