//! Changes of a mount that is there already.
use super::mount::{configure, explain, set_attributes, strings};
use super::mount_whole;
use crate::fault::{At, Result};
use crate::{Init, root, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::mount::FsPickFlags;
use step::{Attributes, Call, Mounted, Options, ZStr};

/// The filesystem's own options first, if any are given, as they may fail; then the mount.
#[inline(never)]
pub(super) fn run(
    init: &mut Init,
    mount: &Mounted<ZStr<'_>>,
    attributes: Attributes,
    recursive_attributes: Attributes,
    options: Options<&[u8]>,
) -> Result<OwnedFd> {
    let mount = match *mount {
        Mounted::Held(slot) => init.slots.take(slot)?,
        Mounted::At(path) => root::open(init.root()?, path.0, OFlags::PATH, ResolveFlags::empty()).at(Call::Openat2)?,
    };
    match options {
        Options::Each([]) => {}
        Options::Each(block) => reconfigure(init, &mount, block)?,
        Options::Whole { flags, data } => mount_whole::remount(init, &mount, flags, data)?,
    }
    set_attributes(mount.as_fd(), attributes, 0)?;
    set_attributes(mount.as_fd(), recursive_attributes, sys::AT_RECURSIVE)?;
    Ok(mount)
}

fn reconfigure(init: &mut Init, mount: &OwnedFd, block: &[u8]) -> Result {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = rustix::mount::fspick(mount, c"", flags).at(Call::Fspick)?;
    for option in strings(block) {
        configure(&mut init.detail, &context, option)?;
    }
    let done = rustix::mount::fsconfig_reconfigure(&context);
    explain(&mut init.detail, &context, done.is_err());
    done.at(Call::Fsconfig)
}
