//! What rustix lacks: calls, each behind a safe function, and two things that everybody needs. With cgroup/bpf.rs the host side's
//! only unsafe code.
#![allow(unsafe_code)]
mod arch;
mod helper;
mod pidfd;
mod thread;

pub(crate) use helper::{Helper, Running, start};
pub(crate) use pidfd::{exit_code, pidfd_open, pidfd_send_signal};
pub(crate) use thread::on_a_thread;

use rustix::fd::AsFd;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::ffi::{CStr, CString};
use std::os::raw::{c_int, c_long, c_void};

fn check(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}

/// `struct clone_args` (clone(2)).
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What a child of clone3(2) that has our memory does. It never returns: there is nothing above it on its stack.
type Child = unsafe extern "C" fn(*mut c_void) -> !;

const CLONE_VM: u64 = 0x100;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the cloned child needs, all of it prepared by the parent, whose memory it shares.
struct Entry {
    program: c_int,
    socket: c_int,
    /// What goes where.
    moves: *mut Move,
    count: usize,
    /// First descriptor that must not reach init.
    first: c_int,
    argv: [*const u8; 3],
    envp: [*const u8; 1],
    /// What failed, for the parent to read: which of `CALLS`, and how.
    call: usize,
    errno: i32,
}

/// A descriptor and the number that it gets in init.
#[derive(Clone, Copy)]
struct Move {
    from: c_int,
    to: c_int,
}

/// The `errno` of a child that has not come to life.
const UNBORN: i32 = -1;

/// What the child does on its way to init.
const CALLS: [&str; 5] = ["clone3", "dup3", "close_range", "execveat", "fcntl"];
const DUP3: usize = 1;
const CLOSE_RANGE: usize = 2;
const EXECVEAT: usize = 3;
const FCNTL: usize = 4;

/// Why there is no init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unborn {
    pub(crate) call: &'static str,
    pub(crate) errno: Errno,
}

impl From<Errno> for Unborn {
    fn from(errno: Errno) -> Unborn {
        Unborn { call: "clone3", errno }
    }
}

/// How init is started.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    /// A sealed memfd (or a file) with the program.
    pub(crate) program: BorrowedFd<'a>,
    /// The end of the socket that init gets.
    pub(crate) socket: BorrowedFd<'a>,
    /// What become descriptors 0 to 2: any open ones, each any number of times. `None`: what is there already.
    pub(crate) stdio: Option<[c_int; 3]>,
    /// What become descriptors from 3 on.
    pub(crate) preserve: &'a [OwnedFd],
    /// `CLONE_NEW*` flags.
    pub(crate) namespaces: u32,
    /// cgroup v2 directory to be born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

impl Spawn<'_> {
    fn moves(&self) -> Vec<Move> {
        let preserve = self.preserve.iter().map(AsRawFd::as_raw_fd).zip(3..);
        let streams = self.stdio.into_iter().flatten().zip(0..);
        streams.chain(preserve).map(|(from, to)| Move { from, to }).collect()
    }
}

/// The first number that init is given nothing at.
pub(crate) fn first_free(preserve: &[OwnedFd]) -> Result<c_int, Errno> {
    c_int::try_from(3 + preserve.len()).map_err(|_| Errno::INVAL)
}

/// Starts init; its pid and a pidfd.
///
/// The child shares this process's memory until it executes the program (`CLONE_VM | CLONE_VFORK`), so the
/// size of the caller does not matter; it runs on a stack of its own and calls nothing but a few system calls.
pub(crate) fn spawn(spawn: &Spawn<'_>) -> Result<(i32, OwnedFd), Unborn> {
    let first = first_free(spawn.preserve)?;
    // The child puts others in those places.
    debug_assert!(spawn.program.as_raw_fd() >= first && spawn.socket.as_raw_fd() >= first, "see above()");
    let mut moves = spawn.moves();
    let number = CString::new(spawn.socket.as_raw_fd().to_string()).map_err(|_| Errno::INVAL)?;
    let mut entry = Entry {
        program: spawn.program.as_raw_fd(),
        socket: spawn.socket.as_raw_fd(),
        moves: moves.as_mut_ptr(),
        count: moves.len(),
        first,
        argv: [c"init".as_ptr().cast(), number.as_ptr().cast(), std::ptr::null()],
        envp: [std::ptr::null()],
        call: 0,
        errno: UNBORN,
    };
    let mut stack = [0u128; 1024];
    let mut pidfd: c_int = -1;
    let into_cgroup = spawn.cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    let args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | into_cgroup | u64::from(spawn.namespaces),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        stack: stack.as_mut_ptr() as u64,
        stack_size: size_of_val(&stack) as u64,
        cgroup: spawn.cgroup.map_or(0, |cgroup| u64::from(cgroup.as_raw_fd().unsigned_abs())),
        ..CloneArgs::default()
    };
    let born = with_signals_blocked(|| {
        // SAFETY: the child runs `enter` on `stack`, which with `entry` and `moves` outlives it: with CLONE_VFORK this thread
        // is suspended until the child has executed a program or ended.
        unsafe { arch::clone3(&args, enter, (&raw mut entry).cast()) }
    })?;
    let pid = child_number(born)?;
    // SAFETY: all were written behind the compiler's back: `pidfd` by the kernel, the others by the child, which is gone from here.
    let (pidfd, errno, call) = unsafe {
        (
            (&raw const pidfd).read_volatile(),
            (&raw const entry.errno).read_volatile(),
            (&raw const entry.call).read_volatile(),
        )
    };
    // SAFETY: clone3 succeeded and made it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // KERNEL(6.14): who is born into a group of which somebody has once written to `cgroup.kill` is killed at birth, because the kernel
    // compares with what the parent's group has seen of that. It may come in later.
    let killed = errno == UNBORN && spawn.cgroup.is_some();
    if errno > 0 || killed {
        // may fail: nobody else waits for it; what is reported is why it has ended.
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        let call = CALLS.get(call).copied().unwrap_or("clone3");
        return Err(if killed { Errno::BUSY.into() } else { Unborn { call, errno: Errno::from_raw_os_error(errno) } });
    }
    Ok((pid, pidfd))
}

/// The number of the child that clone3(2) has made.
fn child_number(result: i64) -> Result<i32, Errno> {
    match i32::try_from(result) {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err(Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EIO))),
    }
}

/// A handler of the caller's must not run in a child that has its memory but not its thread. (Init unblocks them.)
fn with_signals_blocked<T>(clone: impl FnOnce() -> T) -> Result<T, Errno> {
    let mut blocked = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `blocked` is filled before it is used.
    let result = unsafe {
        libc::sigfillset(blocked.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), before.as_mut_ptr())
    };
    if result != 0 {
        return Err(Errno::from_raw_os_error(result));
    }
    let result = clone();
    // SAFETY: `before` was written by the call above, which did not fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    Ok(result)
}

/// What the container gets as its standard streams: those given, or (`None`) the caller's own as they are. One of those that the
/// caller has closed is the null device, as every runtime written in Go has it; what has come to its number since is ours, and
/// close-on-exec.
pub(crate) fn standard_streams(given: Option<[c_int; 3]>) -> Result<(Option<[c_int; 3]>, Option<OwnedFd>), Errno> {
    if let Some(streams) = given {
        for stream in streams {
            // SAFETY: numbers only; a closed descriptor is EBADF.
            check(unsafe { libc::syscall(libc::SYS_fcntl, stream, libc::F_GETFD) })?;
        }
        return Ok((given, None));
    }
    let mut open = [true; 3];
    for (open, stream) in open.iter_mut().zip(0..) {
        *open = match is_inheritable(stream) {
            Err(Errno::BADF) => false,
            asked => asked.map(|()| true)?,
        };
    }
    if open == [true; 3] {
        return Ok((None, None));
    }
    let null = above(rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?, 3)?;
    let stream = |number: usize| if open[number] { [0, 1, 2][number] } else { null.as_raw_fd() };
    Ok((Some([stream(0), stream(1), stream(2)]), Some(null)))
}

/// The same descriptor under a number that is not below `least`, where others belong, or a caller has left room for others.
pub(crate) fn above(descriptor: OwnedFd, least: c_int) -> Result<OwnedFd, Errno> {
    if descriptor.as_raw_fd() >= least { Ok(descriptor) } else { rustix::io::fcntl_dupfd_cloexec(descriptor, least) }
}

/// What the child does: arrange its descriptors, become init.
///
/// # Safety
/// `entry` is a valid `Entry`, with as many moves as it says, and its strings end with a NUL.
unsafe extern "C" fn enter(entry: *mut c_void) -> ! {
    let entry = entry.cast::<Entry>();
    // SAFETY: raw system calls only (a libc function could touch the parent's thread-local errno or take a lock);
    // the descriptor table is the child's own copy.
    unsafe {
        (&raw mut (*entry).errno).write_volatile(0);
        let fail = |call: usize, result: i64| -> ! {
            (&raw mut (*entry).call).write_volatile(call);
            (&raw mut (*entry).errno).write_volatile(i32::try_from(-result).unwrap_or(libc::EIO));
            arch::raw(libc::SYS_exit_group, 127, 0, 0, 0, 0);
            // A filter around us may forbid even that. No handler is left that could run instead.
            arch::fault()
        };
        let moves = std::slice::from_raw_parts_mut((*entry).moves, (*entry).count);
        // Out of the way first: a source may stand where another one goes. Even one that stays in place may be close-on-exec.
        for Move { from, .. } in &mut *moves {
            let (command, least) = (libc::F_DUPFD_CLOEXEC as usize, (*entry).first as usize);
            let result = arch::raw(libc::SYS_fcntl, *from as usize, command, least, 0, 0);
            match c_int::try_from(result) {
                Ok(number) if number >= 0 => *from = number,
                _ => fail(FCNTL, result),
            }
        }
        for Move { from, to } in moves {
            let result = arch::raw(libc::SYS_dup3, *from as usize, *to as usize, 0, 0, 0);
            if result < 0 {
                fail(DUP3, result);
            }
        }
        // Whatever the caller left open is closed by the execution of init.
        const CLOSE_RANGE_CLOEXEC: usize = 4;
        let result =
            arch::raw(libc::SYS_close_range, (*entry).first as usize, c_int::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0);
        if result < 0 {
            fail(CLOSE_RANGE, result);
        }
        let result = arch::raw(libc::SYS_fcntl, (*entry).socket as usize, libc::F_SETFD as usize, 0, 0, 0);
        if result < 0 {
            fail(FCNTL, result);
        }
        let (argv, envp) = ((*entry).argv.as_ptr() as usize, (*entry).envp.as_ptr() as usize);
        let flags = libc::AT_EMPTY_PATH as usize;
        let result = arch::raw(libc::SYS_execveat, (*entry).program as usize, c"".as_ptr() as usize, argv, envp, flags);
        fail(EXECVEAT, result)
    }
}

/// `struct mount_attr` for `mount_setattr(2)`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MountAttr {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// `mount_setattr(2)` on the mount behind `mount`.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an empty string and a struct of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// `prlimit(2)` of another process: sets `resource`.
pub(crate) fn prlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one rlimit64 and writes none.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, std::ptr::null_mut::<u8>()) })
        .map(drop)
}

/// `struct sched_attr` up to and with `sched_period`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// `sched_setattr(2)` of another process, if it has one thread.
pub(crate) fn sched_setattr(pid: i32, attributes: &SchedAttr) -> Result<(), Errno> {
    // SAFETY: the struct says its own size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, std::ptr::from_ref(attributes), 0) }).map(drop)
}

/// Makes `fd` exist without close-on-exec in no program: a memfd for `name`, executable where the kernel asks.
pub(crate) fn memfd(name: &CStr, executable: bool) -> Result<OwnedFd, Errno> {
    // KERNEL(6.3): MFD_EXEC; before, every memfd was executable and the flag is EINVAL.
    const MFD_EXEC: u32 = 0x10;
    const MFD_NOEXEC_SEAL: u32 = 0x8;
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: a NUL-terminated name.
    let create = |flags: u32| check(unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) });
    let flags = if executable { MFD_EXEC } else { MFD_NOEXEC_SEAL };
    let fd = match create(base | flags) {
        Err(Errno::INVAL) => create(base)?,
        created => created?,
    };
    // SAFETY: just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(fd).unwrap_or(-1)) })
}

/// Whether descriptor `number` was inherited for others to inherit: what this process has opened itself is close-on-exec.
pub(crate) fn is_inheritable(number: u32) -> Result<(), Errno> {
    // SAFETY: numbers only; asking about a closed descriptor is EBADF.
    let flags = check(unsafe { libc::syscall(libc::SYS_fcntl, number, libc::F_GETFD) })?;
    if flags & c_long::from(libc::FD_CLOEXEC) == 0 { Ok(()) } else { Err(Errno::BADF) }
}

/// The process that listens at the other end of a Unix socket; 0 if our pid namespace does not know it (unix(7), `SO_PEERCRED`).
pub(crate) fn peer_pid(socket: BorrowedFd<'_>) -> Result<i32, Errno> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(|_| Errno::INVAL)?;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: the kernel writes no more than one ucred, the length that it is told.
    let got = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut peer).cast(), &raw mut length) };
    check(got.into()).map(|_| peer.pid)
}

/// Errors of this netlink socket come with the kernel's own words (netlink(7)); nothing is lost without them.
pub(crate) fn set_extended_ack(socket: BorrowedFd<'_>) {
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        let on: c_int = 1;
        // SAFETY: the kernel reads one int, which has four bytes.
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), 4) };
    }
}

/// Whether seccomp(2) knows these flags. A filter at address 0 cannot be read, so that nothing is ever loaded: EFAULT
/// means that the flags got through, EINVAL that they did not.
pub(crate) fn knows_seccomp_flags(flags: libc::c_ulong) -> bool {
    let nothing = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel reads from the null pointer through copy_from_user(), which fails with EFAULT without touching
    // our memory; only a mapping at address 0, which vm.mmap_min_addr forbids, could change that.
    let answer = check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, nothing) });
    answer == Err(Errno::FAULT)
}

/// A way to name what a descriptor stands for to calls that take paths only.
pub(crate) fn fd_path(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Writes everything.
pub(crate) fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Err(Errno::INTR) => {}
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

/// Gives this thread, and whom it starts, a mount namespace of its own: not the rest of the process.
pub(crate) fn unshare_mounts() -> Result<(), Errno> {
    // SAFETY: CLONE_NEWNS implies CLONE_FS, of which the other threads keep theirs; descriptors stay shared.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_FS) }.into()).map(drop)
}

/// Gives this thread a root and a working directory of its own, as setns(2) asks of who enters a mount namespace.
pub(crate) fn unshare_fs() -> Result<(), Errno> {
    // SAFETY: the other threads keep theirs.
    check(unsafe { libc::unshare(libc::CLONE_FS) }.into()).map(drop)
}

/// `fstat(2)` of a descriptor that the caller's caller has opened.
pub(crate) fn fstat(number: i32) -> Result<libc::stat, Errno> {
    let mut stat = std::mem::MaybeUninit::uninit();
    // SAFETY: the kernel writes one stat; asking about a closed descriptor is EBADF.
    check(unsafe { libc::fstat(number, stat.as_mut_ptr()) }.into())?;
    // SAFETY: written, as the call has succeeded.
    Ok(unsafe { stat.assume_init() })
}

/// A second descriptor for one that the caller's caller has opened, close-on-exec.
pub(crate) fn duplicate(number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: numbers only; a closed descriptor is EBADF.
    let copy = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }.into())?;
    // SAFETY: just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(copy).unwrap_or(-1)) })
}

#[cfg(test)]
mod tests;
