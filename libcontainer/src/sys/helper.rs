//! Programs of the host's that are started with less, or more, than the caller has.
use super::thread::vfork;
use super::{CLONE_CLEAR_SIGHAND, CLONE_PIDFD, CloneArgs, Unborn, above, check};
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int};

/// How a helper program is to begin. Its directory is `/`, and no signal is blocked.
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

/// A program that runs. Whoever holds this ends it, or waits for it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pidfd: OwnedFd,
    ended: Option<WaitIdStatus>,
}

impl Running {
    /// Until it has ended, and how.
    pub(crate) fn wait(&mut self) -> Result<&WaitIdStatus, Errno> {
        let ended = match self.ended.take() {
            Some(ended) => ended,
            None => loop {
                match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                    Err(Errno::INTR) => {}
                    waited => break waited?.ok_or(Errno::CHILD)?,
                }
            },
        };
        Ok(self.ended.insert(ended))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // may fail: it has ended.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
            // may fail: it has been waited for.
            let _ = self.wait();
        }
    }
}

/// Executes `argv[0]`. Not by std, which says of a program that was executed that it was not, waits for its end and panics, where
/// a pipe of its own fails.
pub(crate) fn start(
    argv: &[CString],
    envp: &[CString],
    streams: [OwnedFd; 3],
    helper: &Helper,
) -> Result<Running, Unborn> {
    let [stdin, stdout, stderr] = streams;
    let streams = [above(stdin, 3)?, above(stdout, 3)?, above(stderr, 3)?];
    let pointers = |words: &[CString]| -> Vec<*const c_char> {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(argv), pointers(envp));
    let mut pidfd: c_int = -1;
    let mut failed = None;
    let args = CloneArgs {
        flags: CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        ..CloneArgs::default()
    };
    let pid = vfork(args, libc::SYS_exit_group, || {
        let begun = begin(&streams, helper).and_then(|()| {
            // SAFETY: both lists end with a null pointer, and what they point to ends with a NUL; there is at least one word.
            let executed = unsafe { libc::execve(argv[0], argv.as_ptr(), envp.as_ptr()) };
            check(executed.into()).map(drop).map_err(because("execve"))
        });
        failed = begun.err();
    })?;
    // SAFETY: written behind the compiler's back by the kernel, which made it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd((&raw const pidfd).read_volatile()) };
    let running = Running { pid, pidfd, ended: None };
    match failed {
        None => Ok(running),
        Some(why) => Err(why),
    }
}

fn because(call: &'static str) -> impl Fn(Errno) -> Unborn {
    move |errno| Unborn { call, errno }
}

/// What the child does before: system calls only, as other threads may hold any lock.
fn begin(streams: &[OwnedFd; 3], helper: &Helper) -> Result<(), Unborn> {
    // What is ignored stays so: the first by std, the second by callers who do not want to wait for children.
    for signal in [libc::SIGPIPE, libc::SIGCHLD] {
        // SAFETY: the default, in a process whose table of handlers is its own.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return check(-1).map(drop).map_err(because("rt_sigaction"));
        }
    }
    for (number, stream) in (0..).zip(streams) {
        // SAFETY: numbers only; the table is the child's own copy.
        check(unsafe { libc::dup2(stream.as_raw_fd(), number) }.into()).map_err(because("dup2"))?;
    }
    // SAFETY: a NUL-terminated path.
    check(unsafe { libc::chdir(c"/".as_ptr()) }.into()).map_err(because("chdir"))?;
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map_err(because("close_range"))?;
    for kept in &helper.keep {
        // SAFETY: a descriptor that `helper` owns, and a number.
        check(unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0) }.into()).map_err(because("fcntl"))?;
    }
    for group in &helper.join {
        rustix::io::write(group, b"0").map_err(because("write"))?;
    }
    if helper.on_all_processors {
        // As many as any kernel is built for. May fail, as in init: under a seccomp filter the inherited affinity stays.
        let all = [u8::MAX; 1024];
        // SAFETY: readable for the length given.
        unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, all.len(), all.as_ptr()) };
    }
    if let Some(name) = &helper.keyring {
        join_keyring(name).map_err(because("keyctl"))?;
    }
    // Last, when nothing that the caller knows of could run in its place any more.
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: filled before it is used.
    let unblocked = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    check(unblocked.into()).map(drop).map_err(because("rt_sigprocmask"))
}

fn join_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated name.
    match check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }) {
        // As in init: without keyrings there is none to keep from anybody.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(()),
        joined => joined.map(drop),
    }
}
