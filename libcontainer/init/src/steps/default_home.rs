//! `HOME`, where the environment has none.
use crate::fault::{At, Result};
use crate::{Init, root};
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, OFlags, ResolveFlags};
use step::Call;

/// The longest entry of `HOME` that is taken from an image.
const LONGEST: usize = 1024;
/// So much of an image's passwd is read and no more.
const PASSWD: usize = 1 << 20;

/// What the image's `/etc/passwd` says of `uid`; `/` where it says nothing or is nothing that can be read: an
/// image must not be able to stop or stall a start by it (CVE-2016-3697, CVE-2026-47262).
#[inline(never)]
pub(super) fn run(init: &mut Init, uid: u32) -> Result {
    let mut line = [0; 2 * LONGEST];
    let home = find(init.root()?, uid, &mut line).unwrap_or(b"/");
    init.home = init.room.keep(&[b"HOME=", home, b"\0"]).at(Call::Mmap)?;
    Ok(())
}

fn find<'a>(root: BorrowedFd<'_>, uid: u32, line: &'a mut [u8; 2 * LONGEST]) -> Option<&'a [u8]> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let passwd = root::open(root, c"/etc/passwd", flags, ResolveFlags::empty()).ok()?;
    let stat = rustix::fs::fstat(&passwd).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let (mut held, mut seen) = (0, 0);
    while seen < PASSWD {
        let n = match rustix::io::read(&passwd, &mut line[held..]) {
            Ok(n @ 1..) => n,
            _ => break,
        };
        held += n;
        seen += n;
        while let Some(end) = line[..held].iter().position(|byte| *byte == b'\n') {
            if home(&line[..end], uid).is_some() {
                return home(&line[..end], uid);
            }
            line.copy_within(end + 1..held, 0);
            held -= end + 1;
        }
        if held == line.len() {
            // Longer than any entry: not one.
            held = 0;
        }
    }
    home(&line[..held], uid)
}

/// The home directory in a line of passwd(5), if the line is `uid`'s.
fn home(line: &[u8], uid: u32) -> Option<&[u8]> {
    let mut fields = line.split(|byte| *byte == b':');
    let id = core::str::from_utf8(fields.nth(2)?).ok()?;
    let home = fields.nth(2)?;
    let fits = home.starts_with(b"/") && home.len() < LONGEST - 8 && !home.contains(&0);
    (id.parse() == Ok(uid) && fits).then_some(home)
}

#[cfg(test)]
mod tests {
    use super::home;

    #[test]
    fn the_home_of_a_uid_is_the_sixth_field_of_its_line() {
        assert_eq!(home(b"root:x:0:0:root:/root:/bin/sh", 0), Some(&b"/root"[..]));
        assert_eq!(home(b"root:x:0:0:root:/root:/bin/sh", 1), None);
    }

    #[test]
    fn a_name_that_looks_like_a_uid_is_only_a_name() {
        assert_eq!(home(b"1000:x:0:0:::/", 1000), None);
    }

    #[test]
    fn a_home_that_is_no_path_is_none() {
        assert_eq!(home(b"a:x:7:7::relative:", 7), None);
        assert_eq!(home(b"a:x:7", 7), None);
    }
}
