//! `restore`: starts a container from a checkpoint.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::foreground::Foreground;
use crate::{checkpoint, create, foreground, trace};
use libcontainer::{CreateOptions, CriuOptions, Notifications, Trace};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let options = options(invocation)?;
    let trace = options.trace.clone();
    let status = restore(invocation, options);
    trace::save(invocation, trace.as_ref())?;
    status
}

fn restore(invocation: &Invocation, options: CreateOptions) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let criu = criu_options(invocation)?;
    let bundle = Trace::time(options.trace.as_ref(), "(read the bundle)", || create::bundle(invocation))?;
    let store = invocation.store()?;
    let has_terminal = bundle.has_terminal();
    if invocation.is_set("detach") {
        foreground::check_detached(has_terminal, options.console_socket.as_deref())?;
        let (container, _) = store.restore(id, &bundle, options, &criu)?;
        let notifications = create::notifications(&container);
        let told = notifications.and_then(|found| tell_ready(found.map(Notifications::with_main_pid)));
        return if told.is_err() { crate::run::delete(&container, told.map(|()| 0)) } else { Ok(0) };
    }
    foreground::refuse_socket(options.console_socket.as_deref())?;
    let mut foreground = Foreground::prepare(has_terminal, !invocation.is_set("no-subreaper"))?;
    let (container, mut child) = store.restore(id, &bundle, options, &criu)?;
    let told = create::notifications(&container).and_then(tell_ready);
    let status = told.and_then(|()| foreground.attach(child.console.take())).and_then(|()| foreground.wait(&child));
    // The terminal is given back before anything is said.
    drop(foreground);
    crate::run::delete(&container, status)
}

/// As for `create`, but descriptors are those of the images.
fn options(invocation: &Invocation) -> Result<CreateOptions, Failure> {
    let options = create::shared_options(invocation)?;
    if options.no_pivot {
        ::log::warn!("--no-pivot: CRIU uses pivot_root(2) all the same");
    }
    if create::listen_fds() > 0 {
        ::log::warn!("LISTEN_FDS: a restored container gets no descriptors of socket activation");
    }
    Ok(options)
}

/// The program goes on where it was: who has started us need not wait until it says that it is ready.
fn tell_ready(notifications: Option<Notifications>) -> Result<(), Failure> {
    Ok(notifications.map_or(Ok(()), Notifications::ready)?)
}

fn criu_options(invocation: &Invocation) -> Result<CriuOptions, Failure> {
    let owned = |name| invocation.text(name).map(|text| text.map(str::to_owned));
    let mut options = checkpoint::options(invocation)?;
    options.tcp_close = invocation.is_set("tcp-close");
    options.lsm_profile = owned("lsm-profile")?;
    options.lsm_mount_context = owned("lsm-mount-context")?;
    Ok(options)
}
