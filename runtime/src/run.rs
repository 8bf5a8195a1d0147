//! `run`: create, start, wait, delete.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::foreground::Foreground;
use crate::{create, foreground, trace};
use libcontainer::{Child, Container, CreateOptions, ErrorKind, Trace};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let options = create::options(invocation)?;
    let trace = options.trace.clone();
    let status = create_and_start(invocation, options);
    trace::save(invocation, trace.as_ref())?;
    status
}

fn create_and_start(invocation: &Invocation, options: CreateOptions) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let trace = options.trace.clone();
    let trace = trace.as_ref();
    let bundle = Trace::time(trace, "(read the bundle)", || create::bundle(invocation))?;
    let store = invocation.store()?;
    let has_terminal = bundle.has_terminal();
    if invocation.is_set("detach") {
        foreground::check_detached(has_terminal, options.console_socket.as_deref())?;
        let (container, _) = store.create(id, &bundle, options)?;
        let started = create::notifications(&container).and_then(|notifications| {
            container.start_traced(trace)?;
            Ok(notifications.map_or(Ok(()), |notifications| notifications.with_main_pid().relay())?)
        });
        return if started.is_err() { finish(invocation, &container, started.map(|()| 0)) } else { Ok(0) };
    }
    foreground::refuse_socket(options.console_socket.as_deref())?;
    // Before the container is there: a signal that comes while it is being made must reach it, not orphan it.
    let mut foreground = Foreground::prepare(has_terminal, !invocation.is_set("no-subreaper"))?;
    let (container, mut child) = store.create(id, &bundle, options)?;
    let status = supervise(&mut foreground, &container, &mut child, trace);
    // The terminal is given back before anything is said.
    drop(foreground);
    Trace::time(trace, "(delete)", || finish(invocation, &container, status))
}

fn supervise(
    foreground: &mut Foreground,
    container: &Container,
    child: &mut Child,
    trace: Option<&Trace>,
) -> Result<u8, Failure> {
    foreground.attach(child.console.take())?;
    let notifications = create::notifications(container)?;
    container.start_traced(trace)?;
    if let Some(notifications) = notifications {
        // Ends with the container, or with us.
        let relay = move || notifications.relay().inspect_err(|error| ::log::warn!("{error}"));
        if let Err(error) = std::thread::Builder::new().spawn(relay) {
            ::log::warn!("notifications are not handed on: {error}");
        }
    }
    Trace::time(trace, "(the program runs)", || foreground.wait(child))
}

/// What `run` made, `run` removes, unless the caller keeps it.
fn finish(invocation: &Invocation, container: &Container, status: Result<u8, Failure>) -> Result<u8, Failure> {
    if invocation.is_set("keep") { status } else { delete(container, status) }
}

/// What made it fail is worth more than whether it can be deleted. A program's status is not: what is left would be taken for nothing.
pub(crate) fn delete(container: &Container, status: Result<u8, Failure>) -> Result<u8, Failure> {
    match (container.force_delete(), status) {
        (Ok(()), status) => status,
        // A hook has failed, and took the container with it.
        (Err(error), status) if error.kind() == ErrorKind::NotFound => status,
        (Err(error), Ok(status)) => Err(Failure::new(format!(
            "the program ended with status {status}, but the container is not deleted: {error}"
        ))),
        (Err(error), failed) => {
            ::log::warn!("{error}");
            failed
        }
    }
}
