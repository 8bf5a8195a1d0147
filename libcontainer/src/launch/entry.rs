//! Starting init: the embedded program, sealed, in its first namespaces and its cgroup.
use super::hints::new_namespaces;
use super::process::Process;
use super::program;
use crate::plan::line::HostStep;
use crate::sys::{self, Spawn, Unborn, write_all};
use crate::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// The program of `init/`, as build.rs has built it.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// What is behind `/proc/PID/exe` in a container: a copy that nobody can change (CVE-2019-5736).
fn sealed_program(state: BorrowedFd<'_>) -> Result<OwnedFd> {
    program::in_memory(c"plimsoll-init", state, &|file| write_all(file, PROGRAM))
        .map_err(|(call, errno)| Error::system("start init", call, errno))
}

/// What `start` is given besides the plan's line.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// A directory of the runtime's own.
    pub(crate) state: BorrowedFd<'a>,
    pub(crate) socket: OwnedFd,
    pub(crate) stdio: Option<[i32; 3]>,
    pub(crate) preserve: &'a [OwnedFd],
}

/// Plays the `clone` line: init's pid and pidfd, and the descriptors of the first slots.
pub(crate) fn start(entry: Entry<'_>, line: &HostStep) -> Result<(Process, Vec<OwnedFd>)> {
    let HostStep::Clone { namespaces, into_cgroup, tasks, .. } = line else {
        return Err(Error::new(crate::ErrorKind::System, "no clone line"));
    };
    let program = sealed_program(entry.state)?;
    let fail = |call: &'static str| move |errno| Error::system("hand on the standard streams", call, errno);
    let least = sys::first_free(entry.preserve).map_err(fail("fcntl(F_DUPFD)"))?;
    let above = |descriptor| sys::above(descriptor, least).map_err(fail("fcntl(F_DUPFD)"));
    let (program, socket) = (above(program)?, above(entry.socket)?);
    let (stdio, _null) = sys::standard_streams(entry.stdio).map_err(fail("fcntl(F_GETFD)"))?;
    let slots = tasks.iter().map(|path| open(path, OFlags::WRONLY)).collect::<Result<Vec<_>>>()?;
    let cgroup = into_cgroup.as_deref().map(|path| open(path, OFlags::PATH | OFlags::DIRECTORY)).transpose()?;
    let mut spawn = Spawn {
        program: program.as_fd(),
        socket: socket.as_fd(),
        stdio,
        preserve: entry.preserve,
        namespaces: *namespaces,
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
    };
    let (pid, pidfd) = match sys::spawn(&spawn) {
        // A threaded or non-leaf group, one that kills at birth, or a kernel before 5.7: enter it the old way, at the price of a wait.
        Err(Unborn { errno: Errno::BUSY | Errno::OPNOTSUPP | Errno::INVAL | Errno::TOOBIG, .. })
            if cgroup.is_some() =>
        {
            spawn.cgroup = None;
            let started = sys::spawn(&spawn).map_err(|unborn| explain(*namespaces, unborn))?;
            if let Some(directory) = into_cgroup {
                join(started.0, directory)?;
            }
            started
        }
        started => started.map_err(|unborn| explain(*namespaces, unborn))?,
    };
    Ok((Process { pid, pidfd }, slots))
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("adding pid to the cgroup", format!("open({})", path.display()), errno))
}

/// Moves a process into a group of cgroup v2, at the price of a wait.
pub(super) fn join(pid: i32, directory: &Path) -> Result<()> {
    let procs = open(&directory.join("cgroup.procs"), OFlags::WRONLY)?;
    write_all(&procs, pid.to_string().as_bytes()).map_err(|errno| {
        Error::system("join the cgroup", format!("write({}/cgroup.procs)", directory.display()), errno)
    })
}

/// clone3's errnos mislead: what to look at instead (clone(2)). What the child has failed in is named by itself.
fn explain(namespaces: u32, unborn: Unborn) -> Error {
    let Unborn { call, errno } = unborn;
    if call != "clone3" {
        let filtered = matches!(errno, Errno::PERM | Errno::NOSYS);
        let hint = if filtered { "hint: a seccomp filter around the runtime forbids it" } else { "" };
        return Error::system("start init", call, errno).detail(hint);
    }
    Error::system("start init", format!("clone3({namespaces:#x})"), errno).detail(new_namespaces(namespaces, errno))
}
