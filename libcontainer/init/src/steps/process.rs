//! Short steps about the process itself.
use crate::fault::{At, Result};
use crate::sys;
use core::ffi::CStr;
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use step::Call;

/// While init is still outside, `/proc/self` is the host's.
pub(super) fn set_oom_score_adj(value: i32) -> Result {
    let mut text = crate::fault::Detail::default();
    write_host_file(c"/proc/self/oom_score_adj", text.say_number(value.into()).as_bytes())
}

/// One write to a file of the host's procfs.
pub(super) fn write_host_file(path: &CStr, bytes: &[u8]) -> Result {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).at(Call::Open)?;
    rustix::io::write(&file, bytes).at(Call::Write).map(drop)
}

/// An empty mask stands for all processors; the kernel cuts it to what the cpuset allows.
#[inline(never)]
pub(super) fn set_cpu_affinity(mask: &[u8]) -> Result {
    let all = [0xff; 1024];
    let mask = if mask.is_empty() { &all[..] } else { mask };
    match sys::sched_setaffinity(mask) {
        // As under a caller's seccomp filter: the inherited affinity stays.
        Err(Errno::PERM | Errno::NOSYS) => Ok(()),
        set => set.at(Call::SchedSetaffinity),
    }
}

const PR_SET_DUMPABLE: usize = 4;

/// Again whenever the user changes: the kernel then sets what `fs.suid_dumpable` says (`commit_creds`), which can be anything.
pub(super) fn set_undumpable() -> Result {
    sys::prctl(PR_SET_DUMPABLE, 0, 0).at(Call::Prctl).map(drop)
}

/// What takes more privilege than there is shows when the limit itself is set.
pub(super) fn raise_rlimit(resource: u32, to: u64) -> Result {
    let [_, hard] = sys::getrlimit(resource).at(Call::Setrlimit)?;
    let most = to.max(hard);
    sys::setrlimit(resource, most, most).or_else(|_| sys::setrlimit(resource, hard, hard)).at(Call::Setrlimit)
}

pub(super) fn set_no_new_privs() -> Result {
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    sys::prctl(PR_SET_NO_NEW_PRIVS, 1, 0).at(Call::Prctl).map(drop)
}

pub(super) fn join_session_keyring(name: &CStr) -> Result {
    match sys::join_session_keyring(name) {
        // A kernel without keyrings, or a filter of the caller's (Docker in Docker) that forbids keyctl.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(()),
        joined => joined.at(Call::Keyctl),
    }
}

/// Only what is a pipe, a socket or a terminal of a devpts (the numbers are those of Documentation/admin-guide/devices.txt): a file, the
/// null device or `/dev/ttyS0` belongs to somebody (CVE-2026-88265).
pub(super) fn chown_stdio(uid: u32) -> Result {
    for number in 0..3u8 {
        // One that is closed says EBADF, and nothing else happens.
        let stream = sys::stdio(number);
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let ours = matches!(kind, FileType::Fifo | FileType::Socket)
            || kind == FileType::CharacterDevice && (136..=143).contains(&rustix::fs::major(stat.st_rdev));
        if !ours || stat.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>) {
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            failed => failed.at(Call::Chown)?,
        }
    }
    Ok(())
}
