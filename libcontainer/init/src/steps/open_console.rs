//! The container's terminal.
use super::bind_mount::{attach, clone_tree};
use crate::fault::{At, Fault, Result};
use crate::root::{self, Make};
use crate::{Init, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Gid, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use step::Call;

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// A pty of the container's own devpts, opened without a path in it being trusted: `ptmx` has to lie in a
/// devpts, and the other end comes from the master itself (CVE-2025-52565).
#[inline(never)]
pub(super) fn run(init: &mut Init, height: u16, width: u16, uid: u32, on_dev_console: bool) -> Result {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    init.detail.say(b"/dev/pts/ptmx");
    let master = root::open(init.root()?, c"/dev/pts/ptmx", flags, ResolveFlags::NO_SYMLINKS).at(Call::Openat2)?;
    let found = rustix::fs::fstatfs(&master).at(Call::Statfs)?;
    if found.f_type != DEVPTS_SUPER_MAGIC {
        return Err(Fault::new(Call::Statfs, Errno::NODEV));
    }
    init.detail.clear();
    rustix::pty::unlockpt(&master).at(Call::Ioctl)?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).at(Call::Ioctl)?;
    if (height, width) != (0, 0) {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).at(Call::Ioctl)?;
    }
    match rustix::fs::fchown(&terminal, Some(Uid::from_raw(uid)), None::<Gid>) {
        // A user that the namespace does not map keeps a terminal that root owns.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        failed => failed.at(Call::Chown)?,
    }
    if on_dev_console {
        match root::open_or_make(init.root()?, c"/dev/console", Make::File, ResolveFlags::NO_SYMLINKS) {
            // The host's own /dev, and it has none.
            Err(fault) if fault.call == Call::HostDev => {}
            target => attach(&clone_tree(terminal.as_fd(), c"", false)?, &target?)?,
        }
    }
    become_stdio(&terminal)?;
    init.rider = Some(master);
    Ok(())
}

/// Of the process that stays, in its session: neither outlives a fork.
pub(super) fn set_controlling() -> Result {
    sys::set_controlling_terminal(sys::stdio(0)).at(Call::Ioctl)
}

fn become_stdio(terminal: &OwnedFd) -> Result {
    rustix::stdio::dup2_stdin(terminal).at(Call::Dup3)?;
    rustix::stdio::dup2_stdout(terminal).at(Call::Dup3)?;
    rustix::stdio::dup2_stderr(terminal).at(Call::Dup3)
}
