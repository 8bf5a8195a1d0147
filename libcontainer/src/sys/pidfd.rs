//! Processes by descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd ioctls.
use super::check;
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

/// `pidfd_open(2)` of a number that somebody has told or written down: one that can be nobody's, which to rustix is a mistake of
/// ours, is ESRCH as one that is nobody's.
pub(crate) fn pidfd_open(number: i32) -> Result<OwnedFd, Errno> {
    let pid = Pid::from_raw(number.max(0)).ok_or(Errno::SRCH)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

/// `pidfd_send_signal(2)`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no siginfo is given.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<u8>(), 0) })
        .map(drop)
}

/// `struct pidfd_info` of linux/pidfd.h, as far as Linux 6.13 has it.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// Its pid, its parent's, its user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

/// How a process has ended that somebody has waited for, or whose parent waits for nobody, as wait(2) says it. KERNEL(6.15):
/// `PIDFD_INFO_EXIT`; `None` before, and as long as it has not been waited for.
pub(crate) fn exit_code(pidfd: BorrowedFd<'_>) -> Option<i32> {
    /// `_IOWR(0xff, 11, struct pidfd_info)`
    const PIDFD_GET_INFO: libc::c_long = 0xc040_ff0b;
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the kernel reads and writes a struct of 64 bytes, which the number of the call says.
    let asked = check(unsafe { libc::syscall(libc::SYS_ioctl, pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) });
    // may fail: a kernel that does not know the call does not tell.
    (asked.is_ok() && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);
