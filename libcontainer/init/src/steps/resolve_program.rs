//! Which file `execve` will get.
use crate::Init;
use crate::fault::{At, Result};
use crate::room::Room;
use crate::root::Text;
use core::ffi::CStr;
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use step::Call;

/// As execvp(3) searches: a name with a slash is taken as it is, others are looked for in `search`. Asked as
/// the container's user, with its rights.
#[inline(never)]
pub(super) fn run(init: &mut Init, name: &CStr, search: &CStr) -> Result {
    let found = if name.to_bytes().contains(&b'/') {
        check(name).and_then(|()| init.room.keep_text(name))
    } else {
        look_up(&mut init.room, name.to_bytes(), search.to_bytes())
    };
    if found.is_err() {
        init.detail.say(name.to_bytes());
    }
    init.program = found.at(Call::ResolveProgram)?;
    Ok(())
}

#[inline(never)]
fn look_up(room: &mut Room, name: &[u8], search: &[u8]) -> rustix::io::Result<&'static CStr> {
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    let mut path = Text::empty();
    for directory in search.split(|byte| *byte == b':') {
        // An empty entry is the working directory (environ(7)).
        let directory = if directory.is_empty() { b"." } else { directory };
        if path.set(&[directory, b"/", name]).is_err() {
            continue;
        }
        match check(path.as_c_str()) {
            Ok(()) => return room.keep_text(path.as_c_str()),
            // Not there, or not for us.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::ACCESS | Errno::LOOP | Errno::NAMETOOLONG) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::NOENT)
}

/// Something that may be executed and is no directory.
fn check(path: &CStr) -> rustix::io::Result<()> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::empty())?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // KERNEL(5.8): faccessat2. A filter that is older than it says EPERM. The real ids are the effective ones by now.
        Err(Errno::PERM | Errno::NOSYS) => rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()),
        asked => asked,
    }
}
