//! `create`: makes a container from a bundle.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::{foreground, inherited, trace};
use libcontainer::{Bundle, Container, CreateOptions, Notifications, Stdio, Trace};
use std::ffi::OsString;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let options = options(invocation)?;
    let trace = options.trace.clone();
    let bundle = Trace::time(trace.as_ref(), "(read the bundle)", || bundle(invocation))?;
    foreground::check_detached(bundle.has_terminal(), options.console_socket.as_deref())?;
    let created = invocation.store()?.create(id, &bundle, options);
    trace::save(invocation, trace.as_ref())?;
    created?;
    Ok(0)
}

/// The bundle that `--bundle` names, as `--config` describes it.
pub(crate) fn bundle(invocation: &Invocation) -> Result<Bundle, Failure> {
    let directory = invocation.path("bundle").unwrap_or_else(|| ".".into());
    let Some(config) = invocation.path("config") else { return Ok(Bundle::open(directory)?) };
    // As crun takes it: from where the caller is.
    let config = std::path::absolute(config).map_err(|error| Failure::io("--config", &error))?;
    Ok(Bundle::open_with(directory, config)?)
}

/// What the flags of `create` and `run` decide.
pub(crate) fn options(invocation: &Invocation) -> Result<CreateOptions, Failure> {
    let mut options = shared_options(invocation)?;
    let preserve = invocation.number("preserve-fds")?.unwrap_or(0);
    [options.listen, options.preserve] = inherited::take(listen_fds(), preserve)?;
    Ok(options)
}

/// What they decide for `restore` as well.
pub(crate) fn shared_options(invocation: &Invocation) -> Result<CreateOptions, Failure> {
    let inherit = Stdio::inherit;
    let mut options = CreateOptions::new().stdin(inherit()).stdout(inherit()).stderr(inherit());
    options.pid_file = invocation.path("pid-file");
    options.console_socket = invocation.path("console-socket");
    options.pidfd_socket = invocation.path("pidfd-socket");
    options.notify = notify_socket().is_some();
    options.no_pivot = invocation.is_set("no-pivot");
    options.no_new_keyring = invocation.is_set("no-new-keyring");
    options.trace = trace::wanted(invocation);
    options.cgroup_manager = invocation.cgroup_manager()?;
    options.rootless = invocation.rootless()?;
    Ok(options)
}

/// Where the service manager that has started us wants to hear that the container is ready (sd_notify(3)).
pub(crate) fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// The container's end of it, open before the program runs.
pub(crate) fn notifications(container: &Container) -> Result<Option<Notifications>, Failure> {
    let opened = notify_socket().map(|socket| container.notifications(&socket));
    Ok(opened.transpose()?.flatten())
}

/// How many descriptors systemd's socket activation has left for us (sd_listen_fds(3)).
pub(crate) fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    }
}
