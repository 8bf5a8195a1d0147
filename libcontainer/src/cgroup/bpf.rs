//! bpf(2): the only unsafe code of the control groups.
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `union bpf_attr`, whole: kernels 6.17 to 7.1 write the revision of a query to offset 56 whatever size they
/// were told. No kernel minds more bytes than it knows as long as they are zero.
#[repr(C, align(8))]
struct Attr([u8; 256]);

impl Attr {
    /// Numbers at their offsets in `union bpf_attr` (linux/bpf.h).
    fn new(numbers: &[(usize, u32)]) -> Attr {
        let mut attr = Attr([0; 256]);
        for (offset, number) in numbers {
            attr.0[*offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
        }
        attr
    }

    /// Only of memory that lives until the call is over.
    fn pointer<T>(mut self, offset: usize, pointer: *const T) -> Attr {
        self.0[offset..offset + 8].copy_from_slice(&(pointer as u64).to_ne_bytes());
        self
    }

    fn number(&self, offset: usize) -> u32 {
        let mut number = [0; 4];
        number.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_ne_bytes(number)
    }
}

// Commands and constants of linux/bpf.h.
const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;

/// # Safety
/// Every pointer in `attr` has to point to memory of the size that `attr` says, writable where the kernel writes.
unsafe fn bpf(command: i32, attr: &mut Attr) -> Result<i32, Errno> {
    // SAFETY: attr is as long as the size that is passed and aligned for u64; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.0.as_mut_ptr(), attr.0.len()) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(last_errno()),
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// Loads a device program; `log`, if not empty, gets the verifier's words.
pub(super) fn load_device_program(program: &[u8], log: &mut [u8]) -> Result<OwnedFd, Errno> {
    // Instructions are read as u64.
    let code: Vec<[u8; 8]> = program.chunks_exact(8).map(|bytes| bytes.try_into().unwrap_or_default()).collect();
    let count = u32::try_from(code.len()).unwrap_or(u32::MAX);
    let log_size = u32::try_from(log.len()).unwrap_or(0);
    let mut attr = Attr::new(&[(0, TYPE_CGROUP_DEVICE), (4, count), (24, u32::from(log_size > 0)), (28, log_size)])
        .pointer(8, code.as_ptr())
        .pointer(16, c"Apache-2.0".as_ptr());
    if log_size > 0 {
        attr = attr.pointer(32, log.as_mut_ptr());
    }
    // SAFETY: `code` holds `count` instructions, the licence ends with NUL, `log` is exclusively ours and
    // `log_size` long; all outlive the call.
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ids of the device programs attached to a group itself.
pub(super) fn device_programs(group: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    // The kernel attaches at most 64 to one group.
    let mut ids = [0_u32; 64];
    let mut attr = Attr::new(&[(0, number(group)), (4, ATTACH_CGROUP_DEVICE), (24, 64)]).pointer(16, ids.as_mut_ptr());
    // SAFETY: `ids` holds the 64 numbers that are announced at offset 24, and outlives the call.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    let count = usize::try_from(attr.number(24)).unwrap_or(0).min(ids.len());
    Ok(ids[..count].to_vec())
}

pub(super) fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut Attr::new(&[(0, id)])) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program beside those of other groups, or in the place of `old`.
pub(super) fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let flags = if old.is_some() { ALLOW_MULTI | REPLACE } else { ALLOW_MULTI };
    let old = old.map_or(0, number);
    let numbers = [(0, number(group)), (4, number(program)), (8, ATTACH_CGROUP_DEVICE), (12, flags), (16, old)];
    // SAFETY: no pointers.
    unsafe { bpf(PROG_ATTACH, &mut Attr::new(&numbers)) }.map(drop)
}

/// Detaches one program. With ALLOW_MULTI in the flags the kernel says EINVAL.
pub(super) fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let numbers = [(0, number(group)), (4, number(program)), (8, ATTACH_CGROUP_DEVICE)];
    // SAFETY: no pointers.
    unsafe { bpf(PROG_DETACH, &mut Attr::new(&numbers)) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attr_is_longer_than_any_kernel_writes() {
        assert!(size_of::<Attr>() >= 128);
        let attr = Attr::new(&[(24, 64)]).pointer(16, std::ptr::null::<u8>());
        assert_eq!((attr.number(24), attr.number(56)), (64, 0));
    }
}
