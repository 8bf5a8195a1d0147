//! `start`: lets a created container run its program.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::{create, trace};
use libcontainer::Notifications;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let trace = trace::wanted(invocation);
    let notifications = create::notifications(&container)?.map(Notifications::with_main_pid);
    let started = container.start_traced(trace.as_ref());
    trace::save(invocation, trace.as_ref())?;
    started?;
    notifications.map_or(Ok(()), Notifications::relay)?;
    Ok(0)
}
