//! How a step fails: the call and its errno. The line is added by the interpreter, the kernel's words are in [`Detail`].
use rustix::io::Errno;
use step::{Call, DETAIL};

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub call: Call,
    pub errno: Errno,
}

impl Fault {
    pub fn new(call: Call, errno: Errno) -> Fault {
        Fault { call, errno }
    }
}

/// What every step returns.
pub type Result<T = ()> = core::result::Result<T, Fault>;

/// The whole error plumbing: `.at(Call::Open)?`.
pub trait At<T> {
    /// Names the call that failed.
    fn at(self, call: Call) -> Result<T>;
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, call: Call) -> Result<T> {
        self.map_err(|errno| Fault { call, errno })
    }
}

/// A buffer for the kernel's words, or for what a step has to say itself.
#[derive(Debug)]
pub struct Detail {
    buffer: [u8; DETAIL],
    len: usize,
}

impl Default for Detail {
    fn default() -> Detail {
        Detail { buffer: [0; DETAIL], len: 0 }
    }
}

impl Detail {
    /// Forget what was said.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Append, up to the buffer's end.
    pub fn say(&mut self, words: &[u8]) -> &mut Detail {
        let n = words.len().min(DETAIL - self.len);
        self.buffer[self.len..self.len + n].copy_from_slice(&words[..n]);
        self.len += n;
        self
    }

    /// Append a number.
    pub fn say_number(&mut self, number: i64) -> &mut Detail {
        if number < 0 {
            self.say(b"-");
        }
        self.say(digits(number.unsigned_abs(), 10, &mut [0; 22]))
    }

    /// The same with the digits of chmod(1).
    pub fn say_octal(&mut self, number: u32) -> &mut Detail {
        self.say(digits(number.into(), 8, &mut [0; 22]))
    }

    /// Append, at the price of what was said first.
    pub fn say_last(&mut self, words: &[u8]) {
        let words = &words[words.len().saturating_sub(DETAIL)..];
        let over = (self.len + words.len()).saturating_sub(DETAIL);
        self.buffer.copy_within(over..self.len, 0);
        self.len -= over;
        self.say(words);
    }

    /// The end of what was said, without blank space behind it, in at most `room` bytes: whole lines if there are any, or else whole
    /// letters.
    pub fn ending(&self, room: usize) -> &[u8] {
        let words = self.as_bytes();
        let is_whole = self.len < DETAIL && words.trim_ascii_end().len() <= room;
        let words = words.trim_ascii_end();
        let words = &words[words.len().saturating_sub(room)..];
        if is_whole {
            return words;
        }
        match words.iter().position(|byte| *byte == b'\n') {
            Some(end) => &words[end + 1..],
            None => &words[words.iter().position(|byte| byte & 0xc0 != 0x80).unwrap_or(0)..],
        }
    }

    /// How many bytes there is room for.
    pub fn room(&self) -> usize {
        DETAIL - self.len
    }

    /// The same of what may be long: the kernel's words have to follow it.
    pub fn say_in_short(&mut self, words: &[u8]) -> &mut Detail {
        const SHORT: usize = 120;
        match words.get(..SHORT) {
            Some(short) => self.say(short).say("…".as_bytes()),
            None => self.say(words),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// A number as text. (`core::fmt` would be a page of every created container.)
fn digits(mut number: u64, base: u64, buffer: &mut [u8; 22]) -> &[u8] {
    let mut first = buffer.len();
    loop {
        first -= 1;
        // Below the base, which is 10 or 8.
        buffer[first] = b'0' + (number % base).to_le_bytes()[0];
        number /= base;
        if number == 0 {
            return &buffer[first..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_format_writes_them() {
        for number in [0, 7, -1, 10, -1000, i64::MAX, i64::MIN] {
            assert_eq!(Detail::default().say_number(number).as_bytes(), number.to_string().as_bytes());
        }
        for number in [0, 0o755, 0o7777, u32::MAX] {
            assert_eq!(Detail::default().say_octal(number).as_bytes(), format!("{number:o}").as_bytes());
        }
    }

    #[test]
    fn what_was_said_last_is_kept() {
        let mut words = Detail::default();
        assert_eq!(words.ending(9), b"");
        words.say_last(b"one\ntwo\n\n");
        assert_eq!((words.ending(7), words.ending(5), words.ending(2)), (&b"one\ntwo"[..], &b"two"[..], &b"wo"[..]));
        for _ in 0..100 {
            words.say_last(b"a line of twenty-one\n");
        }
        words.say_last(b"the last line\n");
        assert_eq!(words.ending(36), b"a line of twenty-one\nthe last line");
        assert_eq!(words.ending(30), b"the last line");
        assert!(words.ending(DETAIL).starts_with(b"a line of twenty-one\na line"));
        words.say_last("ä".repeat(1000).as_bytes());
        assert_eq!(words.ending(DETAIL), "ä".repeat(DETAIL / 2).as_bytes());
        assert_eq!(words.ending(5), "ää".as_bytes());
    }
}
