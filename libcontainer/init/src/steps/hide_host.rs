//! Without a pivot the host's tree stays below the container's root. A procfs or sysfs in it, which nothing masks, would
//! allow a user namespace of the container's to mount another such (kernel: `mount_too_revealing`).
use crate::fault::{At, Fault, Result};
use core::ffi::CStr;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags};
use step::Call;

/// Lets go of every procfs and sysfs that is not below `inside`; covers those that the kernel holds on to.
pub(super) fn run(inside: &[u8]) -> Result {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let list = rustix::fs::openat(CWD, c"/proc/self/mountinfo", flags, Mode::empty()).at(Call::Open)?;
    // Holds the longest line that matters: a path, and a few short words.
    let mut buffer = [0; 8192];
    let mut len = 0;
    loop {
        let read = rustix::io::read(&list, &mut buffer[len..]).at(Call::Read)?;
        len += read;
        while let Some(end) = buffer[..len].iter().position(|byte| *byte == b'\n') {
            line(&buffer[..end], inside)?;
            buffer.copy_within(end + 1..len, 0);
            len -= end + 1;
        }
        if read == 0 {
            return Ok(());
        }
        if len == buffer.len() {
            return Err(Fault::new(Call::Read, Errno::NAMETOOLONG));
        }
    }
}

/// proc_pid_mountinfo(5): `22 28 0:20 / /proc rw,nosuid shared:13 - proc proc rw`
fn line(line: &[u8], inside: &[u8]) -> Result {
    let mut words = line.split(|byte| *byte == b' ');
    let Some(target) = words.nth(4) else { return Ok(()) };
    let mut after = words.skip_while(|word| *word != b"-");
    let ours = |path: &[u8]| path.strip_prefix(inside).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    let mut path = [0; 4096];
    let revealing = matches!(after.nth(1), Some(b"proc" | b"sysfs"));
    match unescape(target, &mut path) {
        Some(path) if revealing && !ours(path.to_bytes()) => let_go(path),
        _ => Ok(()),
    }
}

fn let_go(path: &CStr) -> Result {
    match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // Gone with one above it.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::INVAL | Errno::PERM) => cover(path),
        failed => failed.at(Call::Umount),
    }
}

fn cover(path: &CStr) -> Result {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        target => target.at(Call::Open)?,
    };
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).at(Call::Fsopen)?;
    rustix::mount::fsconfig_create(&context).at(Call::Fsconfig)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let empty = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).at(Call::Fsmount)?;
    super::bind_mount::attach(&empty, &target)
}

/// `\040` and the like become what they stand for.
fn unescape<'a>(text: &[u8], path: &'a mut [u8; 4096]) -> Option<&'a CStr> {
    let mut rest = text;
    let mut len = 0;
    while let [first, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
            }
            _ => (*first, after),
        };
        *path.get_mut(len).filter(|_| len < 4095)? = byte;
        len += 1;
        rest = after;
    }
    CStr::from_bytes_with_nul(path.get(..=len)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        let mut path = [0; 4096];
        assert_eq!(unescape(br"/a\040b\134c", &mut path), Some(cr"/a b\c"));
        let mut path = [0; 4096];
        assert_eq!(unescape(&[b'x'; 5000], &mut path), None);
    }
}
