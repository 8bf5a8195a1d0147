//! Whose word the store is: what is in it decides which processes are killed and which hooks are run, as whoever reads it.
#![forbid(unsafe_code)]
use crate::{Error, ErrorKind, Result, facts};
use rustix::fs::Stat;
use std::path::Path;

/// The caller's or root's, and nobody else can write to it.
pub(super) fn check(path: &Path, stat: &Stat) -> Result<()> {
    let (caller, owner) = (rustix::process::geteuid().as_raw(), stat.st_uid);
    if owner != caller && owner != 0 {
        let message = format!("{} is not to be trusted: it belongs to uid {owner}, not to {caller}", path.display());
        return Err(Error::new(ErrorKind::PermissionDenied, message));
    }
    closed(path, stat)
}

/// The same of the root directory. In a user namespace the host's root may own it, and be seen as nobody: what is in it has to be the
/// caller's all the same.
pub(super) fn check_root(path: &Path, stat: &Stat) -> Result<()> {
    match check(path, stat) {
        Err(_) if is_nobody(stat.st_uid)? => closed(path, stat),
        checked => checked,
    }
}

fn closed(path: &Path, stat: &Stat) -> Result<()> {
    let mode = stat.st_mode & 0o7777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let message = format!("{} is not to be trusted: others can write to it (mode {mode:04o})", path.display());
    Err(Error::new(ErrorKind::PermissionDenied, message))
}

/// The owner that stands for those whom the user namespace does not know (user_namespaces(7)).
fn is_nobody(uid: u32) -> Result<bool> {
    const OVERFLOW: u32 = 65_534;
    if uid != OVERFLOW || !facts::in_user_namespace()? {
        return Ok(false);
    }
    let map = facts::read("/proc/self/uid_map")?;
    let numbers = |line: &str| line.split_ascii_whitespace().map_while(|number| number.parse::<u64>().ok()).collect();
    let is_known = |numbers: Vec<u64>| matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(uid)));
    Ok(!map.lines().map(numbers).any(is_known))
}
