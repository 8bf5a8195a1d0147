//! Mounts of a filesystem: built detached, attached to a descriptor.
use super::bind_mount::{attach, clone_tree};
use super::mount_whole;
use crate::Init;
use crate::fault::{At, Detail, Fault, Result};
use crate::host_dev;
use crate::root::{self, Make};
use crate::sys::{self, MountAttr};
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use step::{Attributes, Call, Options, Target};

/// A filesystem to mount.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) fstype: &'a CStr,
    pub(super) source: &'a CStr,
    pub(super) options: Options<&'a [u8]>,
    pub(super) attributes: Attributes,
    pub(super) copy_up: bool,
}

/// Gives the mount. `or_bind` is a path of the host's.
#[inline(never)]
pub(super) fn run(
    init: &mut Init,
    mount: &Mount<'_>,
    target: &CStr,
    kind: Target,
    or_bind: Option<&CStr>,
) -> Result<OwnedFd> {
    let covers = mount.fstype == c"tmpfs" && root::look(init.root()?, target)?.is_some();
    let target = open_target(init, target, kind, Make::Directory, mount.fstype == c"proc")?;
    match mount.options {
        Options::Each(options) => {
            let built = match (build(init, mount, options, covers.then_some(&target)), or_bind) {
                (Err(Fault { errno: Errno::PERM, .. }), Some(path)) => bind_instead(init, path, mount.attributes)?,
                (built, _) => built?,
            };
            if mount.copy_up {
                super::copy_up::run(&target, &built)?;
            }
            attach(&built, &target)?;
            Ok(built)
        }
        Options::Whole { flags, data } => {
            let mounted = mount_whole::run(init, mount, flags, data, &target, covers)?;
            if mount.copy_up {
                super::copy_up::run(&target, &mounted)?;
            }
            Ok(mounted)
        }
    }
}

/// Nothing that is below it may be changed through it: it is the host's.
fn bind_instead(init: &mut Init, path: &CStr, attributes: Attributes) -> Result<OwnedFd> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    init.detail.clear();
    init.detail.say(path.to_bytes());
    let bound = clone_tree(CWD, path, true)?;
    let attributes = Attributes { set: attributes.set | MOUNT_ATTR_RDONLY, clear: 0 };
    set_attributes(bound.as_fd(), attributes, sys::AT_RECURSIVE)?;
    Ok(bound)
}

/// Builds it without a place; it goes to the host with the next word to it.
#[inline(never)]
pub(super) fn make(init: &mut Init, mount: &Mount<'_>, target: &CStr) -> Result {
    let covered = root::look(init.root()?, target)?;
    let built = match mount.options {
        Options::Each(options) => build(init, mount, options, covered.as_ref().filter(|_| mount.fstype == c"tmpfs"))?,
        Options::Whole { flags, data } => {
            let place = open_target(init, target, Target::Any, Make::Directory, mount.fstype == c"proc")?;
            let covers = covered.is_some() && mount.fstype == c"tmpfs";
            mount_whole::run_detached(init, mount, flags, data, &place, covers)?
        }
    };
    if let Some(covered) = covered.filter(|_| mount.copy_up) {
        super::copy_up::run(&covered, &built)?;
    }
    init.rider = Some(built);
    Ok(())
}

/// Whether it is in a procfs.
pub(super) fn is_procfs(place: &OwnedFd) -> Result<bool> {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    Ok(rustix::fs::fstatfs(place).at(Call::Statfs)?.f_type == PROC_SUPER_MAGIC)
}

/// Opens what is to be mounted on, making it where it is missing.
pub(super) fn open_target(init: &Init, target: &CStr, kind: Target, make: Make, is_proc: bool) -> Result<OwnedFd> {
    let resolve = match kind {
        Target::OrdinaryDirectory => ResolveFlags::NO_SYMLINKS,
        Target::Any | Target::InProc | Target::InBind | Target::Link => ResolveFlags::empty(),
    };
    let _asked_for = (kind == Target::InBind).then(host_dev::Unguarded::begin);
    let target = if kind == Target::Link {
        root::open(init.root()?, target, OFlags::PATH | OFlags::NOFOLLOW, resolve).at(Call::Openat2)?
    } else {
        root::open_or_make(init.root()?, target, make, resolve)?
    };
    // A symbolic link, or a mount of the image's volumes, may have led into a procfs: what is mounted there
    // could fake what init and others read from it (CVE-2019-16884).
    if kind != Target::InProc && !is_proc && is_procfs(&target)? {
        return Err(Fault::new(Call::MoveMount, Errno::PERM));
    }
    Ok(target)
}

/// `fsopen`, `fsconfig` for each option, `fsmount`.
pub(super) fn build(init: &mut Init, mount: &Mount<'_>, options: &[u8], covered: Option<&OwnedFd>) -> Result<OwnedFd> {
    let (detail, pid_namespace) = (&mut init.detail, init.pid_namespace.as_ref());
    let context = rustix::mount::fsopen(mount.fstype, FsOpenFlags::FSOPEN_CLOEXEC);
    if context.is_err() {
        detail.say(mount.fstype.to_bytes());
    }
    let context = context.at(Call::Fsopen)?;
    if !mount.source.is_empty() {
        set_option(detail, &context, c"source", Some(mount.source))?;
    }
    let mut has_mode = false;
    for option in strings(options) {
        has_mode |= option.to_bytes().starts_with(b"mode=");
        match pid_namespace {
            // The plan's word for the one that was joined: to the kernel it takes a value.
            Some(namespace) if option == c"pidns" => {
                let set = rustix::mount::fsconfig_set_fd(&context, option, namespace);
                explain(detail, &context, set.is_err());
                set.at(Call::Fsconfig)?;
            }
            _ => configure(detail, &context, option)?,
        }
    }
    if let Some(target) = covered.filter(|_| !has_mode) {
        let mut mode = Detail::default();
        write_mode(&mut mode, target)?;
        mode.say(b"\0");
        configure(detail, &context, CStr::from_bytes_with_nul(mode.as_bytes()).unwrap_or_default())?;
    }
    let created = rustix::mount::fsconfig_create(&context);
    explain(detail, &context, created.is_err());
    created.at(Call::Fsconfig)?;
    let attributes = MountAttrFlags::from_bits_retain(u32::try_from(mount.attributes.set).unwrap_or(0));
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).at(Call::Fsmount)
}

/// A tmpfs looks like the directory that it covers.
pub(super) fn write_mode(option: &mut Detail, covered: &OwnedFd) -> Result {
    option.say(b"mode=").say_octal(root::stat(covered.as_fd())?.st_mode & 0o7777);
    Ok(())
}

/// The options of a block, each with its NUL.
pub(super) fn strings(block: &[u8]) -> impl Iterator<Item = &CStr> {
    block.split_inclusive(|byte| *byte == 0).filter_map(|option| CStr::from_bytes_with_nul(option).ok())
}

#[inline(never)]
pub(super) fn configure(detail: &mut Detail, context: &OwnedFd, option: &CStr) -> Result {
    let bytes = option.to_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        None => set_option(detail, context, option, None),
        Some(at) => {
            let mut key = root::Text::new(&bytes[..at])?;
            let value = CStr::from_bytes_with_nul(&option.to_bytes_with_nul()[at + 1..]).unwrap_or(c"");
            set_option(detail, context, key.c_str(at), Some(value))
        }
    }
}

fn set_option(detail: &mut Detail, context: &OwnedFd, key: &CStr, value: Option<&CStr>) -> Result {
    let set = match value {
        None => rustix::mount::fsconfig_set_flag(context, key),
        Some(value) => rustix::mount::fsconfig_set_string(context, key, value),
    };
    if set.is_err() {
        detail.say(key.to_bytes());
        if let Some(value) = value {
            detail.say(b"=").say_in_short(value.to_bytes());
        }
    }
    explain(detail, context, set.is_err());
    set.at(Call::Fsconfig)
}

/// After a failure the context keeps the kernel's own words: fsopen(2), "Message retrieval".
#[inline(never)]
pub(super) fn explain(detail: &mut Detail, context: &OwnedFd, failed: bool) {
    let mut words = [0; 256];
    if !failed {
        return;
    }
    if let Ok(n @ 3..) = rustix::io::read(context, &mut words[..]) {
        if !detail.as_bytes().is_empty() {
            detail.say(b": ");
        }
        // Each message begins with its level: "e ".
        detail.say(words[2..n].trim_ascii_end());
    }
}

pub(super) const MOUNT_ATTR_RDONLY: u64 = 1;

/// `mount_setattr(2)` on the mount itself; nothing asked for is no call.
pub(super) fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes, flags: u32) -> Result {
    if attributes == Attributes::default() {
        return Ok(());
    }
    let attr = MountAttr { set: attributes.set, clear: attributes.clear, ..MountAttr::default() };
    sys::mount_setattr(mount, c"", flags | sys::AT_EMPTY_PATH, &attr).at(Call::MountSetattr)
}
