//! `create`: makes a container from a bundle.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::terminal;
use libcontainer::{Bundle, CreateOptions};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let bundle = bundle(invocation)?;
    let options = options(invocation)?;
    terminal::check(has_terminal(&bundle), true, options.console_socket.as_deref())?;
    invocation.store()?.create(id, &bundle, &options)?;
    Ok(0)
}

/// The bundle that `--bundle` names.
pub(crate) fn bundle(invocation: &Invocation) -> Result<Bundle, Failure> {
    Ok(Bundle::open(invocation.path("bundle").unwrap_or_else(|| ".".into()))?)
}

/// Whether the container's process wants a terminal.
pub(crate) fn has_terminal(bundle: &Bundle) -> bool {
    bundle.spec().process().as_ref().and_then(|process| process.terminal()).unwrap_or(false)
}

/// What the flags of `create` and `run` decide.
pub(crate) fn options(invocation: &Invocation) -> Result<CreateOptions, Failure> {
    let mut options = CreateOptions::default();
    options.pid_file = invocation.path("pid-file");
    options.console_socket = invocation.path("console-socket");
    options.pidfd_socket = invocation.path("pidfd-socket");
    options.preserve_fds = invocation.number("preserve-fds")?.unwrap_or(0);
    options.no_pivot = invocation.is_set("no-pivot");
    options.no_new_keyring = invocation.is_set("no-new-keyring");
    options.cgroup_manager = invocation.cgroup_manager()?;
    crate::pending::rootless_cgroups(&mut options, invocation.rootless()?);
    Ok(options)
}
