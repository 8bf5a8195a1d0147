//! Namespaces that the container has joined: CRIU saves none of them, and is given them at the restore.
#![forbid(unsafe_code)]
use super::{Message, inherited, option};
use crate::plan::{asked_namespace, namespace_file};
use crate::sys::Helper;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Those that CRIU leaves to others, and what runc and crun call them in the images.
const EXTERNAL: [(LinuxNamespaceType, &str); 2] =
    [(LinuxNamespaceType::Network, "extRootNetNS"), (LinuxNamespaceType::Pid, "extRootPidNS")];

/// Those that CRIU joins by itself (criu(8), `--join-ns`).
const JOINED: [LinuxNamespaceType; 4] =
    [LinuxNamespaceType::Ipc, LinuxNamespaceType::Uts, LinuxNamespaceType::Mount, LinuxNamespaceType::Time];

/// Those that it cannot: it has no option for the one, and a process of the other may not open its file.
const NEVER: [LinuxNamespaceType; 2] = [LinuxNamespaceType::Cgroup, LinuxNamespaceType::User];

/// Which are saved by a name only.
pub(crate) fn for_dump(mut options: Message, spec: &Spec) -> Result<Message> {
    for (kind, key) in EXTERNAL {
        if let Some(Some(path)) = asked_namespace(spec, kind) {
            let inode = rustix::fs::stat(path).map_err(|errno| failed("look at", "stat", path, errno))?.st_ino;
            options = options.text(option::EXTERNAL, format!("{}[{inode}]:{key}", namespace_file(kind)));
        }
    }
    Ok(options)
}

/// An error if one is joined that CRIU cannot restore into.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    match NEVER.into_iter().find(|kind| matches!(asked_namespace(spec, *kind), Some(Some(_)))) {
        Some(kind) => {
            let message = format!("CRIU cannot restore into a {kind} namespace that is there already");
            Err(Error::new(ErrorKind::Unsupported, message).at("/linux/namespaces"))
        }
        None => Ok(()),
    }
}

/// Which are not made anew. Those that CRIU gets as descriptors, `helper` keeps open.
pub(crate) fn for_restore(spec: &Spec, helper: &mut Helper) -> Result<Message> {
    let mut options = Message::default();
    for (kind, key) in EXTERNAL {
        if let Some(Some(path)) = asked_namespace(spec, kind) {
            let namespace = open(path)?;
            options = options.message(option::INHERIT_FD, &inherited(key, namespace.as_raw_fd()));
            helper.keep.push(namespace);
        }
    }
    for kind in JOINED {
        if let Some(Some(path)) = asked_namespace(spec, kind) {
            let joined = Message::default().text(1, namespace_file(kind)).text(2, path.as_os_str().as_bytes());
            options = options.message(option::JOIN_NS, &joined);
        }
    }
    Ok(options)
}

fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open", "open", path, errno))
}

fn failed(what: &str, call: &str, path: &Path, errno: rustix::io::Errno) -> Error {
    let call = format!("{call}({})", path.display());
    Error::system(format!("{what} a namespace"), call, errno).at("/linux/namespaces")
}
