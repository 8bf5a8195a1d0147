//! What to look at where an errno of clone3(2) or unshare(2) misleads: only what this host says of itself when it happens.
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space};

const NEWUSER: u32 = libc::CLONE_NEWUSER.unsigned_abs();

/// For making new `namespaces` (`CLONE_NEW*` bits); empty if there is nothing to say.
pub(crate) fn new_namespaces(namespaces: u32, errno: Errno) -> String {
    match errno {
        Errno::NOSPC | Errno::USERS => exhausted(namespaces),
        Errno::PERM if namespaces & NEWUSER != 0 => no_user_namespace().to_owned(),
        Errno::PERM if namespaces != 0 && !is_privileged() => {
            "hint: new namespaces need CAP_SYS_ADMIN, or a user namespace in config.json".to_owned()
        }
        Errno::PERM => "hint: a seccomp filter or a security module around the runtime forbids it".to_owned(),
        Errno::AGAIN => "hint: a limit on processes: RLIMIT_NPROC, pids.max, kernel.pid_max".to_owned(),
        Errno::INVAL if namespaces != 0 => missing(namespaces),
        _ => String::new(),
    }
}

/// The kernel's names of namespaces, as in `/proc/self/ns`.
const NAMESPACES: &[(i32, &str, &str)] = &[
    (libc::CLONE_NEWUSER, "user", "user"),
    (libc::CLONE_NEWNS, "mnt", "mount"),
    (libc::CLONE_NEWPID, "pid", "pid"),
    (libc::CLONE_NEWNET, "net", "network"),
    (libc::CLONE_NEWIPC, "ipc", "ipc"),
    (libc::CLONE_NEWUTS, "uts", "uts"),
    (libc::CLONE_NEWCGROUP, "cgroup", "cgroup"),
    (0x80, "time", "time"),
];

fn asked(namespaces: u32) -> impl Iterator<Item = (&'static str, &'static str)> {
    let asked = NAMESPACES.iter().filter(move |(flag, ..)| namespaces & flag.unsigned_abs() != 0);
    asked.map(|(_, file, name)| (*file, *name))
}

/// ENOSPC and EUSERS: a limit on their number, or on how deep they are nested.
fn exhausted(namespaces: u32) -> String {
    let limit = |file: &str| format!("/proc/sys/user/max_{file}_namespaces");
    match asked(namespaces).map(|(file, _)| limit(file)).find(|path| reads(path, "0")) {
        Some(path) => format!("hint: not disk space; {path} is 0"),
        None => "hint: not disk space; see /proc/sys/user/max_*_namespaces, and 32 is the deepest nesting".to_owned(),
    }
}

fn missing(namespaces: u32) -> String {
    // may fail: only a hint.
    let lacks = |file: &str| std::fs::symlink_metadata(format!("/proc/self/ns/{file}")).is_err();
    match asked(namespaces).find(|(file, _)| lacks(file)) {
        Some((_, name)) => format!("hint: this kernel has no {name} namespaces"),
        None => String::new(),
    }
}

/// user_namespaces(7) and what distributions have added to it.
fn no_user_namespace() -> &'static str {
    if is_chrooted() {
        return "hint: the kernel makes no user namespace for who is in a chroot; pivot_root instead";
    }
    if !is_privileged() {
        if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
            return "hint: AppArmor forbids user namespaces to ordinary programs; see kernel.apparmor_restrict_unprivileged_userns, or give the runtime a profile with userns";
        }
        if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
            return "hint: kernel.unprivileged_userns_clone is 0: only root makes user namespaces";
        }
    }
    "hint: a seccomp filter or a security module around the runtime forbids user namespaces"
}

fn reads(path: &str, value: &str) -> bool {
    // may fail: only a hint.
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
}

fn is_privileged() -> bool {
    // may fail: only a hint.
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// current_chrooted() of the kernel, as far as it shows: our root is no root of a mount, or not where setns(2) puts who enters our own
/// mount namespace. That is tried in a thread, which ends with what it has found.
fn is_chrooted() -> bool {
    // KERNEL(5.8): both. Without them there is no hint.
    let root = || rustix::fs::statx(CWD, "/", AtFlags::empty(), StatxFlags::MNT_ID);
    let Ok(own) = root() else { return false };
    let is_known = own.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    if is_known && !own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return true;
    }
    let namespaces_root = || {
        let namespace = rustix::fs::open(c"/proc/thread-self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        crate::sys::unshare_fs()?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        root()
    };
    // may fail: only a hint.
    crate::sys::on_a_thread(namespaces_root)
        .is_ok_and(|entered| (entered.stx_mnt_id, entered.stx_ino) != (own.stx_mnt_id, own.stx_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_given_where_it_fits() {
        assert!(new_namespaces(NEWUSER, Errno::NOSPC).starts_with("hint: not disk space"));
        assert!(new_namespaces(0, Errno::AGAIN).contains("pids.max"));
        assert!(!new_namespaces(0, Errno::PERM).contains("CAP_SYS_ADMIN"));
        assert_eq!(new_namespaces(0x80, Errno::NOENT), "");
        if is_privileged() {
            assert!(!new_namespaces(libc::CLONE_NEWNS.unsigned_abs(), Errno::PERM).contains("CAP_SYS_ADMIN"));
        }
    }
}
