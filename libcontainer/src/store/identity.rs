//! Who a pid stands for: numbers are used again, and an error is no answer.
//!
//! A pidfd is a file, and on pidfs its inode number is one process's for as long as the kernel runs: comparing it asks nothing of
//! procfs, which may hide the process (`hidepid=`), not be there, or tell a start time that a time namespace has set off.
#![forbid(unsafe_code)]
use crate::{Error, ErrorKind, Result, facts, sys};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// `PID_FS_MAGIC`, `TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h.
const PIDFS: i128 = 0x5049_4446;
const IN_MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];

/// A process and nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// The inode number of its pidfd. KERNEL(6.9): pidfs; before, all pidfds are one inode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pidfd: Option<u64>,
    /// The boot that the number is of, if the store outlives one: the next counts from the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// In clock ticks since boot (proc_pid_stat(5), field 22), where there is no pidfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
}

/// Whether a process lives.
#[derive(Debug)]
pub(crate) enum Life {
    /// It does, or did when it was asked: a pidfd of exactly this process.
    Alive(OwnedFd),
    /// It has ended (a zombie has); its number may be another's.
    Ended,
}

impl Life {
    pub(crate) fn pidfd(self) -> Option<OwnedFd> {
        match self {
            Life::Alive(pidfd) => Some(pidfd),
            Life::Ended => None,
        }
    }
}

impl ProcessId {
    /// Of the process behind `pidfd`, whose number is `pid`, to be written down in `store`.
    pub(crate) fn of(pid: i32, pidfd: BorrowedFd<'_>, store: BorrowedFd<'_>) -> Result<ProcessId> {
        let Some(inode) = inode(pidfd, pid)? else {
            return Ok(ProcessId { pid, pidfd: None, boot: None, start_time: Some(start_time(pid)?) });
        };
        let boot = if dies_with_the_boot(store)? { None } else { boot_id()? };
        Ok(ProcessId { pid, pidfd: Some(inode), boot, start_time: None })
    }

    pub(crate) fn life(&self) -> Result<Life> {
        let pidfd = match sys::pidfd_open(self.pid) {
            // Nobody's number (any more), or that of a thread.
            Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => return Ok(Life::Ended),
            opened => opened.map_err(|errno| unknown(self.pid, "pidfd_open", errno))?,
        };
        // The dead keep their number until they are waited for.
        if has_ended(pidfd.as_fd(), self.pid)? {
            return Ok(Life::Ended);
        }
        let same = match self.pidfd {
            Some(recorded) => inode(pidfd.as_fd(), self.pid)? == Some(recorded) && self.is_of_this_boot()?,
            None => match start_time(self.pid) {
                // Asked after the pidfd was opened: whoever has the number now is who the pidfd stands for.
                Ok(now) => Some(now) == self.start_time,
                Err(_) if has_ended(pidfd.as_fd(), self.pid)? => return Ok(Life::Ended),
                Err(error) => return Err(error),
            },
        };
        Ok(if same { Life::Alive(pidfd) } else { Life::Ended })
    }

    /// A line of text, of less than 60 bytes: so long ext4 keeps the target of a link in its inode, and asks for no block.
    pub(super) fn to_text(&self) -> String {
        let Self { pid, pidfd, boot, start_time } = self;
        match (pidfd, boot, start_time) {
            (Some(inode), Some(boot), _) => format!("{pid} {inode} {boot}"),
            (Some(inode), None, _) => format!("{pid} {inode}"),
            (None, _, time) => format!("{pid} @{}", time.unwrap_or_default()),
        }
    }

    /// What [`ProcessId::to_text`] has written; `None` if it has not.
    pub(super) fn from_text(text: &str) -> Option<ProcessId> {
        let mut words = text.split(' ');
        let pid = words.next()?.parse().ok()?;
        let what = words.next()?;
        let boot = words.next().map(str::to_owned);
        let (pidfd, start_time) = match what.strip_prefix('@') {
            Some(ticks) => (None, Some(ticks.parse().ok()?)),
            None => (Some(what.parse().ok()?), None),
        };
        Some(ProcessId { pid, pidfd, boot, start_time }).filter(|_| words.next().is_none())
    }

    fn is_of_this_boot(&self) -> Result<bool> {
        match &self.boot {
            None => Ok(true),
            recorded => Ok(*recorded == boot_id()?),
        }
    }
}

fn unknown(pid: i32, call: &str, errno: Errno) -> Error {
    Error::system("find out whether the container's init lives", format!("{call}({pid})"), errno)
}

/// `None` before pidfs.
fn inode(pidfd: BorrowedFd<'_>, pid: i32) -> Result<Option<u64>> {
    // All pidfds of a kernel are on one filesystem.
    static IS_PIDFS: OnceLock<bool> = OnceLock::new();
    let is_pidfs = match IS_PIDFS.get() {
        Some(known) => *known,
        None => {
            let filesystem = rustix::fs::fstatfs(pidfd).map_err(|errno| unknown(pid, "fstatfs", errno))?;
            *IS_PIDFS.get_or_init(|| i128::from(filesystem.f_type) == PIDFS)
        }
    };
    if !is_pidfs {
        return Ok(None);
    }
    rustix::fs::fstat(pidfd).map(|stat| Some(stat.st_ino)).map_err(|errno| unknown(pid, "fstat", errno))
}

fn has_ended(pidfd: BorrowedFd<'_>, pid: i32) -> Result<bool> {
    let mut asked = [PollFd::new(&pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut asked, Some(&now)) {
        Ok(ready) => Ok(ready > 0),
        Err(errno) => Err(unknown(pid, "poll", errno)),
    }
}

fn start_time(pid: i32) -> Result<u64> {
    let stat = facts::read(format!("/proc/{pid}/stat")).map_err(|error| {
        let hidden = error.errno() == Some(Errno::NOENT.raw_os_error());
        let hint = "hint: before Linux 6.9 the container's process has to be seen in /proc, which may be mounted with hidepid=";
        if hidden { error.detail(hint) } else { error }
    })?;
    // The command in parentheses may itself hold spaces and parentheses.
    let time = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_ascii_whitespace().nth(19)?.parse().ok());
    time.ok_or_else(|| Error::new(ErrorKind::System, format!("read /proc/{pid}/stat: no start time in {stat:?}")))
}

fn dies_with_the_boot(store: BorrowedFd<'_>) -> Result<bool> {
    let filesystem = rustix::fs::fstatfs(store)
        .map_err(|errno| Error::system("look at the filesystem of the store", "fstatfs", errno))?;
    Ok(IN_MEMORY.contains(&i128::from(filesystem.f_type)))
}

/// `None` in a procfs without `/proc/sys` (`subset=pid`). Asked once: no process outlives its boot.
fn boot_id() -> Result<Option<String>> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT.get() {
        return Ok(Some(known.clone()));
    }
    match facts::read("/proc/sys/kernel/random/boot_id") {
        Err(error) if error.errno() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
        read => read.map(|text| Some(BOOT.get_or_init(|| text.trim_end().to_owned()).clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, i32, OwnedFd) {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        (child, pid, sys::pidfd_open(pid).unwrap())
    }

    fn lives(id: &ProcessId) -> bool {
        matches!(id.life().unwrap(), Life::Alive(_))
    }

    #[test]
    fn a_process_is_itself_until_it_ends_by_inode_and_by_start_time() {
        let (mut child, pid, pidfd) = sleeper();
        let store = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        let new = ProcessId::of(pid, pidfd.as_fd(), store.as_fd()).unwrap();
        let old = ProcessId { pid, pidfd: None, boot: None, start_time: Some(start_time(pid).unwrap()) };
        assert!(lives(&new) && lives(&old));
        child.kill().unwrap();
        // Dead, though nobody has waited for it.
        while !has_ended(pidfd.as_fd(), pid).unwrap() {
            std::thread::yield_now();
        }
        assert!(!lives(&new) && !lives(&old));
        child.wait().unwrap();
        assert!(!lives(&new) && !lives(&old));
    }

    #[test]
    fn the_same_number_is_not_the_same_process() {
        let (mut child, pid, pidfd) = sleeper();
        let store = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        let id = ProcessId::of(pid, pidfd.as_fd(), store.as_fd()).unwrap();
        if let Some(inode) = id.pidfd {
            assert!(!lives(&ProcessId { pidfd: Some(inode + 1), ..id.clone() }));
            assert!(!lives(&ProcessId { boot: Some("another".to_owned()), ..id.clone() }));
        }
        let ticks = start_time(pid).unwrap();
        assert!(!lives(&ProcessId { pidfd: None, start_time: Some(ticks + 1), ..id.clone() }));
        // Of a record that says neither nothing can be told but that the number may be anybody's.
        assert!(!lives(&ProcessId { pidfd: None, boot: None, start_time: None, ..id }));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn it_is_told_in_one_short_line() {
        let boot = || Some("8634dcf8-bc86-4abf-83b7-375ba2f3b73b".to_owned());
        let largest = ProcessId { pid: 4_194_303, pidfd: Some(99_999_999), boot: boot(), start_time: None };
        assert!(largest.to_text().len() < 60, "{}", largest.to_text());
        let other = ProcessId { pid: 7, pidfd: Some(8), boot: None, start_time: None };
        let old = ProcessId { pid: 7, pidfd: None, boot: None, start_time: Some(9) };
        assert_eq!([other.to_text(), old.to_text()], ["7 8", "7 @9"]);
        for id in [largest, other, old] {
            assert_eq!(ProcessId::from_text(&id.to_text()), Some(id));
        }
        for text in ["", "7", "x 8", "7 x", "7 @", "7 8 boot more", "{\"pid\":7}"] {
            assert_eq!(ProcessId::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn what_an_older_version_has_written_is_understood() {
        let (mut child, pid, _) = sleeper();
        let text = format!("{{\"pid\":{pid},\"start_time\":{}}}", start_time(pid).unwrap());
        assert!(lives(&serde_json::from_str(&text).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
