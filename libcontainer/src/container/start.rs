//! `start`: let init execute the user's program.
use super::{Container, Status, state};
use crate::launch::{Channel, Heard, Hooks, explain};
use crate::plan;
use crate::plan::line::HookKind;
use crate::store::Lock;
use crate::{Bundle, Error, ErrorKind, HostFacts, Result, Trace, launch};
use rustix::io::Errno;
use rustix::net::SocketType;

impl Container {
    /// Runs the user's program, and then the poststart hooks. Fails with runc's wording if it cannot be executed.
    pub fn start(&self) -> Result<()> {
        self.start_traced(None)
    }

    /// The same, noting what takes how long.
    pub fn start_traced(&self, trace: Option<&Trace>) -> Result<()> {
        // Whoever has just made it knows.
        if self.child.is_none() {
            self.check_created()?;
        }
        if !self.record.has_process {
            return Err(Error::config("/process", "process property must not be empty"));
        }
        // Who deletes only what does not run has to see either the socket, or that it runs.
        let lock = self.folder.lock()?;
        let path = self.folder.start_socket();
        let connect = || launch::descriptors::connect(&path, SocketType::SEQPACKET);
        let socket = match Trace::time(trace, "(connect to init)", connect) {
            // Somebody else was faster, or init is no more.
            Err(Errno::CONNREFUSED | Errno::NOENT | Errno::AGAIN) => {
                self.folder.remove_start_socket()?;
                return self.check_created().and(Err(wrong("cannot start an already running container")));
            }
            connected => {
                connected.map_err(|errno| Error::system("start the container", "connect(start.sock)", errno))?
            }
        };
        // Before the program runs, which may look.
        self.folder.remove_start_socket()?;
        drop(lock);
        let channel = Channel::new(socket);
        match Trace::time(trace, "(lines from start to execve)", || channel.receive())? {
            Heard::Failed(mut words) => {
                // Only now is the plan needed: to say which line it was, counted from the end, which is the same
                // whatever has changed on the host since.
                let bundle = self.bundle()?;
                let facts = HostFacts::probe_for(self.record.cgroup_manager)?;
                let plan = plan::create(bundle.path(), bundle.spec(), &facts, &self.record.planned)?;
                let line = (usize::from(words.line) + plan.lines.len()).saturating_sub(self.record.plan_lines);
                words.line = u16::try_from(line).unwrap_or(u16::MAX);
                let error = explain(&plan.lines, &words);
                if error.kind() == ErrorKind::Hook {
                    self.abandon(&bundle);
                }
                Err(error)
            }
            _ if self.record.has_poststart => {
                let bundle = self.bundle()?;
                let run = || self.run_poststart(&bundle);
                Trace::time(trace, "(poststart hooks)", run).inspect_err(|_| self.abandon(&bundle))
            }
            _ => Ok(()),
        }
    }

    /// Only what is created can be started.
    fn check_created(&self) -> Result<()> {
        match self.status()? {
            Status::Created => Ok(()),
            Status::Stopped => Err(wrong("cannot start a container that has stopped")),
            Status::Running => Err(wrong("cannot start an already running container")),
            Status::Paused => Err(wrong("cannot start a container in the paused state")),
            Status::Creating => Err(wrong("cannot start a container in the creating state")),
        }
    }

    /// A hook that fails ends the container: "stop the container, and continue the lifecycle at step 12" (runtime.md),
    /// which is what `delete` does.
    fn abandon(&self, bundle: &Bundle) {
        let unmake = |lock: Lock| self.destroy(&lock, Some(bundle.spec()));
        let gone = self.end().and_then(|()| self.folder.lock()).and_then(unmake);
        if let Err(remains) = gone {
            log::warn!("clean up after a failed hook: {remains}");
        }
    }

    fn run_poststart(&self, bundle: &Bundle) -> Result<()> {
        let state = &state::for_hooks(&self.record, "running", self.record.pid());
        let hooks = Hooks { spec: bundle.spec(), bundle: bundle.path(), state, init: None };
        hooks.all(HookKind::Poststart).collect()
    }
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::WrongStatus, message)
}
