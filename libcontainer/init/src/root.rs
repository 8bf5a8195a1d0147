//! Paths inside the root filesystem. Nothing here lets the kernel resolve one from anywhere but the root
//! descriptor: `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`, and what is made is made by one name
//! below a descriptor. This is what keeps an image's symbolic links, however they change meanwhile, inside
//! (CVE-2021-30465, CVE-2024-45310 and kin).
use crate::fault::{At, Fault, Result};
use crate::host_dev;
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use step::Call;

// Functions with a path on their stack are not inlined, here and in `steps`: the frame of the interpreter, which a created
// container keeps for as long as it waits, would have room for all of them at once.

/// Longest path, as the kernel has it.
const PATH_MAX: usize = 4096;
/// `openat2` says EAGAIN when a rename or mount elsewhere races with it; that often, at the most, it is asked again.
const ATTEMPTS: usize = 128;

/// Opens `path` as the container will see it once it is pivoted.
pub fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..ATTEMPTS {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens `path` with `O_PATH`; `None` if it, or a directory on the way, does not exist.
pub fn look(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>> {
    match open(root, path, OFlags::PATH, ResolveFlags::empty()) {
        // Only what does not exist may be passed over: a mask that is skipped for EACCES would be no mask.
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        found => found.at(Call::Openat2).map(Some),
    }
}

/// What to make where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    Directory,
    File,
}

/// Symbolic links that are followed before it is a loop, as the kernel counts (path_resolution(7)).
const LINKS: usize = 40;

/// Opens `path` with `O_PATH`, making it and the directories above it if they are missing. What a dangling symbolic
/// link names is made where the container would look for it.
#[inline(never)]
pub fn open_or_make(root: BorrowedFd<'_>, path: &CStr, make: Make, resolve: ResolveFlags) -> Result<OwnedFd> {
    match open(root, path, OFlags::PATH, resolve) {
        Err(Errno::NOENT) => self::make(root, path, make),
        opened => opened.at(Call::Openat2),
    }
}

/// The same for a path where nothing is.
pub fn make(root: BorrowedFd<'_>, path: &CStr, make: Make) -> Result<OwnedFd> {
    let mut text = Text::new(path.to_bytes())?;
    for _ in 0..LINKS {
        let (parent, component) = parent_of(root, &mut text)?;
        let mut name = Text::new(text.part(component))?;
        let made = match make {
            Make::Directory => make_directory(parent.as_fd(), name.as_c_str()),
            Make::File => make_file(parent.as_fd(), name.as_c_str()),
        };
        let Err(fault) = made else { return made };
        if !text.replace_link(parent.as_fd(), &mut name, component)? {
            return Err(fault);
        }
    }
    Err(Fault::new(Call::Openat2, Errno::LOOP))
}

/// Opens the directory that `path` lies in, making what is missing, and gives the last component's name, which is not
/// followed. A `path` without one (the root itself) is EBUSY: nothing is made or mounted there.
#[inline(never)]
pub fn parent(root: BorrowedFd<'_>, path: &CStr) -> Result<(OwnedFd, Text)> {
    let mut text = Text::new(path.to_bytes())?;
    let (parent, name) = parent_of(root, &mut text)?;
    Ok((parent, Text::new(text.part(name))?))
}

/// The directory and the name of what `path` leads to: the same, with a symbolic link at the end followed too.
#[inline(never)]
pub fn place_of(root: BorrowedFd<'_>, path: &CStr) -> Result<(OwnedFd, Text)> {
    let mut text = Text::new(path.to_bytes())?;
    for _ in 0..LINKS {
        let (parent, component) = parent_of(root, &mut text)?;
        let mut name = Text::new(text.part(component))?;
        if !text.replace_link(parent.as_fd(), &mut name, component)? {
            return Ok((parent, name));
        }
    }
    Err(Fault::new(Call::Openat2, Errno::LOOP))
}

/// The same for a path that changes on the way, where it leads through a dangling symbolic link.
#[inline(never)]
fn parent_of(root: BorrowedFd<'_>, path: &mut Text) -> Result<(OwnedFd, (usize, usize))> {
    for _ in 0..LINKS {
        match walk(root, path)? {
            Walk::Done(parent, name) => return Ok((parent, name)),
            Walk::Link => {}
        }
    }
    Err(Fault::new(Call::Openat2, Errno::LOOP))
}

enum Walk {
    Done(OwnedFd, (usize, usize)),
    /// There was a dangling link, and the path now has its target instead.
    Link,
}

#[inline(never)]
fn walk(root: BorrowedFd<'_>, path: &mut Text) -> Result<Walk> {
    // Usually the directory is there.
    let whole = path.as_c_str().to_bytes();
    if let Some(slash) = whole.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0) {
        let name = (slash + 1, whole.len());
        let usual = !matches!(path.part(name), b"" | b"." | b"..");
        let parent =
            path.with_c_str(slash, |path| open(root, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty()));
        if let (true, Ok(parent)) = (usual, parent) {
            return Ok(Walk::Done(parent, name));
        }
    }
    // As far as the path exists it is resolved as a whole, so that symbolic links on the way work as in the container.
    let mut at = open(root, c".", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty()).at(Call::Openat2)?;
    let mut fresh = false;
    let mut component = path.component(0).ok_or(Fault::new(Call::Openat2, Errno::BUSY))?;
    while let Some(next) = path.component(component.1) {
        let existing = if fresh {
            Err(Errno::NOENT)
        } else {
            path.with_c_str(component.1, |path| {
                open(root, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty())
            })
        };
        at = match existing {
            Err(Errno::NOENT) => {
                // From here on everything is new: one name below a descriptor, links not followed.
                let mut name = Text::new(path.part(component))?;
                if name.as_c_str() == c".." {
                    // What `..` means depends on symbolic links; `plan` has cleaned it away.
                    return Err(Fault::new(Call::Openat2, Errno::INVAL));
                }
                fresh = true;
                match make_directory(at.as_fd(), name.as_c_str()) {
                    Err(fault) => {
                        let link = path.replace_link(at.as_fd(), &mut name, component)?;
                        return if link { Ok(Walk::Link) } else { Err(fault) };
                    }
                    made => made?,
                }
            }
            existing => existing.at(Call::Openat2)?,
        };
        component = next;
    }
    match path.part(component) {
        b".." => Err(Fault::new(Call::Openat2, Errno::INVAL)),
        _ => Ok(Walk::Done(at, component)),
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    host_dev::spare(parent)?;
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        // Another runtime may make the same mount point in a shared root at the same time.
        Ok(()) | Err(Errno::EXIST) => {}
        failed => failed.at(Call::Mkdir)?,
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).at(Call::Open)
}

/// Makes an empty file, unless there is one.
pub fn make_file(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    host_dev::spare(parent)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Fault::new(Call::Open, errno)),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty()).at(Call::Open)?;
    // What existed already may be a symbolic link, which `O_PATH` opens as such.
    if FileType::from_raw_mode(stat(made.as_fd())?.st_mode) == FileType::Symlink {
        return Err(Fault::new(Call::Open, Errno::LOOP));
    }
    Ok(made)
}

/// `fstat` of an `O_PATH` descriptor.
pub fn stat(fd: BorrowedFd<'_>) -> Result<Stat> {
    rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH).at(Call::Fstat)
}

/// Whether the descriptor is a directory.
pub fn is_directory(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(FileType::from_raw_mode(stat(fd)?.st_mode) == FileType::Directory)
}

/// A copy of a path, to end it at any component.
pub struct Text([u8; PATH_MAX]);

impl Text {
    /// No path.
    pub const fn empty() -> Text {
        Text([0; PATH_MAX])
    }

    pub fn new(path: &[u8]) -> Result<Text> {
        let mut text = Text::empty();
        text.set(&[path])?;
        Ok(text)
    }

    /// These, one after the other, in the place of what was there.
    pub fn set(&mut self, parts: &[&[u8]]) -> Result<&[u8]> {
        let mut len = 0;
        for part in parts {
            // A byte is left for the NUL.
            let room = self.0.get_mut(len..len + part.len()).filter(|_| len + part.len() < PATH_MAX);
            room.ok_or(Fault::new(Call::Openat2, Errno::NAMETOOLONG))?.copy_from_slice(part);
            len += part.len();
        }
        self.0[len] = 0;
        Ok(&self.0[..len])
    }

    /// At its end.
    pub fn append(&mut self, bytes: &[u8]) -> Result {
        let len = self.as_c_str().to_bytes().len();
        let room = self.0.get_mut(len..len + bytes.len()).filter(|_| len + bytes.len() < PATH_MAX);
        room.ok_or(Fault::new(Call::Openat2, Errno::NAMETOOLONG))?.copy_from_slice(bytes);
        self.0[len + bytes.len()] = 0;
        Ok(())
    }

    /// The whole string.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }

    /// The first `len` bytes as a string.
    pub fn c_str(&mut self, len: usize) -> &CStr {
        self.0[len] = 0;
        self.as_c_str()
    }

    /// Where the next component from `from` on begins and ends.
    fn component(&self, from: usize) -> Option<(usize, usize)> {
        let bytes = self.as_c_str().to_bytes();
        let mut from = from;
        loop {
            let start = from + bytes.get(from..)?.iter().position(|byte| *byte != b'/')?;
            let end = bytes[start..].iter().position(|byte| *byte == b'/').map_or(bytes.len(), |len| start + len);
            match &bytes[start..end] {
                b"." => from = end,
                _ => return Some((start, end)),
            }
        }
    }

    fn part(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.0[start..end]
    }

    /// If the component at `(start, end)`, which is `name` below `parent`, is a symbolic link, puts its target in its place.
    fn replace_link(&mut self, parent: BorrowedFd<'_>, name: &mut Text, (start, end): (usize, usize)) -> Result<bool> {
        let mut buffer = [core::mem::MaybeUninit::uninit(); PATH_MAX];
        let target = match rustix::fs::readlinkat_raw(parent, name.as_c_str(), &mut buffer) {
            Err(Errno::INVAL | Errno::NOENT) => return Ok(false),
            target => target.at(Call::Readlink)?.0,
        };
        let whole = self.as_c_str().to_bytes();
        let before = if target.starts_with(b"/") { &[] } else { &whole[..start] };
        let mut path = Text::empty();
        path.set(&[before, target, &whole[end..]])?;
        *self = path;
        Ok(true)
    }

    /// The same for the length of a call; the rest is there again afterwards.
    fn with_c_str<T>(&mut self, len: usize, use_it: impl FnOnce(&CStr) -> T) -> T {
        let cut = self.0[len];
        let result = use_it(self.c_str(len));
        self.0[len] = cut;
        result
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        CStr::from_bytes_until_nul(&self.0).fmt(f)
    }
}
