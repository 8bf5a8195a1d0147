//! Memory that lasts until `execve`: the plan's, and behind it what init keeps for that itself. One mapping, so that a container that
//! waits holds few pages.
use crate::sys;
use core::ffi::CStr;
use core::mem::take;
use rustix::io::Errno;

/// Enough for a path, for `HOME` and for some hundred pointers. Pages of it that nobody writes to do not exist.
const SPARE: usize = 8 * 1024;

/// What is left of it, all zero.
#[derive(Debug, Default)]
pub struct Room {
    rest: &'static mut [u8],
}

impl Room {
    /// `len` bytes, and the room behind them.
    pub fn behind(len: usize) -> Result<(&'static mut [u8], Room), Errno> {
        let mut room = Room { rest: sys::memory(len + SPARE)? };
        Ok((room.take(len)?, room))
    }

    /// A mapping of its own is for what does not fit.
    fn take(&mut self, len: usize) -> Result<&'static mut [u8], Errno> {
        match take(&mut self.rest).split_at_mut_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => sys::memory(len),
        }
    }

    /// A copy of these, one after the other.
    pub fn keep(&mut self, parts: &[&[u8]]) -> Result<&'static [u8], Errno> {
        let copy = self.take(parts.iter().map(|part| part.len()).sum())?;
        let mut at = 0;
        for part in parts {
            copy[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(copy)
    }

    pub fn keep_text(&mut self, text: &CStr) -> Result<&'static CStr, Errno> {
        CStr::from_bytes_with_nul(self.keep(&[text.to_bytes_with_nul()])?).map_err(|_| Errno::INVAL)
    }

    /// So many words.
    pub fn words(&mut self, count: usize) -> Result<&'static mut [usize], Errno> {
        // One more, for what is lost to the alignment.
        let words = sys::as_words(self.take((count + 1) * size_of::<usize>())?);
        Ok(&mut words[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_apart_and_what_does_not_fit_is_elsewhere() {
        let (plan, mut room) = Room::behind(3).unwrap();
        plan.copy_from_slice(b"abc");
        let path = room.keep_text(c"/bin/sh").unwrap();
        let words = room.words(5).unwrap();
        words.fill(usize::MAX);
        let large = room.words(SPARE).unwrap();
        large.fill(usize::MAX);
        let small = room.keep(&[b"HOME=", b"/", b"\0"]).unwrap();
        assert_eq!((&*plan, path, small), (&b"abc"[..], c"/bin/sh", &b"HOME=/\0"[..]));
        assert_eq!((words.len(), large.len()), (5, SPARE));
    }
}
