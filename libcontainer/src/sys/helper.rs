//! Programs of the host's that are started with less, or more, than the caller has.
use super::check;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::raw::c_int;

/// How a helper program is to begin.
#[derive(Debug, Default)]
pub(crate) struct Helper {
    /// Descriptors that it keeps, under the numbers that they have here. Nothing else above the standard streams is left open.
    pub(crate) keep: Vec<OwnedFd>,
    /// Files of cgroups into which it writes `0`, to join them: `tasks` (v1), `cgroup.procs` (v2).
    pub(crate) join: Vec<OwnedFd>,
    /// The name of the new session keyring that it gets instead of the caller's.
    pub(crate) keyring: Option<CString>,
    /// It may run everywhere, whatever the caller is pinned to.
    pub(crate) on_all_processors: bool,
}

/// Makes `command` begin as `helper` says.
pub(crate) fn prepare(command: &mut std::process::Command, helper: Helper) {
    use std::os::unix::process::CommandExt;
    let begin = move || {
        // SAFETY: numbers only.
        check(unsafe { libc::syscall(libc::SYS_close_range, 3, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
        for kept in &helper.keep {
            // SAFETY: a descriptor that `helper` owns, and a number.
            check(unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0) }.into())?;
        }
        helper.join.iter().try_for_each(|group| rustix::io::write(group, b"0").map(drop))?;
        if helper.on_all_processors {
            // As many as any kernel is built for. May fail, as in init: under a seccomp filter the inherited affinity stays.
            let all = [u8::MAX; 1024];
            // SAFETY: readable for the length given.
            unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, all.len(), all.as_ptr()) };
        }
        if let Some(name) = &helper.keyring {
            // SAFETY: a NUL-terminated name.
            match check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }) {
                // As in init: without keyrings there is none to keep from anybody.
                Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => {}
                joined => joined.map(drop)?,
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(begin) };
}
