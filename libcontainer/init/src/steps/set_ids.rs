//! Users and groups.
use crate::fault::{At, Fault, Result};
use crate::sys;
use rustix::io::Errno;
use step::Call;

const PR_SET_KEEPCAPS: usize = 8;

/// Root of a user namespace that has just been mapped; the caller's groups are left where that is allowed.
pub(super) fn become_root() -> Result {
    sys::setresgid(0).at(Call::Setresgid)?;
    match sys::setgroups(&[]) {
        // `deny` is written to /proc/PID/setgroups where the map was made without privilege (user_namespaces(7)).
        Ok(()) | Err(Errno::PERM) => {}
        failed => failed.at(Call::Setgroups)?,
    }
    sys::setresuid(0).at(Call::Setresuid)?;
    super::process::set_undumpable()
}

pub(super) fn set_groups(gids: &[u8]) -> Result {
    sys::setgroups(gids).at(Call::Setgroups)
}

/// The group first: without CAP_SETGID it could not be changed any more. Capabilities stay permitted for
/// `SetCapabilities`, which follows.
pub(super) fn run(uid: u32, gid: u32) -> Result {
    sys::prctl(PR_SET_KEEPCAPS, 1, 0).at(Call::Prctl)?;
    sys::setresgid(gid).at(Call::Setresgid)?;
    sys::setresuid(uid).at(Call::Setresuid)?;
    super::process::set_undumpable()?;
    let now = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if now != (uid, gid) {
        return Err(Fault::new(Call::Setresuid, Errno::PERM));
    }
    Ok(())
}
