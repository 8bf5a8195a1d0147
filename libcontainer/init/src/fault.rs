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

impl core::fmt::Write for Detail {
    fn write_str(&mut self, words: &str) -> core::fmt::Result {
        self.say(words.as_bytes());
        Ok(())
    }
}
