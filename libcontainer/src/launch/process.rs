//! Processes that a plan is about: held by pidfd.
use super::wait::{self, ExitStatus, reap};
use crate::plan::asked_namespace;
use crate::{Error, ErrorKind, Result, sys};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// A child of ours.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

impl Process {
    /// Holds a child. Where our caller waits for any child, or ignores SIGCHLD, its number may be another's by now, who is none.
    pub(crate) fn hold(pid: i32) -> Result<Process> {
        let fail = |call: String| move |errno| Error::system("hold on to init", call, errno);
        let pidfd = sys::pidfd_open(pid).map_err(fail(format!("pidfd_open({pid})")))?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(pidfd.as_fd()), look).map_err(fail(format!("waitid({pid})")))?;
        Ok(Process { pid, pidfd })
    }

    /// Kills it, and waits until it has ended.
    pub(super) fn end(&self) {
        // may fail: it has ended.
        let _ = sys::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        reap(self.pidfd.as_fd());
    }

    /// The signal that it was ended by, if it was.
    pub(super) fn ending_signal(&self) -> Option<i32> {
        // may fail: how it has ended only adds to an error.
        wait::until_ended(self.pidfd.as_fd()).ok().and_then(ExitStatus::signal)
    }
}

/// A child that cannot be held on to: nobody else waits for it, so that its number is its own.
pub(super) fn end_child(pid: i32) {
    if let Some(child) = rustix::process::Pid::from_raw(pid.max(0)) {
        // may fail: it has ended. What is reported is why it could not be held.
        let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        // may fail: as was just said.
        let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
    }
}

/// The pid as the process itself sees it, which is what hooks in its namespaces are told (config.md, "Hooks").
pub(super) fn pid_inside(spec: &Spec, pid: i32) -> Result<i32> {
    match asked_namespace(spec, LinuxNamespaceType::Pid) {
        // procfs is not asked where there is no need to: it may hide it.
        None => Ok(pid),
        Some(None) => Ok(1),
        Some(Some(_)) => {
            let status = crate::facts::read(format!("/proc/{pid}/status"))?;
            let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let last = pids.and_then(|pids| pids.split_ascii_whitespace().next_back()?.parse().ok());
            last.ok_or_else(|| Error::new(ErrorKind::System, format!("/proc/{pid}/status has no line NSpid")))
        }
    }
}

/// The root directory of a process.
pub(super) fn root_of(process: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fail = |call: &str, errno| Error::system("enter the container's root", call, errno);
    let info = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let info = std::fs::read_to_string(&info)
        .map_err(|error| Error::io("enter the container's root", "read(fdinfo)", &error))?;
    // -1 once it is gone.
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap_or("-1").trim();
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|errno| fail(&format!("open({path})"), errno))?;
    // The number was its own until now.
    sys::pidfd_send_signal(process, 0).map_err(|errno| fail("pidfd_send_signal", errno))?;
    Ok(root)
}
