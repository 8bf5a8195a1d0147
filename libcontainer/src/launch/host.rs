//! The host's lines: the only match that plays them.
use super::folder::{listen_for_exec, make_fifo, note_scope};
use super::id_mappings::host_id;
use super::process::{Process, pid_inside, root_of};
use super::{Hooks, Launched, console, descriptors, entry, id_mappings, intel_rdt, make_node, net_devices};
use super::{note_mount, open_mount, program, seccomp_listener, streams};
use crate::plan::line::{Action, HostStep, InitStep, Line};
use crate::plan::{SAID, START};
use crate::systemd::{self, Starting};
use crate::trace::{self, Trace};
use crate::{Bundle, Error, ErrorKind, Result, cgroup, sys};
use oci_spec::runtime::Spec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use step::Step;

/// What the host's lines need besides the plan, and what they have made.
pub(crate) struct Host<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) bundle: &'a Path,
    /// The container's directory in the store.
    pub(crate) state: BorrowedFd<'a>,
    /// The container's init, for an `exec` to join.
    pub(crate) init: Option<OwnedFd>,
    pub(crate) stdio: Option<[i32; 3]>,
    /// What it has open from 3 on.
    pub(crate) preserve: &'a [OwnedFd],
    /// What the caller wants executed.
    pub(crate) program: Option<BorrowedFd<'a>>,
    /// Who gets the console's master: this socket, or the caller.
    pub(crate) console_socket: Option<&'a Path>,
    /// The container's state (for hooks, the seccomp agent), if it is the one being made: with this status and pid.
    describe: &'a dyn Fn(&str, i32) -> Vec<u8>,
    pub(crate) trace: Option<&'a Trace>,
    /// What `save-state` does.
    save: &'a mut dyn FnMut(&Process) -> Result<()>,
    /// Who the lines are about, from the clone on.
    pub(crate) process: Option<Process>,
    /// The master of the container's terminal, for the caller.
    pub(crate) console: Option<OwnedFd>,
    /// Whether the groups that the plan names are ours by now. One that was there before, with processes in it, is
    /// somebody else's, and must be left alone after a failure.
    pub(crate) made_cgroups: bool,
    /// Groups of resctrl, the last first, to be undone if anything fails.
    made_rdt: Vec<PathBuf>,
    /// The scope that systemd has been asked for.
    starting: Option<Starting>,
    files: cgroup::Writer,
}

impl<'a> Host<'a> {
    pub(crate) fn new(
        bundle: &'a Bundle,
        state: BorrowedFd<'a>,
        describe: &'a dyn Fn(&str, i32) -> Vec<u8>,
        save: &'a mut dyn FnMut(&Process) -> Result<()>,
    ) -> Host<'a> {
        Host {
            spec: bundle.spec(),
            bundle: bundle.path(),
            state,
            init: None,
            stdio: None,
            preserve: &[],
            program: None,
            console_socket: None,
            describe,
            trace: None,
            save,
            process: None,
            console: None,
            made_cgroups: false,
            made_rdt: Vec::new(),
            starting: None,
            files: cgroup::Writer::default(),
        }
    }

    /// The process, once everything that it needs has been played. From here on it is the caller's.
    pub(crate) fn launched(&mut self) -> Result<Launched> {
        let Process { pid, pidfd } = self.process.take().ok_or_else(nobody)?;
        Ok(Launched { pid, pidfd, console: self.console.take() })
    }

    /// Something has failed: ends the process, and takes back what no record names.
    pub(crate) fn undo(&mut self) {
        if let Some(process) = self.process.take() {
            process.end();
        }
        // may fail: what is reported is why.
        let _ = intel_rdt::remove(&std::mem::take(&mut self.made_rdt));
        // It may be there all the same, and only then it is ours to remove.
        if let Some(starting) = self.starting.take() {
            // may fail: then it is not there.
            self.made_cgroups = starting.wait().is_ok();
        }
    }

    /// Plays one line; the descriptor that fills a slot, if it makes one. `rider` is what init has sent along.
    pub(crate) fn play(&mut self, number: usize, line: &Line, rider: &mut Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        log::debug!("host {line}");
        self.timed(number, line, |host| host.step(line, rider).map_err(|error| error.at(line.origin())))
    }

    pub(super) fn timed<T>(&mut self, number: usize, line: &Line, play: impl FnOnce(&mut Host<'a>) -> T) -> T {
        let Some(trace) = self.trace else { return play(self) };
        let begin = trace::now();
        let played = play(self);
        trace.line(number, line, begin, trace::now());
        played
    }

    pub(crate) fn process(&self) -> Result<&Process> {
        self.process.as_ref().ok_or_else(nobody)
    }

    fn pid(&self) -> Result<i32> {
        self.process().map(|process| process.pid)
    }

    fn step(&mut self, line: &Line, rider: &mut Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        let Action::Host(step) = &line.action else {
            return Err(Error::new(ErrorKind::System, "a line of init's among the host's"));
        };
        match step {
            HostStep::CreateCgroup { groups } => {
                cgroup::create(groups)?;
                self.made_cgroups = true;
            }
            HostStep::WriteCgroup { file, value, tolerate } => self.files.write(file, value, tolerate)?,
            HostStep::AttachDeviceProgram { directory, program } => cgroup::attach_device_program(directory, program)?,
            HostStep::ChownCgroup { directory, uid } => cgroup::chown(directory, *uid)?,
            HostStep::Clone { .. } => return Err(Error::new(ErrorKind::System, "a second clone")),
            HostStep::WriteIdMaps { uid, gid, deny_setgroups } => {
                id_mappings::write(self.pid()?, uid, gid, *deny_setgroups)?;
            }
            HostStep::OpenProcess => return self.init.take().ok_or_else(not_running).map(Some),
            HostStep::OpenRoot => return root_of(self.init.as_ref().ok_or_else(not_running)?.as_fd()).map(Some),
            HostStep::OpenMount { source, recursive, link, shared, id_map } => {
                let mount = open_mount::open(self.state, source, *recursive, *link, id_map.as_ref())?;
                if !shared {
                    open_mount::isolate(mount.as_fd(), source)?;
                }
                return Ok(Some(mount));
            }
            HostStep::IdMapMount { id_map } => {
                return open_mount::id_map(self.state, sent(rider, "mount")?, id_map).map(Some);
            }
            HostStep::MakeNode { device, mode, uid, gid } => {
                let pid = self.pid()?;
                let (uid, gid) = (host_id(pid, "uid_map", *uid)?, host_id(pid, "gid_map", *gid)?);
                return make_node::make(*device, *mode, uid, gid).map(Some);
            }
            HostStep::NoteMount { destination } => {
                let mount = sent(rider, "mount")?;
                note_mount::note(self.state, destination, mount.as_fd())?;
                return Ok(Some(mount));
            }
            HostStep::Meet => {}
            HostStep::RunHook { kind, index } => {
                let Process { pid, pidfd } = self.process()?;
                let state = &(self.describe)("creating", *pid);
                let (spec, bundle, init) = (self.spec, self.bundle, Some(pidfd.as_fd()));
                Hooks { spec, bundle, state, init }.run(*kind, *index)?;
            }
            HostStep::SendState { status } => {
                let pid = pid_inside(self.spec, self.pid()?)?;
                return descriptors::in_memory(&(self.describe)(status, pid)).map(Some);
            }
            HostStep::SetRlimit { resource, name, soft, hard } => sys::prlimit(self.pid()?, *resource, *soft, *hard)
                .map_err(|errno| Error::system(format!("set {name} to {soft}:{hard}"), "prlimit", errno))?,
            HostStep::SetScheduler { step } => set_scheduler(self.pid()?, step, line)?,
            HostStep::ForwardConsole => {
                let master = sent(rider, "console")?;
                self.forward_console(master)?;
                self.settle_console()?;
            }
            HostStep::ChownStreams { uid } => streams::give(self.stdio, host_id(self.pid()?, "uid_map", *uid)?)?,
            HostStep::ListenForStart => return make_fifo(self.state, START).map(Some),
            HostStep::AnswerStart => return make_fifo(self.state, SAID).map(Some),
            HostStep::ListenForExec => return listen_for_exec(self.state).map(Some),
            HostStep::HoldProgram => {
                let program = self.program.ok_or_else(|| Error::new(ErrorKind::System, "no program to hold"))?;
                return program::hold(self.state, program).map(Some);
            }
            HostStep::SaveState => {
                (self.save)(self.process.as_ref().ok_or_else(nobody)?)?;
            }
            HostStep::StartScope { unit, properties } => {
                note_scope(self.state)?;
                self.starting = Some(systemd::Manager::of(unit.user).start(unit, properties, self.pid()?)?);
            }
            HostStep::AwaitScope { groups } => {
                let starting = self.starting.take();
                starting.ok_or_else(|| Error::new(ErrorKind::System, "no scope has been asked for"))?.wait()?;
                self.made_cgroups = true;
                cgroup::settle_in_scope(groups, self.pid()?)?;
            }
            HostStep::JoinCgroup { directory } => entry::join(self.pid()?, directory)?,
            HostStep::AttachToScope { unit, below } => {
                systemd::Manager::of(unit.user).attach(unit, below, self.pid()?)?;
            }
            HostStep::MakeRdtClass { .. } | HostStep::MakeRdtMonitor { .. } | HostStep::JoinRdtGroup { .. } => {
                intel_rdt::play(step, self.pid()?, &mut self.made_rdt)?;
            }
            HostStep::MoveNetDevice { name, new_name } => net_devices::move_into(self.pid()?, name, new_name)?,
            HostStep::ForwardSeccompListener { path, metadata, status } => {
                let (listener, pid) = (sent(rider, "seccomp listener")?, self.pid()?);
                let state = (self.describe)(status, pid);
                seccomp_listener::forward(listener.as_fd(), path, metadata, pid, &state)?;
            }
        }
        Ok(None)
    }

    /// Gives the master of the container's terminal to who is to have it.
    pub(crate) fn forward_console(&mut self, master: OwnedFd) -> Result<()> {
        match self.console_socket {
            Some(path) => descriptors::send(path, master.as_fd(), b"/dev/ptmx", "send the console"),
            None => {
                self.console = Some(master);
                Ok(())
            }
        }
    }

    /// Sets up a terminal that the caller has, while nothing writes to it yet.
    pub(crate) fn settle_console(&self) -> Result<()> {
        self.console.as_ref().map_or(Ok(()), console::leave_line_ends_alone)
    }
}

fn nobody() -> Error {
    Error::new(ErrorKind::System, "a line that needs a process before there is one")
}

fn not_running() -> Error {
    Error::new(ErrorKind::NotRunning, "container not running")
}

/// What has come along with init's *reached*.
fn sent(rider: &mut Option<OwnedFd>, what: &str) -> Result<OwnedFd> {
    rider.take().ok_or_else(|| Error::new(ErrorKind::System, format!("init sent no {what}")))
}

fn set_scheduler(pid: i32, step: &InitStep, line: &Line) -> Result<()> {
    let Step::SetScheduler { policy, flags, nice, priority, runtime, deadline, period } = *step else { return Ok(()) };
    let attributes = sys::SchedAttr { size: 48, policy, flags, nice, priority, runtime, deadline, period };
    sys::sched_setattr(pid, &attributes).map_err(|errno| Error::system(line.to_string(), "sched_setattr", errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::line::Origin;

    #[test]
    fn a_resctrl_group_goes_again_if_something_fails_later() {
        let directory = std::env::temp_dir().join(format!("plimsoll-host-{}", std::process::id()));
        let config = br#"{"ociVersion": "1.3.0"}"#;
        let bundle = Bundle::from_parts("/".into(), config.to_vec()).unwrap();
        let state = std::fs::File::open("/").unwrap();
        let (describe, save) = (&|_: &str, _| Vec::new(), &mut |_: &Process| Ok(()));
        let mut host = Host::new(&bundle, state.as_fd(), describe, save);
        // Whoever it is about: nothing here touches it.
        let pidfd = sys::pidfd_open(i32::try_from(std::process::id()).unwrap()).unwrap();
        host.process = Some(Process { pid: 0, pidfd });
        let step = HostStep::MakeRdtMonitor { directory: directory.clone() };
        let line = Line { action: Action::Host(step), origin: Origin(Origin::DEFAULT.to_owned()) };
        assert!(host.play(0, &line, &mut None).unwrap().is_none() && directory.is_dir());
        host.process = None;
        host.undo();
        assert!(!directory.exists());
    }
}
