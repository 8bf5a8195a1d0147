//! POSIX extended regular expressions, from the C library: crun's `--regex` means these.
use crate::failure::Failure;
use std::ffi::CString;
use std::mem::MaybeUninit;

/// A compiled expression.
pub(crate) struct Regex(libc::regex_t);

impl Regex {
    pub(crate) fn new(pattern: &str) -> Result<Regex, Failure> {
        let invalid = || Failure::new(format!("invalid regular expression {pattern:?}"));
        let text = CString::new(pattern).map_err(|_| invalid())?;
        let mut compiled = MaybeUninit::uninit();
        // SAFETY: `text` ends with a NUL, and `compiled` has room for what regcomp(3) writes.
        let failed =
            unsafe { libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) };
        if failed != 0 {
            return Err(invalid());
        }
        // SAFETY: regcomp(3) has returned 0, and so filled it in.
        Ok(Regex(unsafe { compiled.assume_init() }))
    }

    /// Whether it matches somewhere in `text`.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        // SAFETY: compiled, and not freed before it is dropped; with REG_NOSUB nothing is written to the matches.
        unsafe { libc::regexec(&raw const self.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: compiled, and used no more.
        unsafe { libc::regfree(&raw mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::Regex;

    #[test]
    fn an_expression_matches_anywhere_unless_it_says_where() {
        let matches = |pattern: &str, text: &str| Regex::new(pattern).unwrap().matches(text);
        assert!(matches("web", "my-web-1") && matches("^web-[0-9]+$", "web-12") && matches("a|b", "xb"));
        assert!(!matches("^web$", "web-1") && !matches("db", "web"));
        assert!(Regex::new("(").is_err() && Regex::new("a\0b").is_err());
    }
}
