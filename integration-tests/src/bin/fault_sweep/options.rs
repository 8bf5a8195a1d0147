//! The command line.
use super::judge::{CASES, Case};
use nix::errno::Errno;

pub(super) struct Options {
    pub(super) jobs: usize,
    pub(super) every: usize,
    pub(super) errnos: Option<String>,
    pub(super) for_good: bool,
    pub(super) at: Option<String>,
    pub(super) verbose: bool,
    /// Which of the workers this process is.
    pub(super) worker: Option<usize>,
    /// All that it does.
    pub(super) case: Option<String>,
    /// First words of commands, or names of cases; all if there is none.
    pub(super) commands: Vec<String>,
}

impl Options {
    pub(super) fn parse() -> Options {
        let mut options = Options {
            jobs: 2,
            every: 1,
            errnos: None,
            for_good: false,
            at: None,
            verbose: false,
            worker: None,
            case: None,
            commands: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(word) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match &*word {
                "--jobs" => options.jobs = value().parse().expect("a number"),
                "--every" => options.every = value().parse().expect("a number"),
                "--worker" => options.worker = value().parse().ok(),
                "--case" => options.case = Some(value()),
                "--errno" => options.errnos = Some(value()),
                "--at" => options.at = Some(value()),
                "--for-good" => options.for_good = true,
                "--verbose" => options.verbose = true,
                _ => options.commands.push(word),
            }
        }
        options
    }

    pub(super) fn has_errno(&self, errno: Errno) -> bool {
        // Who tries again would try for ever, and rightly so.
        if self.for_good && matches!(errno, Errno::EINTR | Errno::EAGAIN) {
            return false;
        }
        let name = format!("{errno:?}");
        self.errnos.as_ref().is_none_or(|names| names.split(',').any(|wanted| wanted == name))
    }

    pub(super) fn cases(&self) -> impl Iterator<Item = &'static Case> {
        let wanted = |case: &&Case| match &self.case {
            Some(name) => case.name == name,
            None => self.commands.is_empty() || self.commands.iter().any(|word| case.is_called(word)),
        };
        CASES.iter().filter(wanted)
    }
}
