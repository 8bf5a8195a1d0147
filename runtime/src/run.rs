//! `run`: create, start, wait, delete.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::foreground::Foreground;
use crate::{create, foreground, trace};
use libcontainer::{Container, CreateOptions, ErrorKind, Trace};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let options = create::options(invocation)?;
    let trace = options.trace.clone();
    let status = create_and_start(invocation, options);
    trace::save(invocation, trace.as_ref())?;
    status
}

fn create_and_start(invocation: &Invocation, mut options: CreateOptions) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let trace = options.trace.clone();
    let trace = trace.as_ref();
    let bundle = Trace::time(trace, "(read the bundle)", || create::bundle(invocation))?;
    let store = invocation.store()?;
    if invocation.is_set("detach") {
        let container = store.create(id, &bundle, options)?;
        let started = create::notifications(&container).and_then(|notifications| {
            container.start_traced(trace)?;
            Ok(notifications.map_or(Ok(()), |notifications| notifications.with_main_pid().relay())?)
        });
        return if started.is_err() { finish(invocation, container, started.map(|()| 0)) } else { Ok(0) };
    }
    let has_terminal = bundle.has_terminal();
    foreground::refuse_socket(options.console_socket.as_deref())?;
    options.own_console = has_terminal;
    // Before the container is there: a signal that comes while it is being made must reach it, not orphan it.
    let mut foreground = Foreground::prepare(has_terminal, !invocation.is_set("no-subreaper"))?;
    let mut container = store.create(id, &bundle, options)?;
    let status = supervise(&mut foreground, &mut container, trace);
    // The terminal is given back before anything is said.
    drop(foreground);
    Trace::time(trace, "(delete)", || finish(invocation, container, status))
}

fn supervise(foreground: &mut Foreground, container: &mut Container, trace: Option<&Trace>) -> Result<u8, Failure> {
    let console = container.child().and_then(|child| child.take_console());
    foreground.attach(console)?;
    let notifications = create::notifications(container)?;
    container.start_traced(trace)?;
    if let Some(notifications) = notifications {
        // Ends with the container, or with us.
        std::thread::spawn(|| notifications.relay().inspect_err(|error| ::log::warn!("{error}")));
    }
    let child = container.child().ok_or_else(not_our_child)?;
    Trace::time(trace, "(the program runs)", || foreground.wait(child))
}

/// Stays with a container that runs already.
pub(crate) fn wait(foreground: &mut Foreground, container: &mut Container) -> Result<u8, Failure> {
    let child = container.child().ok_or_else(not_our_child)?;
    foreground.attach(child.take_console())?;
    foreground.wait(child)
}

fn not_our_child() -> Failure {
    Failure::new("the container's process is not our child")
}

/// What `run` made, `run` removes, unless the caller keeps it.
fn finish(invocation: &Invocation, container: Container, status: Result<u8, Failure>) -> Result<u8, Failure> {
    if invocation.is_set("keep") { status } else { delete(container, status) }
}

/// What made it fail is worth more than whether it can be deleted. A program's status is not: what is left would be taken for nothing.
pub(crate) fn delete(container: Container, status: Result<u8, Failure>) -> Result<u8, Failure> {
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
