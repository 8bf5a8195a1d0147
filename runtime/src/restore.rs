//! `restore`: starts a container from a checkpoint.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::pending::{self, CriuOptions};
use crate::{checkpoint, create};
use libcontainer::CreateOptions;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let id = invocation.id()?;
    let owned = |name| invocation.text(name).map(|text| text.map(str::to_owned));
    let criu = CriuOptions {
        lsm_profile: owned("lsm-profile")?,
        lsm_mount_context: owned("lsm-mount-context")?,
        ..checkpoint::options(invocation)?
    };
    let bundle = create::bundle(invocation)?;
    let mut options = CreateOptions::default();
    options.pid_file = invocation.path("pid-file");
    options.console_socket = invocation.path("console-socket");
    options.no_pivot = invocation.is_set("no-pivot");
    options.cgroup_manager = invocation.cgroup_manager()?;
    pending::restore(id, &bundle, &options, &criu)
}
