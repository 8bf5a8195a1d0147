//! The standard streams that a container is given, which belong to the caller.
use crate::sys::{self, MountAttr};
use crate::{Error, Result};
use libc::stat as Stat;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, SeekFrom, Uid};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};

/// Streams, some of which have been opened anew.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) numbers: Option<[i32; 3]>,
    /// Keeps them open.
    _opened: Vec<OwnedFd>,
}

/// The same streams. Nodes of the host's `/dev` are opened through a mount by which nothing about them can be changed; init takes
/// those that every container has from the container's own.
pub(super) fn seal(stdio: Option<[i32; 3]>) -> Result<Sealed> {
    let mut numbers = stdio.unwrap_or([0, 1, 2]);
    let mut opened = Vec::new();
    for number in &mut numbers {
        let device = device(*number)?.filter(|stat| !is_everywhere(stat));
        let stream = device.map_or(Ok(None), |stat| reopen(*number, &stat))?;
        if let Some(stream) = stream {
            *number = stream.as_raw_fd();
            opened.push(stream);
        }
    }
    Ok(Sealed { numbers: if opened.is_empty() { stdio } else { Some(numbers) }, _opened: opened })
}

/// One stream for a restored container, in which no init opens it anew.
pub(crate) fn seal_for_restore(number: i32) -> Result<OwnedFd> {
    match device(number)?.map_or(Ok(None), |stat| reopen(number, &stat))? {
        Some(sealed) => Ok(sealed),
        None => sys::duplicate(number).map_err(|errno| failed(&format!("fcntl({number})"), errno)),
    }
}

fn failed(call: &str, errno: Errno) -> Error {
    Error::system("hand on the standard streams", call, errno)
}

fn device(number: i32) -> Result<Option<Stat>> {
    let stat = match sys::fstat(number) {
        // A caller may have closed any of them.
        Err(Errno::BADF) => return Ok(None),
        stat => stat.map_err(|errno| failed(&format!("fstat({number})"), errno))?,
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    Ok(matches!(kind, FileType::CharacterDevice | FileType::BlockDevice).then_some(stat))
}

/// null, zero, full, random, urandom, tty.
fn is_everywhere(stat: &Stat) -> bool {
    let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && matches!(number, (1, 3 | 5 | 7 | 8 | 9) | (5, 0))
}

/// The same without what may be otherwise the next time: then the stream would be handed on as it is, and nobody would know.
fn reopen(number: i32, stat: &Stat) -> Result<Option<OwnedFd>> {
    match try_to_reopen(number, stat) {
        Ok(stream) => Ok(stream),
        Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN)) => {
            Err(failed(&format!("open({number})"), errno))
        }
        Err(_) => Ok(None),
    }
}

/// `None` for what lies elsewhere, and for what would not be the same if it were opened once more (a tunnel, a filesystem in userspace,
/// the master of a terminal): who hands that on means it. Nor may everybody make mounts, but who may not does not own the node.
fn try_to_reopen(number: i32, stat: &Stat) -> rustix::io::Result<Option<OwnedFd>> {
    let dev = rustix::fs::stat("/dev")?;
    let stream = sys::duplicate(number)?;
    let is_block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    let is_memory = !is_block && rustix::fs::major(stat.st_rdev) == 1;
    let is_terminal = !is_block && rustix::termios::isatty(&stream) && stat.st_rdev != rustix::fs::makedev(5, 2);
    if stat.st_dev != dev.st_dev || !(is_block || is_memory || is_terminal) {
        return Ok(None);
    }
    let cloned = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(&stream, "", cloned)?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    sys::mount_setattr(mount.as_fd(), false, &MountAttr { set: attributes.bits().into(), ..MountAttr::default() })?;
    let asked = rustix::fs::fcntl_getfl(&stream)? & (OFlags::RWMODE | OFlags::APPEND | OFlags::NONBLOCK);
    let flags = asked | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, sys::fd_path(&mount), flags, Mode::empty())?;
    if is_block {
        let at = rustix::fs::tell(&stream)?;
        rustix::fs::seek(&opened, SeekFrom::Start(at))?;
    }
    Ok(Some(opened))
}

/// Gives pipes, sockets and terminals to `uid`, so that `/dev/stdout` can be opened. A file or a device belongs to somebody
/// (CVE-2026-88265).
pub(super) fn give(stdio: Option<[i32; 3]>, uid: u32) -> Result<()> {
    for number in stdio.unwrap_or([0, 1, 2]) {
        // A caller may have closed any of them.
        let stat = match sys::fstat(number) {
            Err(Errno::BADF) => continue,
            stat => stat.map_err(|errno| failed("fstat", errno))?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let ours = matches!(kind, FileType::Fifo | FileType::Socket)
            || kind == FileType::CharacterDevice && is_terminal(stat.st_rdev);
        if !ours || stat.st_uid == uid {
            continue;
        }
        let stream = sys::duplicate(number).map_err(|errno| failed("fcntl(F_DUPFD)", errno))?;
        match rustix::fs::fchown(stream.as_fd(), Some(Uid::from_raw(uid)), None::<Gid>) {
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => {
                return Err(Error::system("give the standard streams to the container's user", "fchown", errno));
            }
        }
    }
    Ok(())
}

/// Of a devpts: Unix98 pseudo-terminals have these numbers (Documentation/admin-guide/devices.txt). Any other terminal is a node of
/// the host's `/dev`.
fn is_terminal(number: u64) -> bool {
    (136..=143).contains(&rustix::fs::major(number))
}
