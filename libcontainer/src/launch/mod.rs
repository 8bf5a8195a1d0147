//! Plays a plan: the host's lines here, init's by init. The only place where the two meet.
mod channel;
pub(crate) mod descriptors;
mod entry;
mod failure;
pub(crate) mod folder;
mod hints;
mod hooks;
mod id_mappings;
pub(crate) mod intel_rdt;
mod make_node;
pub(crate) mod net_devices;
mod note_mount;
mod open_mount;
mod seccomp_listener;
pub(crate) mod streams;

pub(crate) use channel::{Channel, Heard, last_words};
pub(crate) use failure::{deadline_range, explain, silent_death};
pub(crate) use hooks::Hooks;
pub(crate) use id_mappings::helper as id_map_helper;
pub(crate) use note_mount::{Note, notes};

use crate::cgroup;
use crate::plan::line::{self, Action, HostStep, Line};
use crate::plan::{DOOR, SAID, START, asked_namespace};
use crate::systemd::{self, Starting};
use crate::trace::{self, Trace};
use crate::{Bundle, Error, ErrorKind, Result, sys};
use entry::Entry;
use folder::note_scope;
use id_mappings::host_id;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::process::{WaitId, WaitIdOptions};
use std::path::{Path, PathBuf};
use step::{DESCRIPTORS, Step};

/// What the host's lines need besides the plan.
pub(crate) struct Host<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) bundle: &'a Path,
    /// The container's directory in the store.
    pub(crate) state: BorrowedFd<'a>,
    /// The container's init, for an `exec` to join.
    pub(crate) init: Option<OwnedFd>,
    pub(crate) stdio: Option<[i32; 3]>,
    pub(crate) preserve: u32,
    /// Whether the groups that the plan names are ours by now. One that was there before, with processes in it, is
    /// somebody else's, and must be left alone after a failure.
    pub(crate) made_cgroups: bool,
    /// Who gets the console's master: this socket, or the caller.
    pub(crate) console_socket: Option<&'a Path>,
    /// The container's state (for hooks, the seccomp agent), if it is the one being made: with this status and pid.
    pub(crate) describe: &'a dyn Fn(&str, i32) -> Vec<u8>,
    pub(crate) trace: Option<&'a Trace>,
    /// What `save-state` does with the pid.
    pub(crate) save: &'a mut dyn FnMut(i32, BorrowedFd<'_>) -> Result<()>,
}

/// A process that has come as far as its plan goes without anybody else.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) console: Option<OwnedFd>,
}

/// Plays `lines` from the first to the last of the host's. If anything fails, init is gone afterwards.
pub(crate) fn play(lines: &[Line], host: &mut Host<'_>) -> Result<Launched> {
    let clone = lines.iter().position(|line| matches!(line.action, Action::Host(HostStep::Clone { .. })));
    let clone = clone.ok_or_else(|| Error::new(ErrorKind::System, "the plan clones nothing"))?;
    let timed = |number: usize, begin: Option<u64>| {
        if let (Some(trace), Some(begin)) = (host.trace, begin) {
            trace.line(number, &lines[number], begin, trace::now());
        }
    };
    let mut files = cgroup::Writer::default();
    for (number, line) in lines[..clone].iter().enumerate() {
        log::debug!("host {line}");
        let begin = host.trace.map(|_| trace::now());
        let played = before_clone(line, &mut files).map_err(|error| error.at(line.origin()));
        timed(number, begin);
        played?;
        host.made_cgroups |= matches!(line.action, Action::Host(HostStep::CreateCgroup { .. }));
    }
    let Action::Host(step) = &lines[clone].action else { unreachable!("found as a host line above") };
    let (channel, socket) = Channel::pair()?;
    let streams = streams::seal(host.stdio)?;
    let entry = Entry { state: host.state, socket, stdio: streams.numbers, preserve: host.preserve };
    let begin = host.trace.map(|_| trace::now());
    // Its end of the socket must be open nowhere else afterwards, or its death would not be heard.
    let (pid, pidfd, descriptors) = entry::start(entry, step)?;
    timed(clone, begin);
    let mut made = Launched { pid, pidfd, console: None };
    let mut launch = Launch {
        lines,
        host,
        channel,
        made: &mut made,
        made_rdt: Vec::new(),
        starting: None,
        fork: lines.iter().position(|line| matches!(line.action, Action::Init(Step::Fork { .. }))),
        settled: false,
        since: 0,
    };
    launch.run(clone + 1, descriptors)?;
    launch.settled = true;
    drop(launch);
    Ok(made)
}

/// Plays a plan that ends without a program, in a process that is gone afterwards; `init` is who it joins.
pub(crate) fn play_to_the_end(
    lines: &[Line],
    bundle: &Bundle,
    state: BorrowedFd<'_>,
    init: Option<OwnedFd>,
) -> Result<()> {
    let mut host = Host {
        spec: bundle.spec(),
        bundle: bundle.path(),
        state,
        init,
        stdio: None,
        preserve: 0,
        made_cgroups: false,
        console_socket: None,
        describe: &|_, _| Vec::new(),
        trace: None,
        save: &mut |_, _| Ok(()),
    };
    let launched = play(lines, &mut host)?;
    reap(launched.pidfd.as_fd());
    Ok(())
}

/// What init is about to be told: it cannot log itself.
fn log_init_lines(lines: &[Line]) {
    for line in lines {
        let Action::Init(step) = &line.action else { continue };
        log::debug!("init {line}");
        if let Step::LoadSeccomp { flags, .. } = step {
            // runc's words and its number, which its tests look for.
            log::debug!("seccomp filter flags: {flags}");
        }
    }
}

/// Lines that come before there is an init.
pub(crate) fn before_clone(line: &Line, files: &mut cgroup::Writer) -> Result<()> {
    let Action::Host(step) = &line.action else {
        return Err(Error::new(ErrorKind::System, "a line of init's before the clone"));
    };
    match step {
        HostStep::CreateCgroup { groups } => cgroup::create(groups).map(drop),
        HostStep::WriteCgroup { file, value, tolerate } => files.write(file, value, tolerate),
        HostStep::AttachDeviceProgram { directory, program } => cgroup::attach_device_program(directory, program),
        HostStep::ChownCgroup { directory, uid } => cgroup::chown(directory, *uid),
        _ => Err(Error::new(ErrorKind::System, "a line that needs init before the clone")),
    }
}

/// Init at work.
struct Launch<'l, 'h, 'a> {
    lines: &'l [Line],
    host: &'h mut Host<'a>,
    channel: Channel,
    /// Outlives this: what it is given back by must not fail, for the program runs by then.
    made: &'l mut Launched,
    /// Groups of resctrl, the last first, to be undone if anything fails.
    made_rdt: Vec<PathBuf>,
    /// The scope that systemd has been asked for.
    starting: Option<Starting>,
    /// The line in which init forks, until it has said that it did.
    fork: Option<usize>,
    settled: bool,
    /// When init began what it is at, for a trace.
    since: u64,
}

impl Launch<'_, '_, '_> {
    fn run(&mut self, first: usize, mut descriptors: Vec<OwnedFd>) -> Result<()> {
        // Host lines that follow at once need no word from init.
        let mut next = first;
        while self.host_step(next).is_some() && descriptors.len() < DESCRIPTORS {
            descriptors.extend(self.play_line(next, &mut None)?);
            next += 1;
        }
        log_init_lines(&self.lines[next..]);
        self.since = self.host.trace.map_or(0, |_| trace::now());
        self.channel.send_plan(&encode(self.lines, next)?, self.traced_until(), &descriptors)?;
        drop(descriptors);
        let last = self.lines.iter().rposition(|line| matches!(line.action, Action::Host(_))).unwrap_or(0);
        let waits = self.ends_with_our_lines();
        let mut played_last = next > last;
        let mut executing = false;
        // It has come by the time that the line which takes it is reached, or with it.
        let mut rider = None;
        loop {
            match self.hear_in_order()? {
                Heard::Reached { line, rider: sent } => {
                    if Some(usize::from(line)) != self.next_of_ours(next) {
                        return Err(out_of_turn());
                    }
                    rider = sent.or(rider);
                    log::debug!("init {pid} has reached line {line}", pid = self.made.pid);
                    self.note_gap(self.lines.get(usize::from(line)));
                    let mut descriptors = Vec::new();
                    next = usize::from(line);
                    while self.host_step(next).is_some() {
                        descriptors.extend(self.play_line(next, &mut rider)?);
                        next += 1;
                    }
                    self.since = self.host.trace.map_or(0, |_| trace::now());
                    self.channel.send_go(&descriptors)?;
                    played_last = next > last;
                    if waits && played_last {
                        return Ok(());
                    }
                }
                Heard::Failed(words) => return Err(explain(self.lines, &words)),
                Heard::Executing => executing = true,
                // Its program it runs after the last of our lines, and not without a word.
                Heard::Closed if waits || !played_last || !executing => return Err(self.died()),
                Heard::Closed => {
                    self.note_gap(None);
                    return Ok(());
                }
                // Kept by `hear_in_order` and `hear`.
                Heard::Forked { .. } | Heard::Passed { .. } => {}
            }
        }
    }

    /// Whether nothing more is heard of init after the last of our lines: a container waits for `start`, and some plans end without
    /// a program. Every other process goes on to its own, which closes the socket.
    fn ends_with_our_lines(&self) -> bool {
        let has = |step: fn(&line::InitStep) -> bool| {
            self.lines.iter().any(|line| matches!(&line.action, Action::Init(found) if step(found)))
        };
        has(|step| matches!(step, Step::AwaitStart { .. })) || !has(|step| matches!(step, Step::Exec { .. }))
    }

    /// The next message, in the order of the plan: the new process may speak before the old one has said which that is.
    fn hear_in_order(&mut self) -> Result<Heard> {
        let mut early = None;
        loop {
            if early.is_some() {
                self.await_fork()?;
            }
            match self.hear()? {
                Heard::Forked { pid, by } => {
                    // Only who forks, which nobody in the container has met, says into what.
                    if self.fork.take().is_none() || by != self.made.pid {
                        return Err(out_of_turn());
                    }
                    self.adopt(pid)?;
                    if let Some(reached) = early {
                        return Ok(reached);
                    }
                }
                Heard::Reached { line, rider } if self.fork.is_some_and(|fork| fork < usize::from(line)) => {
                    early = Some(Heard::Reached { line, rider });
                }
                heard => return Ok(heard),
            }
        }
    }

    /// The first line of ours from this one on.
    fn next_of_ours(&self, from: usize) -> Option<usize> {
        (from..self.lines.len()).find(|at| self.host_step(*at).is_some())
    }

    /// Until the process that has forked says so. It may have been killed first (for want of memory, say), and the new one would wait
    /// for us for ever, as we for it.
    fn await_fork(&self) -> Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut either = [PollFd::new(&self.channel, PollFlags::IN), PollFd::new(&self.made.pidfd, PollFlags::IN)];
        while let Err(rustix::io::Errno::INTR) = poll(&mut either, None) {}
        // What it has said before it ended is there by the time it has ended.
        match either[0].revents().is_empty() {
            true => Err(self.died()),
            false => Ok(()),
        }
    }

    /// The next message that is not for the trace alone.
    fn hear(&mut self) -> Result<Heard> {
        loop {
            let heard = self.channel.receive()?;
            let Heard::Passed { line, nanoseconds } = heard else { return Ok(heard) };
            let Some(trace) = self.host.trace else { continue };
            // Init's clock may have been set off with its time namespace.
            let linux = self.host.spec.linux().as_ref();
            let offset =
                linux.is_some_and(|linux| linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty()));
            let end = if offset { trace::now() } else { nanoseconds };
            match self.lines.get(usize::from(line)) {
                Some(at) => trace.line(usize::from(line), at, self.since, end),
                None => trace.stretch("init", "(start init)", self.since, end),
            }
            self.since = end;
        }
    }

    /// What init did without telling: under its filter, or until its program ran.
    fn note_gap(&self, reached: Option<&Line>) {
        const NOTHING: u64 = 20_000;
        let Some(trace) = self.host.trace else { return };
        let now = trace::now();
        let step = if reached.is_some() { "(untraced lines)" } else { "(lines to execve)" };
        if now.saturating_sub(self.since) > NOTHING || reached.is_none() {
            trace.stretch("init", step, self.since, now);
        }
    }

    /// Init cannot tell the time under a filter that does not let it, and speaks to somebody else once the container is created.
    fn traced_until(&self) -> u16 {
        let last = |line: &Line| {
            matches!(
                line.action,
                Action::Init(Step::LoadSeccomp { .. } | Step::AwaitStart { .. } | Step::CloseDescriptors { .. })
            )
        };
        let until = self.host.trace.and_then(|_| self.lines.iter().position(last));
        until.and_then(|line| u16::try_from(line).ok()).unwrap_or(0)
    }

    fn host_step(&self, at: usize) -> Option<&HostStep> {
        match &self.lines.get(at)?.action {
            Action::Host(step) => Some(step),
            Action::Init(_) => None,
        }
    }

    /// Plays one line of the host's; the descriptor that fills a slot, if it makes one.
    fn play_line(&mut self, at: usize, rider: &mut Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        let line = &self.lines[at];
        log::debug!("host {line}");
        let begin = self.host.trace.map(|_| trace::now());
        let played = self.host_line(line, rider).map_err(|error| error.at(line.origin()));
        if let (Some(trace), Some(begin)) = (self.host.trace, begin) {
            trace.line(at, line, begin, trace::now());
        }
        played
    }

    fn host_line(&mut self, line: &Line, rider: &mut Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        let Action::Host(step) = &line.action else { return Ok(None) };
        match step {
            HostStep::WriteIdMaps { uid, gid, deny_setgroups } => {
                id_mappings::write(self.made.pid, uid, gid, *deny_setgroups).map(|()| None)
            }
            HostStep::OpenProcess => {
                let gone = || Error::new(ErrorKind::NotRunning, "container not running");
                self.host.init.take().ok_or_else(gone).map(Some)
            }
            HostStep::OpenRoot => {
                let gone = || Error::new(ErrorKind::NotRunning, "container not running");
                root_of(self.host.init.as_ref().ok_or_else(gone)?.as_fd()).map(Some)
            }
            HostStep::OpenMount { source, recursive, link, shared, id_map } => {
                let mount = open_mount::open(self.host.state, source, *recursive, *link, id_map.as_ref())?;
                if !shared {
                    open_mount::isolate(mount.as_fd(), source)?;
                }
                Ok(Some(mount))
            }
            HostStep::IdMapMount { id_map } => {
                open_mount::id_map(self.host.state, sent(rider, "mount")?, id_map).map(Some)
            }
            HostStep::MakeNode { device, mode, uid, gid } => {
                let (uid, gid) = (host_id(self.made.pid, "uid_map", *uid)?, host_id(self.made.pid, "gid_map", *gid)?);
                make_node::make(*device, *mode, uid, gid).map(Some)
            }
            HostStep::NoteMount { destination } => {
                let mount = sent(rider, "mount")?;
                note_mount::note(self.host.state, destination, mount.as_fd())?;
                Ok(Some(mount))
            }
            HostStep::Meet => Ok(None),
            HostStep::RunHook { kind, index } => {
                let state = &(self.host.describe)("creating", self.made.pid);
                let (spec, bundle, init) = (self.host.spec, self.host.bundle, Some(self.made.pidfd.as_fd()));
                Hooks { spec, bundle, state, init }.run(*kind, *index).map(|()| None)
            }
            HostStep::SendState { status } => {
                let pid = pid_inside(self.host.spec, self.made.pid)?;
                descriptors::in_memory(&(self.host.describe)(status, pid)).map(Some)
            }
            HostStep::SetRlimit { resource, name, soft, hard } => sys::prlimit(self.made.pid, *resource, *soft, *hard)
                .map_err(|errno| Error::system(format!("set {name} to {soft}:{hard}"), "prlimit", errno))
                .map(|()| None),
            HostStep::SetScheduler { step } => set_scheduler(self.made.pid, step, line).map(|()| None),
            HostStep::ForwardConsole => {
                let master = sent(rider, "console")?;
                match self.host.console_socket {
                    Some(path) => descriptors::send(path, master.as_fd(), b"/dev/ptmx", "send the console")?,
                    None => {
                        leave_line_ends_alone(&master)?;
                        self.made.console = Some(master);
                    }
                }
                Ok(None)
            }
            HostStep::ChownStreams { uid } => {
                streams::give(self.host.stdio, host_id(self.made.pid, "uid_map", *uid)?).map(|()| None)
            }
            HostStep::ListenForStart => make_fifo(self.host.state, START).map(Some),
            HostStep::AnswerStart => make_fifo(self.host.state, SAID).map(Some),
            HostStep::ListenForExec => listen(self.host.state).map(Some),
            HostStep::SaveState => (self.host.save)(self.made.pid, self.made.pidfd.as_fd()).map(|()| None),
            HostStep::CreateCgroup { .. }
            | HostStep::WriteCgroup { .. }
            | HostStep::AttachDeviceProgram { .. }
            | HostStep::ChownCgroup { .. } => before_clone(line, &mut cgroup::Writer::default()).map(|()| None),
            HostStep::StartScope { unit, properties } => {
                note_scope(self.host.state)?;
                self.starting = Some(systemd::Manager::of(unit.user).start(unit, properties, self.made.pid)?);
                Ok(None)
            }
            HostStep::AwaitScope { groups } => {
                let starting = self.starting.take();
                starting.ok_or_else(|| Error::new(ErrorKind::System, "no scope has been asked for"))?.wait()?;
                self.host.made_cgroups = true;
                cgroup::settle_in_scope(groups, self.made.pid).map(|()| None)
            }
            HostStep::JoinCgroup { directory } => entry::join(self.made.pid, directory).map(|()| None),
            HostStep::AttachToScope { unit, below } => {
                systemd::Manager::of(unit.user).attach(unit, below, self.made.pid).map(|()| None)
            }
            HostStep::MakeRdtClass { .. } | HostStep::MakeRdtMonitor { .. } | HostStep::JoinRdtGroup { .. } => {
                intel_rdt::play(step, self.made.pid, &mut self.made_rdt).map(|()| None)
            }
            HostStep::MoveNetDevice { name, new_name } => {
                net_devices::move_into(self.made.pid, name, new_name).map(|()| None)
            }
            HostStep::ForwardSeccompListener { path, metadata, status } => {
                let listener = sent(rider, "seccomp listener")?;
                let state = (self.host.describe)(status, self.made.pid);
                seccomp_listener::forward(listener.as_fd(), path, metadata, self.made.pid, &state).map(|()| None)
            }
            HostStep::Clone { .. } => Err(Error::new(ErrorKind::System, "a second clone")),
        }
    }

    /// Init goes on as another process: wait for the one that forked, hold on to the new one.
    fn adopt(&mut self, pid: i32) -> Result<()> {
        reap(self.made.pidfd.as_fd());
        self.made.pidfd = hold(pid).inspect_err(|_| end_child(pid))?;
        self.made.pid = pid;
        Ok(())
    }

    /// Init is gone without a word.
    fn died(&self) -> Error {
        let status = rustix::process::waitid(
            WaitId::PidFd(self.made.pidfd.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
        failure::silent_death(self.lines, status.ok().flatten().and_then(|status| status.terminating_signal()))
    }
}

impl Drop for Launch<'_, '_, '_> {
    fn drop(&mut self) {
        if !self.settled {
            // may fail: it has ended.
            let _ = sys::pidfd_send_signal(self.made.pidfd.as_fd(), libc::SIGKILL);
            reap(self.made.pidfd.as_fd());
            // may fail: what is reported is why.
            let _ = intel_rdt::remove(&self.made_rdt);
            // It may be there all the same, and only then it is ours to remove.
            if let Some(starting) = self.starting.take() {
                // may fail: then it is not there.
                self.host.made_cgroups = starting.wait().is_ok();
            }
        }
    }
}

/// Whoever traces init, once it is among the container's processes, may speak for it. It is heard no further than the plan goes.
fn out_of_turn() -> Error {
    Error::new(ErrorKind::Init, "container init spoke out of turn")
}

/// What has come along with init's *reached*.
fn sent(rider: &mut Option<OwnedFd>, what: &str) -> Result<OwnedFd> {
    rider.take().ok_or_else(|| Error::new(ErrorKind::System, format!("init sent no {what}")))
}

/// The pid as the process itself sees it, which is what hooks in its namespaces are told (config.md, "Hooks").
fn pid_inside(spec: &Spec, pid: i32) -> Result<i32> {
    match asked_namespace(spec, LinuxNamespaceType::Pid) {
        // procfs is not asked where there is no need to: it may hide it.
        None => Ok(pid),
        Some(None) => Ok(1),
        Some(Some(_)) => {
            let status = crate::facts::read(format!("/proc/{pid}/status"))?;
            let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let last = pids.and_then(|pids| pids.split_ascii_whitespace().next_back()?.parse().ok());
            last.ok_or_else(|| Error::new(ErrorKind::System, format!("/proc/{pid}/status has no line NSpid")))
        }
    }
}

/// A child that cannot be held on to: nobody else waits for it, so that its number is its own.
fn end_child(pid: i32) {
    if let Some(child) = rustix::process::Pid::from_raw(pid.max(0)) {
        // may fail: it has ended. What is reported is why it could not be held.
        let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        // may fail: as was just said.
        let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
    }
}

/// A pidfd of a child that nobody has waited for: the number cannot be another's.
pub(crate) fn hold(pid: i32) -> Result<OwnedFd> {
    sys::pidfd_open(pid).map_err(|errno| Error::system("hold on to init", format!("pidfd_open({pid})"), errno))
}

fn set_scheduler(pid: i32, step: &line::InitStep, line: &Line) -> Result<()> {
    let Step::SetScheduler { policy, flags, nice, priority, runtime, deadline, period } = *step else { return Ok(()) };
    let attributes = sys::SchedAttr { size: 48, policy, flags, nice, priority, runtime, deadline, period };
    sys::sched_setattr(pid, &attributes).map_err(|errno| Error::system(line.to_string(), "sched_setattr", errno))
}

/// The root directory of a process.
fn root_of(process: BorrowedFd<'_>) -> Result<OwnedFd> {
    use rustix::fs::{CWD, Mode, OFlags};
    let fail = |call: &str, errno| Error::system("enter the container's root", call, errno);
    let info = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let info = std::fs::read_to_string(&info)
        .map_err(|error| Error::io("enter the container's root", "read(fdinfo)", &error))?;
    // -1 once it is gone.
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap_or("-1").trim();
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|errno| fail(&format!("open({path})"), errno))?;
    // The number was its own until now.
    sys::pidfd_send_signal(process, 0).map_err(|errno| fail("pidfd_send_signal", errno))?;
    Ok(root)
}

/// Waits for a child and forgets how it ended.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) {
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {}
}

/// Init's lines from `first` on, in the form in which it reads them. Adjacent lines of the host's are one to it.
pub(crate) fn encode(lines: &[Line], first: usize) -> Result<Vec<u8>> {
    let fail = |error: postcard::Error| Error::new(ErrorKind::System, format!("write the plan: {error}"));
    let mut bytes = Vec::with_capacity(16 * 1024);
    let mut after_host = false;
    for (number, line) in lines.iter().enumerate().skip(first) {
        let number = u16::try_from(number)
            .map_err(|_| Error::new(ErrorKind::InvalidConfig, "a plan has at most 65,535 lines"))?;
        bytes = match &line.action {
            Action::Init(step) => postcard::to_extend(&(number, step), bytes).map_err(fail)?,
            Action::Host(_) if after_host => bytes,
            Action::Host(_) => {
                let ours =
                    lines[usize::from(number)..].iter().take_while(|line| matches!(line.action, Action::Host(_)));
                let meet: line::InitStep = Step::Host { fills: ours.into_iter().any(Line::fills_slot) };
                postcard::to_extend(&(number, meet), bytes).map_err(fail)?
            }
        };
        after_host = matches!(line.action, Action::Host(_));
    }
    Ok(bytes)
}

/// Who takes the master itself shows it on a terminal of its own, which already makes `\r\n` of `\n`, or in a file, which
/// wants neither. While init waits for this line nothing has been written yet.
fn leave_line_ends_alone(master: &OwnedFd) -> Result<()> {
    use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr};
    let fail = |errno| Error::system("set up the console", "ioctl(TCSETS)", errno);
    let mut attributes = tcgetattr(master).map_err(fail)?;
    attributes.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(master, OptionalActions::Now, &attributes).map_err(fail)
}

/// Open for both, so that it has an end only when init, the only one who keeps it, has ended or executed its program.
fn make_fifo(state: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    use rustix::fs::{FileType, Mode, OFlags};
    let fail = |call: &str| {
        let call = format!("{call}({name})");
        move |errno| Error::system("make a FIFO for start", call, errno)
    };
    rustix::fs::mknodat(state, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(fail("mkfifo"))?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(state, name, flags, Mode::empty()).map_err(fail("open"))
}

fn listen(state: BorrowedFd<'_>) -> Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let fail = |call: &'static str| move |errno| Error::system("listen for exec", call, errno);
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(fail("socket"))?;
    let path = PathBuf::from(sys::fd_path(&state)).join(DOOR);
    let address = SocketAddrUnix::new(&path).map_err(fail("bind"))?;
    rustix::net::bind(&socket, &address).map_err(fail("bind"))?;
    rustix::net::listen(&socket, 16).map_err(fail("listen"))?;
    Ok(socket)
}
