//! Talking to [CRIU](https://criu.org/RPC): a process of its own (`criu swrk`) for each checkpoint or restore, which is asked
//! over a socket and asks back at certain points ([`Event`]).
#![deny(unsafe_code)]
pub(crate) mod external;
pub(crate) mod images;
#[cfg(any(test, fuzzing))]
pub(crate) mod laws;
mod log_file;
mod message;
pub(crate) mod namespaces;
mod options;
pub(crate) mod search;
pub(crate) mod streams;

pub(crate) use message::Message;
pub use options::{CriuOptions, ManageCgroups, NetworkLock};

use crate::sys::{self, Helper, Running};
use crate::{Error, ErrorKind, Result};
use images::Directory;
use log_file::Log;
use message::{Value, fields};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, IoSliceMut};
use rustix::mount::MountPropagationFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketFlags,
    SocketType,
};
use rustix::process::WaitIdStatus;
use std::ffi::{CString, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `criu_req_type`, as far as it is used. The names are those of rpc.proto, which runc prints and people search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, reason = "the names of rpc.proto")]
pub(crate) enum Kind {
    DUMP = 1,
    RESTORE = 2,
    NOTIFY = 6,
    FEATURE_CHECK = 9,
    VERSION = 10,
    SINGLE_PRE_DUMP = 13,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::DUMP, Kind::RESTORE, Kind::NOTIFY, Kind::FEATURE_CHECK, Kind::VERSION, Kind::SINGLE_PRE_DUMP];
}

/// Fields of `criu_opts`.
pub(crate) mod option {
    pub(crate) const IMAGES_DIR_FD: u64 = 1;
    pub(crate) const PID: u64 = 2;
    pub(crate) const LEAVE_RUNNING: u64 = 3;
    pub(crate) const EXT_UNIX_SK: u64 = 4;
    pub(crate) const TCP_ESTABLISHED: u64 = 5;
    pub(crate) const EVASIVE_DEVICES: u64 = 6;
    pub(crate) const SHELL_JOB: u64 = 7;
    pub(crate) const FILE_LOCKS: u64 = 8;
    pub(crate) const LOG_LEVEL: u64 = 9;
    pub(crate) const LOG_FILE: u64 = 10;
    pub(crate) const PAGE_SERVER: u64 = 11;
    pub(crate) const NOTIFY_SCRIPTS: u64 = 12;
    pub(crate) const ROOT: u64 = 13;
    pub(crate) const PARENT_IMG: u64 = 14;
    pub(crate) const TRACK_MEM: u64 = 15;
    pub(crate) const AUTO_DEDUP: u64 = 16;
    pub(crate) const WORK_DIR_FD: u64 = 17;
    pub(crate) const LINK_REMAP: u64 = 18;
    pub(crate) const EXT_MNT: u64 = 23;
    pub(crate) const CG_ROOT: u64 = 25;
    pub(crate) const RST_SIBLING: u64 = 26;
    pub(crate) const INHERIT_FD: u64 = 27;
    pub(crate) const MANAGE_CGROUPS_MODE: u64 = 34;
    pub(crate) const EXTERNAL: u64 = 37;
    pub(crate) const EMPTY_NS: u64 = 38;
    pub(crate) const JOIN_NS: u64 = 39;
    pub(crate) const FREEZE_CGROUP: u64 = 44;
    pub(crate) const TCP_SKIP_IN_FLIGHT: u64 = 46;
    pub(crate) const LAZY_PAGES: u64 = 48;
    pub(crate) const ORPHAN_PTS_MASTER: u64 = 50;
    pub(crate) const CONFIG_FILE: u64 = 51;
    pub(crate) const TCP_CLOSE: u64 = 52;
    pub(crate) const LSM_PROFILE: u64 = 53;
    pub(crate) const LSM_MOUNT_CONTEXT: u64 = 63;
    pub(crate) const NETWORK_LOCK: u64 = 64;
}

/// What CRIU may lack, by the field of `criu_features` that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    MemTrack = 1,
    LazyPages = 2,
}

/// CRIU stands at a point where it lets others act, and waits.
#[derive(Debug)]
pub(crate) struct Event {
    /// `setup-namespaces`, `post-restore`, …
    pub(crate) script: String,
    pub(crate) pid: Option<i32>,
    /// The master of a terminal (`orphan-pts-master`).
    pub(crate) rider: Option<OwnedFd>,
}

/// A CRIU at work. Ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Criu {
    socket: OwnedFd,
    process: Running,
    log: Log,
}

/// How a CRIU is started.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) helper: Helper,
    /// What become its standard streams, and with them the container's.
    pub(crate) streams: Option<[OwnedFd; 3]>,
    /// Where it works, and writes its log.
    pub(crate) work: &'a Path,
    pub(crate) log: &'static str,
    /// In a mount namespace of its own this tree is mounted over that directory: nobody who dies leaves a mount behind.
    pub(crate) mount: Option<(&'a Path, &'a Path)>,
}

/// The oldest with everything that is asked for here: `SINGLE_PRE_DUMP`.
const OLDEST: (i32, i32) = (3, 17);

impl Criu {
    /// Starts the `criu` of the caller's `PATH`, before any root filesystem is opened, with nothing else of the caller's
    /// environment.
    pub(crate) fn start(start: Start<'_>) -> Result<Criu> {
        let Some((tree, over)) = start.mount else { return Criu::start_here(start) };
        let begin = || {
            let fail = |call: &str, errno| Error::system("mount the root filesystem for criu", call, errno);
            sys::unshare_mounts().map_err(|errno| fail("unshare(CLONE_NEWNS)", errno))?;
            let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", propagation).map_err(|errno| fail("mount(/, MS_SLAVE)", errno))?;
            rustix::mount::mount_bind_recursive(tree, over)
                .map_err(|errno| fail(&format!("mount({}, MS_BIND)", tree.display()), errno))?;
            // CRIU mounts things where it works: that directory has to be of its mount namespace too.
            Criu::start_here(start)
        };
        // A thread, because the hooks that we run while CRIU waits belong to the caller's mount namespace.
        sys::on_a_thread(|| Ok(begin())).map_err(|errno| Error::system("start criu", "clone3", errno))?
    }

    fn start_here(start: Start<'_>) -> Result<Criu> {
        let log = Log { directory: Directory::open(start.work)?, name: start.log };
        log.directory.check_log(log.name)?;
        let path = std::env::var_os("PATH").filter(|path| !path.is_empty());
        let path = path.unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        let program = find(&path)?;
        let fail = |call: &str, errno| Error::system("start criu", call, errno);
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| fail("socketpair", errno))?;
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| fail("execve", Errno::INVAL));
        let argv = [text(program.as_os_str())?, c"swrk".to_owned(), text(theirs.as_raw_fd().to_string().as_ref())?];
        // CRIU itself looks for iptables-restore, tar and the like.
        let mut environment = OsString::from("PATH=");
        environment.push(&path);
        let streams = match start.streams {
            Some(streams) => streams,
            None => [null()?, null()?, null()?],
        };
        let mut helper = start.helper;
        helper.keep.push(theirs);
        let process = sys::start(&argv, &[text(&environment)?], streams, &helper)
            .map_err(|unborn| fail(&format!("{}({})", unborn.call, program.display()), unborn.errno))?;
        // `helper` goes, and with it our copy of its end: should it die, we hear of it.
        Ok(Criu { socket: ours, process, log })
    }

    /// Where it works, as a descriptor of ours.
    pub(crate) fn work(&self) -> i32 {
        self.log.directory.fd.as_raw_fd()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid
    }

    /// An error if this CRIU is too old.
    pub(crate) fn check_version(&mut self) -> Result<()> {
        let answer = self.ask(Kind::VERSION, None, &mut |_| Ok(()))?;
        let part = |field| number_in(answer.version.as_deref(), field).unwrap_or(0);
        let version = (part(1), part(2));
        if version < OLDEST {
            let ((major, minor), (oldest, least)) = (version, OLDEST);
            let message = format!("criu {oldest}.{least} or newer is needed, this is {major}.{minor}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// An error if this CRIU on this kernel cannot do it.
    pub(crate) fn check_feature(&mut self, feature: Feature) -> Result<()> {
        let wanted = Message::default().number(feature as u64, true);
        let request = request(Kind::FEATURE_CHECK).number(4, true).message(5, &wanted);
        let answer = self.exchange(Kind::FEATURE_CHECK, &request, &mut |_| Ok(()))?;
        match number_in(answer.features.as_deref(), feature as u64) {
            Some(1) => Ok(()),
            _ => Err(Error::new(ErrorKind::Unsupported, format!("criu is missing features: [{feature:?}]"))),
        }
    }

    /// Asks for the one thing that this CRIU is there for, and waits until it has ended.
    pub(crate) fn finish(
        mut self,
        kind: Kind,
        options: &Message,
        act: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        self.ask(kind, Some(options), act)?;
        // may fail: CRIU has ended, then.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
        let ended = self.process.wait().map_err(|errno| Error::system("wait for criu", "waitid", errno))?;
        if ended.exit_status() != Some(0) {
            let message = format!("criu failed: {}", in_words(ended));
            return Err(Error::new(ErrorKind::System, message).detail(self.log.tail()));
        }
        Ok(())
    }

    fn ask(
        &mut self,
        kind: Kind,
        options: Option<&Message>,
        act: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Answer> {
        let request = match options {
            Some(options) => request(kind).message(2, options),
            // `keep_open`: there is more to come.
            None => request(kind).number(4, true),
        };
        self.exchange(kind, &request, act)
    }

    fn exchange(&mut self, kind: Kind, request: &Message, act: &mut dyn FnMut(Event) -> Result<()>) -> Result<Answer> {
        self.send(request)?;
        let mut acted = Ok(());
        loop {
            let (mut answer, rider) = match self.receive(kind) {
                Ok(heard) => heard,
                // What made it fail says more than that it did.
                Err(error) => return acted.and(Err(error)),
            };
            if let Some(event) = answer.event.take() {
                log::debug!("criu: {}", event.script);
                acted = acted.and_then(|()| act(Event { rider, ..event }));
                // CRIU undoes what it has done, and then says that it has failed.
                // may fail: CRIU is told, and the error is kept.
                self.send(&self::request(Kind::NOTIFY).number(3, acted.is_ok()))?;
                continue;
            }
            acted?;
            return match answer.success {
                true => Ok(answer),
                false => Err(answer.failure(kind).detail(self.log.tail())),
            };
        }
    }

    fn send(&self, message: &Message) -> Result<()> {
        match rustix::net::send(&self.socket, message.as_bytes(), SendFlags::NOSIGNAL) {
            // It has ended; what it said before says more.
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(Error::system("speak to criu", "send", errno)),
        }
    }

    fn receive(&mut self, kind: Kind) -> Result<(Answer, Option<OwnedFd>)> {
        let mut buffer = [0; 16 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            match rustix::net::recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => break None,
                received => break Some(received.map_err(|errno| Error::system("listen to criu", "recvmsg", errno))?),
            }
        };
        let rider = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let Some(received) = received.filter(|received| received.bytes > 0) else {
            // may fail: how it has ended only adds to an error.
            let ended = self.process.wait().map(in_words).unwrap_or_default();
            let message = format!("criu failed: type {kind:?}: criu ended: {ended}");
            return Err(Error::new(ErrorKind::System, message).detail(self.log.tail()));
        };
        let whole = !received.flags.contains(ReturnFlags::TRUNC);
        let answer = fields(&buffer[..received.bytes]).filter(|_| whole).map(|fields| Answer::of(&fields));
        let answer = answer.ok_or_else(|| Error::new(ErrorKind::System, "criu's answer cannot be understood"))?;
        Ok((answer, rider))
    }
}

/// As std says it.
fn in_words(ended: &WaitIdStatus) -> String {
    match (ended.exit_status(), ended.terminating_signal()) {
        (Some(status), _) => format!("exit status: {status}"),
        (None, signal) => format!("signal: {}", signal.unwrap_or_default()),
    }
}

fn null() -> Result<OwnedFd> {
    rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("start criu", "open(/dev/null)", errno))
}

fn request(kind: Kind) -> Message {
    Message::default().number(1, kind as i32)
}

/// `inherit_fd`: what CRIU takes in the place of `key`, which the images name.
fn inherited(key: &str, descriptor: i32) -> Message {
    Message::default().text(1, key).number(2, descriptor)
}

fn number_in(message: Option<&[u8]>, field: u64) -> Option<i32> {
    let fields = fields(message?)?;
    fields.into_iter().find(|(number, _)| *number == field).and_then(|(_, value)| value.number())
}

/// `criu_resp`.
#[derive(Debug, Default)]
struct Answer {
    kind: Option<i32>,
    success: bool,
    event: Option<Event>,
    errno: i32,
    version: Option<Vec<u8>>,
    features: Option<Vec<u8>>,
}

impl Answer {
    fn of(all: &[(u64, Value<'_>)]) -> Answer {
        let mut answer = Answer::default();
        for (field, value) in all {
            match (field, value) {
                (1, value) => answer.kind = value.number(),
                (2, value) => answer.success = value.number() == Some(1),
                (5, Value::Bytes(bytes)) => {
                    let fields = fields(bytes).unwrap_or_default();
                    let find = |wanted| fields.iter().find(|(field, _)| *field == wanted).map(|(_, value)| value);
                    let script = find(1).and_then(|value| value.text()).unwrap_or_default();
                    answer.event = Some(Event { script, pid: find(2).and_then(|value| value.number()), rider: None });
                }
                (7, value) => answer.errno = value.number().unwrap_or(0),
                (8, Value::Bytes(bytes)) => answer.features = Some(bytes.to_vec()),
                (10, Value::Bytes(bytes)) => answer.version = Some(bytes.to_vec()),
                _ => {}
            }
        }
        answer
    }

    /// In runc's words.
    fn failure(&self, asked: Kind) -> Error {
        let kind = Kind::ALL.into_iter().find(|kind| Some(*kind as i32) == self.kind).unwrap_or(asked);
        Error::new(ErrorKind::System, format!("criu failed: type {kind:?} errno {}", self.errno))
    }
}

/// A relative entry of `PATH` would be looked up wherever the caller happens to be.
fn find(path: &OsString) -> Result<PathBuf> {
    let executable = |program: &PathBuf| {
        // may fail: as execvp(3), which takes the next in PATH.
        std::fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let mut programs =
        std::env::split_paths(path).filter(|directory| directory.is_absolute()).map(|directory| directory.join("criu"));
    programs.find(executable).ok_or_else(|| {
        let message = "criu is not installed: exec: \"criu\": executable file not found in $PATH";
        Error::new(ErrorKind::Unsupported, message)
    })
}
