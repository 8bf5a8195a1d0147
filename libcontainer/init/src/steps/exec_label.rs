//! The label that the program gets at `execve`.
use crate::Init;
use crate::fault::{At, Fault, Result};
use crate::sys;
use core::ffi::CStr;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use step::{Call, Lsm};

const LSM_ATTR_EXEC: usize = 101;

/// `struct lsm_ctx`: id, flags, len, ctx_len. The text follows.
const HEADER: usize = 32;

/// `lsm_set_self_attr(2)` needs no procfs at all; older kernels are written to through a procfs that is
/// mounted nowhere, never the container's, which could be anything (CVE-2019-16884, CVE-2025-52881).
#[inline(never)]
pub(super) fn run(init: &mut Init, lsm: Lsm, label: &CStr) -> Result {
    // AppArmor takes commands (do_setattr() in security/apparmor/lsm.c), SELinux the context itself.
    let (id, command): (u64, &[u8]) = match lsm {
        Lsm::Apparmor => (104, b"exec "),
        Lsm::Selinux => (101, b""),
    };
    let label = label.to_bytes();
    let mut context = [0; 4096];
    let start = HEADER + command.len();
    let len = start + label.len();
    if len > context.len() {
        return Err(Fault::new(Call::LsmSetSelfAttr, Errno::NAMETOOLONG));
    }
    for (at, value) in [(0, id), (16, len as u64), (24, (len - HEADER) as u64)] {
        context[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
    context[HEADER..start].copy_from_slice(command);
    context[start..len].copy_from_slice(label);
    let set = match sys::lsm_set_self_attr(LSM_ATTR_EXEC, &context[..len]).at(Call::LsmSetSelfAttr) {
        // KERNEL(6.8): lsm_set_self_attr.
        Err(Fault { errno: Errno::NOSYS, .. }) => write_attr(lsm, &context[HEADER..len]),
        set => set,
    };
    if set.is_err() {
        init.detail.say(label);
    }
    set
}

fn write_attr(lsm: Lsm, text: &[u8]) -> Result {
    let context = rustix::mount::fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC).at(Call::Fsopen)?;
    rustix::mount::fsconfig_create(&context).at(Call::Fsconfig)?;
    let proc = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    let proc = proc.at(Call::Fsmount)?;
    // Since Linux 5.8 each LSM has a folder of its own; before, one file was for whichever came first.
    let paths = match lsm {
        Lsm::Apparmor => [c"self/attr/apparmor/exec", c"self/attr/exec"],
        Lsm::Selinux => [c"self/attr/exec", c"self/attr/exec"],
    };
    let open = |path: &CStr| {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)
    };
    let file = open(paths[0]).or_else(|_| open(paths[1])).at(Call::Openat2)?;
    rustix::io::write(&file, text).at(Call::Write).map(drop)
}
