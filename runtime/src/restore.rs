//! `restore`: starts a container from a checkpoint.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::foreground::Foreground;
use crate::{checkpoint, create, foreground};
use libcontainer::{CreateOptions, CriuOptions};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let criu = criu_options(invocation)?;
    let bundle = create::bundle(invocation)?;
    let store = invocation.store()?;
    let mut options = CreateOptions::default();
    options.pid_file = invocation.path("pid-file");
    options.console_socket = invocation.path("console-socket");
    options.no_pivot = invocation.is_set("no-pivot");
    options.cgroup_manager = invocation.cgroup_manager()?;
    options.rootless = invocation.rootless()?;
    if options.no_pivot {
        ::log::warn!("--no-pivot: CRIU uses pivot_root(2) all the same");
    }
    if invocation.is_set("detach") {
        store.restore(id, &bundle, &options, &criu)?;
        return Ok(0);
    }
    let has_terminal = create::has_terminal(&bundle);
    foreground::refuse_socket(options.console_socket.as_deref())?;
    options.own_console = has_terminal;
    let mut foreground = Foreground::prepare(has_terminal, !invocation.is_set("no-subreaper"))?;
    let mut container = store.restore(id, &bundle, &options, &criu)?;
    let status = crate::run::wait(&mut foreground, &mut container);
    // The terminal is given back before anything is said.
    drop(foreground);
    crate::run::delete(container, status)
}

fn criu_options(invocation: &Invocation) -> Result<CriuOptions, Failure> {
    let owned = |name| invocation.text(name).map(|text| text.map(str::to_owned));
    let mut options = checkpoint::options(invocation)?;
    options.tcp_close = invocation.is_set("tcp-close");
    options.lsm_profile = owned("lsm-profile")?;
    options.lsm_mount_context = owned("lsm-mount-context")?;
    Ok(options)
}
