//! The only unsafe code of init but its entry: system calls that rustix lacks or keeps to itself, each behind a safe function.
#![allow(unsafe_code)]

mod exec;

pub use exec::{execve, pointers};

use crate::arch;
use core::ffi::{CStr, c_char, c_void};
use linux_raw_sys::general as nr;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Pid;

/// The system call's result, or its errno.
///
/// # Safety
/// The arguments have to be what call `number` asks for: every pointer among them valid for what the kernel
/// reads or writes there.
unsafe fn syscall(number: u32, a: [usize; 5]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise. No call here has a sixth argument that is not 0.
    let result = unsafe { arch::syscall(number as usize, [a[0], a[1], a[2], a[3], a[4], 0]) };
    match result {
        -4095..=-1 => Err(Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(0))),
        _ => Ok(result.unsigned_abs()),
    }
}

fn fd(fd: BorrowedFd<'_>) -> usize {
    // A descriptor is never negative.
    usize::try_from(fd.as_raw_fd()).unwrap_or(usize::MAX)
}

/// The kernel's `argv[index]` as a number; 0 if it is none.
///
/// # Safety
/// `stack` is the stack as the kernel set it up for a new program.
pub unsafe fn argument(stack: *const usize, index: usize) -> i32 {
    // SAFETY: argc is at the top, and argv[index] exists if index < argc.
    let text = unsafe {
        if *stack <= index {
            return 0;
        }
        CStr::from_ptr((*stack.add(1 + index)) as *const c_char)
    };
    text.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The descriptor that the host left open for us. To be called once, when init begins.
pub fn adopt(number: i32) -> OwnedFd {
    // A caller of this program that names none gets none: -1 is the one number that an `OwnedFd` may not have.
    if number < 0 {
        exit(1)
    }
    // SAFETY: not -1, and at the beginning of the process nothing in it owns any descriptor. The host's side left exactly this one
    // open for us to own.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// `exit_group(2)`; where a filter denies it, `exit(2)`, which is the same for a process of one thread; and where that is denied
/// too, a fault, which no filter sees. Init never goes on, and never spins.
pub fn exit(status: i32) -> ! {
    let status = status.unsigned_abs() as usize;
    // SAFETY: no pointers; what returns has done nothing.
    unsafe {
        let _ = syscall(nr::__NR_exit_group, [status, 0, 0, 0, 0]);
        let _ = syscall(nr::__NR_exit, [status, 0, 0, 0, 0]);
    }
    arch::fault()
}

/// Anonymous memory, zeroed, private, never given back: a plan lives until `execve`.
pub fn memory(len: usize) -> Result<&'static mut [u8], Errno> {
    const PROT_READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let len = len.max(1);
    // The sixth argument (offset) is 0 and the fifth -1: no file.
    // SAFETY: a fresh mapping of `len` bytes, which nothing else refers to.
    unsafe {
        let at = syscall(nr::__NR_mmap, [0, len, PROT_READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX])?;
        Ok(core::slice::from_raw_parts_mut(at as *mut u8, len))
    }
}

/// Gives back what earlier steps have used of the stack, and their code: the container may wait here for days.
pub fn release_used_pages() {
    const PAGE: usize = 4096;
    /// How deep the deepest step goes, generously.
    const DEPTH: usize = 24 * PAGE;
    // Below the stack pointer the System V ABI for x86_64 lets a function use so much more.
    const RED_ZONE: usize = 128;
    let end = (arch::stack_pointer() - RED_ZONE) & !(PAGE - 1);
    // SAFETY: below the stack pointer there is nothing that anybody still reads.
    unsafe { forget(end - DEPTH, end) };
    #[cfg(not(test))]
    {
        unsafe extern "C" {
            /// What is between them runs before a container waits (layout.ld).
            static init_past_from: u8;
            static init_past_to: u8;
        }
        let (from, to) = (&raw const init_past_from as usize, &raw const init_past_to as usize);
        // SAFETY: whole pages of code. Nobody has written to them, and who needs them finds them in the file.
        unsafe { forget(from.next_multiple_of(PAGE), to & !(PAGE - 1)) };
    }
}

/// # Safety
/// Nobody reads again what is between these two pages, or it is as the file has it.
unsafe fn forget(from: usize, to: usize) {
    const MADV_DONTNEED: usize = 4;
    // What was never used is not mapped, and the kernel says so without doing harm.
    // SAFETY: the caller's promise.
    let _ = unsafe { syscall(nr::__NR_madvise, [from, to.saturating_sub(from), MADV_DONTNEED, 0, 0]) };
}

/// The whole words in it.
pub fn as_words(memory: &'static mut [u8]) -> &'static mut [usize] {
    // SAFETY: whatever bytes are there, they make a number.
    unsafe { memory.align_to_mut().1 }
}

pub const CLONE_PARENT: u64 = 0x8000;
const SIGCHLD: u64 = 17;

/// `clone(2)` as fork(2) does it: both return here, the child with 0. Init has one thread and no locks, so
/// the child may do anything. Not clone3(2), whose flags no filter can see and many therefore refuse: the container's may be loaded.
pub fn fork(flags: u64) -> Result<i32, Errno> {
    // With CLONE_PARENT the exit signal is the parent's.
    let exit_signal = if flags & CLONE_PARENT != 0 { 0 } else { SIGCHLD };
    let flags = usize::try_from(flags | exit_signal).unwrap_or(0);
    // SAFETY: no CLONE_VM: the child has its own copy of this stack and of all memory.
    let pid = unsafe { syscall(nr::__NR_clone, [flags, 0, 0, 0, 0]) }?;
    Ok(i32::try_from(pid).unwrap_or(0))
}

/// The same with pid and pidfd of the child for the parent. By `clone(2)`: the filter is loaded already, and profiles that cannot look
/// into the arguments of clone3(2) answer ENOSYS to it, as Docker's does.
pub fn fork_with_pidfd() -> Result<Option<(Pid, OwnedFd)>, Errno> {
    let mut pidfd: i32 = -1;
    const FLAGS: usize = 0x1000 | 17; // CLONE_PIDFD | SIGCHLD
    // SAFETY: as above; the kernel writes the new descriptor to `pidfd`, in the place of the parent's copy of the thread id.
    let pid = unsafe { syscall(nr::__NR_clone, [FLAGS, 0, (&raw mut pidfd) as usize, 0, 0]) }?;
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    // SAFETY: just made for us.
    Ok(Some((pid, unsafe { OwnedFd::from_raw_fd(core::hint::black_box(pidfd)) })))
}

/// `clock_gettime(CLOCK_MONOTONIC)`: to measure how long something takes.
pub fn milliseconds() -> u64 {
    nanoseconds() / 1_000_000
}

/// The same, for a trace.
pub fn nanoseconds() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = [0u64; 2];
    // SAFETY: a timespec is two words.
    let _ = unsafe { syscall(nr::__NR_clock_gettime, [CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0]) };
    time[0] * 1_000_000_000 + time[1]
}

/// `pidfd_send_signal(2)`.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: usize) -> Result<(), Errno> {
    // SAFETY: no siginfo is given.
    unsafe { syscall(nr::__NR_pidfd_send_signal, [fd(pidfd), signal, 0, 0, 0]) }.map(drop)
}

/// Unblocks all signals and gives each its default action. What the caller ignores would be inherited: SIGPIPE from a Rust program,
/// SIGHUP from nohup(1), SIGINT from a shell that has it in the background.
pub fn reset_signals() -> Result<(), Errno> {
    const LAST: usize = 64;
    const SIG_SETMASK: usize = 2;
    // SIGKILL and SIGSTOP, of which there is nothing to set.
    const FIXED: [usize; 2] = [9, 19];
    let none = 0u64;
    (1..=LAST)
        .filter(|signal| !FIXED.contains(signal))
        .try_for_each(|signal| set_action(signal, arch::signal_action(0)))?;
    // SAFETY: the mask is one word, read only.
    unsafe { syscall(nr::__NR_rt_sigprocmask, [SIG_SETMASK, (&raw const none) as usize, 0, 8, 0]) }.map(drop)
}

/// `rt_sigaction(2)` with a `struct kernel_sigaction`.
fn set_action(signal: usize, action: [usize; 4]) -> Result<(), Errno> {
    // SAFETY: a whole struct, read only; whoever names a handler (`end_on_signals`) names a function that never returns.
    unsafe { syscall(nr::__NR_rt_sigaction, [signal, action.as_ptr() as usize, 0, 8, 0]) }.map(drop)
}

/// The first process of a pid namespace does not die of a signal that it does not handle (pid_namespaces(7)), so that
/// a container that waits could not be asked to end. The program gets the default action back: execve(2) resets handlers.
pub fn end_on_signals() -> Result<(), Errno> {
    extern "C" fn end(signal: i32) -> ! {
        exit(128 + signal)
    }
    let end = end as extern "C" fn(i32) -> ! as usize;
    // SIGHUP, SIGINT, SIGTERM.
    [1, 2, 15].into_iter().try_for_each(|signal| set_action(signal, arch::signal_action(end)))
}

/// `unshare(2)` with `CLONE_NEW*` flags.
pub fn unshare(namespaces: u32) -> Result<(), Errno> {
    // SAFETY: no pointers; only namespaces change, memory and descriptors stay shared with nobody.
    unsafe { syscall(nr::__NR_unshare, [namespaces as usize, 0, 0, 0, 0]) }.map(drop)
}

/// `setns(2)`.
pub fn setns(namespace: BorrowedFd<'_>, kind: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { syscall(nr::__NR_setns, [fd(namespace), kind as usize, 0, 0, 0]) }.map(drop)
}

/// `prctl(2)` with numbers only.
pub fn prctl(option: usize, a: usize, b: usize) -> Result<usize, Errno> {
    // SAFETY: the callers' options (PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT,
    // PR_SET_NO_NEW_PRIVS) take no pointers.
    unsafe { syscall(nr::__NR_prctl, [option, a, b, 0, 0]) }
}

/// A standard stream, which the program keeps; it may be closed, and then a call with it says EBADF.
pub fn stdio(number: u8) -> BorrowedFd<'static> {
    borrow(i32::from(number))
}

/// Whatever is open at `number`, to look at or to speak through.
pub fn borrow(number: i32) -> BorrowedFd<'static> {
    // SAFETY: a `BorrowedFd` may not be -1, which `max` sees to. That it is open is not what memory safety depends on: the number
    // goes to system calls only, and for one that is closed the kernel says EBADF. What it names is either a standard stream,
    // which init never closes, or the socket to the host, which is left open when another takes its place.
    unsafe { BorrowedFd::borrow_raw(number.max(0)) }
}

/// `getcwd(2)` without its NUL; begins with `(unreachable)` if the directory is outside the root.
pub fn getcwd(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: writable for the length given.
    let len = unsafe { syscall(nr::__NR_getcwd, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }?;
    Ok(&buffer[..len - 1])
}

/// `struct mount_attr`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns_fd: u64,
}

pub const AT_EMPTY_PATH: u32 = 0x1000;
pub const AT_RECURSIVE: u32 = 0x8000;

/// `mount_setattr(2)` on `path` below `dir` (or on `dir` itself with `AT_EMPTY_PATH`).
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, flags: u32, attr: &MountAttr) -> Result<(), Errno> {
    let at = core::ptr::from_ref(attr) as usize;
    // AT_FDCWD is negative and has to be widened with its sign.
    let dir = dir.as_raw_fd() as isize as usize;
    // SAFETY: a NUL-terminated path and a struct of the size given.
    unsafe {
        syscall(nr::__NR_mount_setattr, [dir, path.as_ptr() as usize, flags as usize, at, size_of::<MountAttr>()])
    }
    .map(drop)
}

/// `close_range(2)`, really closing.
pub fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: what is closed is never used again: init knows which descriptors it still needs and leaves them out.
    unsafe { syscall(nr::__NR_close_range, [first as usize, last as usize, 0, 0, 0]) }.map(drop)
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// `capset(2)`: effective, permitted, inheritable.
pub fn capset(sets: [u64; 3]) -> Result<(), Errno> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [0u32; 6];
    for (i, set) in sets.iter().enumerate() {
        data[i] = (set & 0xffff_ffff) as u32;
        data[i + 3] = (set >> 32) as u32;
    }
    // SAFETY: version 3 reads two structs of three words.
    unsafe { syscall(nr::__NR_capset, [(&raw const header) as usize, data.as_ptr() as usize, 0, 0, 0]) }.map(drop)
}

/// `capget(2)`: effective, permitted, inheritable.
pub fn capget() -> Result<[u64; 3], Errno> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [0u32; 6];
    // SAFETY: version 3 writes two structs of three words.
    unsafe { syscall(nr::__NR_capget, [(&raw const header) as usize, data.as_mut_ptr() as usize, 0, 0, 0]) }?;
    Ok([0, 1, 2].map(|i| u64::from(data[i]) | u64::from(data[i + 3]) << 32))
}

/// `setresuid(2)` with one id.
pub fn setresuid(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    // SAFETY: numbers only.
    unsafe { syscall(nr::__NR_setresuid, [id, id, id, 0, 0]) }.map(drop)
}

/// `setresgid(2)` with one id.
pub fn setresgid(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    // SAFETY: numbers only.
    unsafe { syscall(nr::__NR_setresgid, [id, id, id, 0, 0]) }.map(drop)
}

/// `setgroups(2)`; `gids` are native words.
pub fn setgroups(gids: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel copies `len / 4` ids from there, with no demand on alignment.
    unsafe { syscall(nr::__NR_setgroups, [gids.len() / 4, gids.as_ptr() as usize, 0, 0, 0]) }.map(drop)
}

/// `setfsuid(2)` and `setfsgid(2)`: whom path lookups are checked against.
pub fn set_filesystem_ids(uid: u32, gid: u32) {
    // SAFETY: numbers only; these calls cannot fail.
    unsafe {
        let _ = syscall(nr::__NR_setfsgid, [gid as usize, 0, 0, 0, 0]);
        let _ = syscall(nr::__NR_setfsuid, [uid as usize, 0, 0, 0, 0]);
    }
}

/// `keyctl(KEYCTL_JOIN_SESSION_KEYRING, name)`.
pub fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated name.
    unsafe { syscall(nr::__NR_keyctl, [1, name.as_ptr() as usize, 0, 0, 0]) }.map(drop)
}

/// Set the loopback device up: SIOCSIFFLAGS with IFF_UP (netdevice(7)).
pub fn set_loopback_up(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP_RUNNING: u16 = 0x1 | 0x40;
    #[repr(C)]
    struct Ifreq {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut request = Ifreq { name: [0; 16], flags: IFF_UP_RUNNING, rest: [0; 22] };
    request.name[..2].copy_from_slice(b"lo");
    // SAFETY: `struct ifreq` is 40 bytes.
    unsafe { syscall(nr::__NR_ioctl, [fd(socket), SIOCSIFFLAGS, (&raw const request) as usize, 0, 0]) }.map(drop)
}

/// `NS_GET_NSTYPE` (ioctl_nsfs(2)): the `CLONE_NEW*` flag of a namespace.
pub fn namespace_type(namespace: BorrowedFd<'_>) -> Result<u32, Errno> {
    const NS_GET_NSTYPE: usize = 0xb703;
    // SAFETY: takes no argument.
    let kind = unsafe { syscall(nr::__NR_ioctl, [fd(namespace), NS_GET_NSTYPE, 0, 0, 0]) }?;
    Ok(u32::try_from(kind).unwrap_or(0))
}

/// `PIDFD_GET_PID_NAMESPACE` (linux/pidfd.h): the pid namespace of a process.
pub fn pid_namespace_of(pidfd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const PIDFD_GET_PID_NAMESPACE: usize = 0xff05;
    // SAFETY: takes no argument.
    let namespace = unsafe { syscall(nr::__NR_ioctl, [fd(pidfd), PIDFD_GET_PID_NAMESPACE, 0, 0, 0]) }?;
    // SAFETY: just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(namespace).unwrap_or(-1)) })
}

/// `TIOCSCTTY`: make `terminal` the controlling terminal.
pub fn set_controlling_terminal(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    const TIOCSCTTY: usize = 0x540e;
    // SAFETY: takes a number.
    unsafe { syscall(nr::__NR_ioctl, [fd(terminal), TIOCSCTTY, 0, 0, 0]) }.map(drop)
}

/// `setdomainname(2)`.
pub fn setdomainname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the pointer is readable for the length given.
    unsafe { syscall(nr::__NR_setdomainname, [name.as_ptr() as usize, name.to_bytes().len(), 0, 0, 0]) }.map(drop)
}

/// `sched_setaffinity(2)` of this thread.
pub fn sched_setaffinity(mask: &[u8]) -> Result<(), Errno> {
    // SAFETY: readable for the length given.
    unsafe { syscall(nr::__NR_sched_setaffinity, [0, mask.len(), mask.as_ptr() as usize, 0, 0]) }.map(drop)
}

/// `prlimit(2)` of this process.
pub fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    // SAFETY: the kernel reads one struct rlimit64 and writes none.
    unsafe { syscall(nr::__NR_prlimit64, [0, resource as usize, limit.as_ptr() as usize, 0, 0]) }.map(drop)
}

/// `prlimit(2)` of this process: the soft and the hard limit.
pub fn getrlimit(resource: u32) -> Result<[u64; 2], Errno> {
    let mut limit = [0u64; 2];
    // SAFETY: the kernel reads none and writes one struct rlimit64.
    unsafe { syscall(nr::__NR_prlimit64, [0, resource as usize, 0, limit.as_mut_ptr() as usize, 0]) }?;
    Ok(limit)
}

/// `struct sched_attr` up to and with `sched_period`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `sched_setattr(2)` of this thread.
pub fn sched_setattr(attr: &SchedAttr) -> Result<(), Errno> {
    // SAFETY: the struct says its own size.
    unsafe { syscall(nr::__NR_sched_setattr, [0, core::ptr::from_ref(attr) as usize, 0, 0, 0]) }.map(drop)
}

/// `ioprio_set(2)` of this process.
pub fn ioprio_set(value: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    // SAFETY: numbers only.
    unsafe { syscall(nr::__NR_ioprio_set, [IOPRIO_WHO_PROCESS, 0, value as usize, 0, 0]) }.map(drop)
}

/// `personality(2)`.
pub fn personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall(nr::__NR_personality, [domain as usize, 0, 0, 0, 0]) }.map(drop)
}

/// `set_mempolicy(2)`; `nodes` is a bit mask of native words.
pub fn set_mempolicy(mode: u32, nodes: &[u8]) -> Result<(), Errno> {
    let at = if nodes.is_empty() { 0 } else { nodes.as_ptr() as usize };
    // The kernel looks at maxnode - 1 bits.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 8 + 1 };
    // SAFETY: readable for as many bits as are said.
    unsafe { syscall(nr::__NR_set_mempolicy, [mode as usize, at, bits, 0, 0]) }.map(drop)
}

/// `lsm_set_self_attr(2)`; `context` is a whole `struct lsm_ctx` with its text.
pub fn lsm_set_self_attr(attribute: usize, context: &[u8]) -> Result<(), Errno> {
    // SAFETY: readable for the length given.
    unsafe { syscall(nr::__NR_lsm_set_self_attr, [attribute, context.as_ptr() as usize, context.len(), 0, 0]) }
        .map(drop)
}

/// `seccomp(SECCOMP_SET_MODE_FILTER)`; the listener if `flags` ask for one.
pub fn seccomp(flags: u32, filter: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    const SET_MODE_FILTER: usize = 1;
    const NEW_LISTENER: u32 = 8;
    #[repr(C)]
    struct SockFprog {
        len: u16,
        filter: *const c_void,
    }
    let len = u16::try_from(filter.len() / 8).map_err(|_| Errno::INVAL)?;
    let program = SockFprog { len, filter: filter.as_ptr().cast() };
    // SAFETY: `len` instructions of 8 bytes, copied by the kernel with no demand on alignment.
    let result =
        unsafe { syscall(nr::__NR_seccomp, [SET_MODE_FILTER, flags as usize, (&raw const program) as usize, 0, 0]) }?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: just made for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(i32::try_from(result).unwrap_or(-1)) }))
}
