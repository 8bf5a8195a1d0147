//! CRIU says why only in its log.
#![forbid(unsafe_code)]
use super::images::Directory;
use rustix::fs::{Mode, OFlags, SeekFrom};

/// Where CRIU writes what it does.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) directory: Directory,
    pub(super) name: &'static str,
}

impl Log {
    /// The last errors in it, or where there are none its last lines; on one line, after where the rest is.
    pub(super) fn tail(&self) -> String {
        const MOST: usize = 64 * 1024;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // may fail: the end of the log only adds to an error.
        let Ok(file) = rustix::fs::openat(&self.directory.fd, self.name, flags, Mode::empty()) else {
            return String::new();
        };
        // may fail: as above.
        let size = rustix::fs::fstat(&file).map_or(0, |stat| stat.st_size as u64);
        let mut bytes = vec![0; MOST];
        let read = rustix::fs::seek(&file, SeekFrom::Start(size.saturating_sub(MOST as u64)))
            .and_then(|_| rustix::io::read(&file, &mut bytes[..]));
        bytes.truncate(read.unwrap_or(0));
        match excerpt(&String::from_utf8_lossy(&bytes)) {
            excerpt if excerpt.is_empty() => String::new(),
            excerpt => format!("{}: {excerpt}", self.directory.path.join(self.name).display()),
        }
    }
}

pub(super) fn excerpt(log: &str) -> String {
    const ERRORS: usize = 6;
    const LINES: usize = 3;
    let last = |lines: Vec<&str>, most: usize| lines[lines.len().saturating_sub(most)..].join("; ");
    let errors: Vec<_> = log.lines().filter(|line| line.contains("Error")).collect();
    let excerpt = match errors.is_empty() {
        false => last(errors, ERRORS),
        true => last(log.lines().collect(), LINES),
    };
    // The container chooses names that come up in it.
    excerpt.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn errors_are_quoted_and_else_the_end() {
        assert_eq!(excerpt("a\nError 1\nb\nError 2\nc\n"), "Error 1; Error 2");
        assert_eq!(excerpt("1\n2\n3\n4\n"), "2; 3; 4");
        let many: String = (0..100).map(|number| format!("Error {number}\n")).collect();
        assert!(excerpt(&many).starts_with("Error 94; "));
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn no_name_of_the_containers_controls_the_terminal() {
        assert_eq!(excerpt("Error \x1b[31m\r"), "Error ?[31m?");
    }
}
