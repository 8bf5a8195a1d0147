//! The label that the program gets at `execve`.
use crate::fault::{At, Fault, Result};
use crate::sys;
use crate::{Init, root};
use core::ffi::CStr;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use step::{Call, Lsm};

const LSM_ATTR_EXEC: usize = 101;

/// `lsm_set_self_attr(2)` needs no procfs at all; older kernels are written to through a procfs that is
/// mounted nowhere, never the container's, which could be anything (CVE-2019-16884, CVE-2025-52881).
#[inline(never)]
pub(super) fn run(init: &mut Init, lsm: Lsm, label: &CStr) -> Result {
    let command = match lsm {
        // AppArmor takes a command: to change at the next execve (kernel: `do_setattr`).
        Lsm::Apparmor => &b"exec "[..],
        Lsm::Selinux => b"",
    };
    let mut text = root::Text::empty();
    let text = text.set(&[command, label.to_bytes()])?;
    let set = match set_self_attr(lsm, text) {
        // KERNEL(6.8): lsm_set_self_attr.
        Err(Fault { errno: Errno::NOSYS, .. }) => write_attr(lsm, text),
        set => set,
    };
    if set.is_err() {
        init.detail.say(label.to_bytes());
    }
    set
}

fn set_self_attr(lsm: Lsm, label: &[u8]) -> Result {
    // struct lsm_ctx: id, flags, len, ctx_len, then the text.
    const HEADER: usize = 32;
    let id: u64 = match lsm {
        Lsm::Selinux => 101,
        Lsm::Apparmor => 104,
    };
    let mut context = [0; 4096];
    let len = HEADER + label.len();
    if len > context.len() {
        return Err(Fault::new(Call::LsmSetSelfAttr, Errno::NAMETOOLONG));
    }
    for (at, value) in [(0, id), (16, len as u64), (24, label.len() as u64)] {
        context[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
    context[HEADER..len].copy_from_slice(label);
    sys::lsm_set_self_attr(LSM_ATTR_EXEC, &context[..len]).at(Call::LsmSetSelfAttr)
}

fn write_attr(lsm: Lsm, label: &[u8]) -> Result {
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
    rustix::io::write(&file, label).at(Call::Write).map(drop)
}
