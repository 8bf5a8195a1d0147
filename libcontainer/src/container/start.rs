//! `start`: let init execute the user's program.
use super::{Container, Status, state};
use crate::launch::{ExitStatus, Heard, Hooks, explain, wait};
use crate::plan::line::HookKind;
use crate::plan::{self, SAID, START};
use crate::{Bundle, Error, ErrorKind, HostFacts, Result, Trace, launch};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use step::word;

impl Container {
    /// Runs the user's program, and then the poststart hooks.
    ///
    /// # Errors
    /// [`ErrorKind::Running`], [`ErrorKind::Paused`], [`ErrorKind::NotRunning`] if it is not created;
    /// [`ErrorKind::ProgramNotFound`], [`ErrorKind::ProgramNotExecutable`]; [`ErrorKind::Hook`]. If the program did not
    /// run, the container has ended.
    pub fn start(&self) -> Result<()> {
        self.start_traced(None)
    }

    /// The same, noting what takes how long.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_traced(&self, trace: Option<&Trace>) -> Result<()> {
        // Whoever has just made it knows.
        if self.init.is_none() {
            self.check_created()?;
        }
        if !self.record.has_process {
            return Err(Error::config("/process", "process property must not be empty"));
        }
        // What the poststart hooks need: after the word nothing may be missing.
        let bundle = self.record.has_poststart.then(|| self.bundle()).transpose()?;
        let said = Trace::time(trace, "(connect to init)", || self.tell_init())?;
        let heard = Trace::time(trace, "(lines from start to execve)", || launch::last_words(said.as_fd()));
        match (heard.inspect_err(|_| self.abandon(bundle.as_ref()))?, &bundle) {
            (Heard::Executing, Some(bundle)) => {
                let run = || self.run_poststart(bundle);
                Trace::time(trace, "(poststart hooks)", run).inspect_err(|_| self.abandon(Some(bundle)))
            }
            (Heard::Executing, None) => Ok(()),
            (heard, _) => Err(self.explain(heard)?),
        }
    }

    /// Gives init the word, and becomes the one that it speaks to.
    fn tell_init(&self) -> Result<OwnedFd> {
        let fail = |call: &'static str| move |errno| Error::system("start the container", call, errno);
        // Who deletes only what does not run has to see either that init waits, or that it runs.
        let _lock = self.folder.lock()?;
        let open = |name, end| match self.folder.open_fifo(name, end) {
            // Somebody else was faster, or init is no more.
            Err(Errno::NXIO | Errno::NOENT) => {
                self.folder.remove_fifos()?;
                self.check_created().and(Err(running()))
            }
            opened => opened.map_err(fail("open(FIFO)")),
        };
        let said = open(SAID, OFlags::RDONLY)?;
        // One reader only: what it says is for whoever has started it.
        match rustix::fs::flock(&said, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(running()),
            locked => locked.map_err(fail("flock(FIFO)"))?,
        }
        // Only now is it sure that nobody else has.
        let start = open(START, OFlags::WRONLY)?;
        rustix::io::ioctl_fionbio(&said, false).map_err(fail("ioctl(FIONBIO)"))?;
        rustix::io::retry_on_intr(|| rustix::io::write(&start, &[word::START])).map_err(fail("write(FIFO)"))?;
        // Nobody reads from it any more, which says the same as if it were not there.
        self.folder.remove_fifos().unwrap_or_else(|error| log::warn!("{error}"));
        Ok(said)
    }

    /// Why init has not executed the program.
    fn explain(&self, heard: Heard) -> Result<Error> {
        // Only now is the plan needed: to say which line it was, counted from the end, which is the same
        // whatever has changed on the host since.
        let bundle = self.bundle()?;
        let facts = HostFacts::probe_for(self.record.cgroup_manager)?;
        let plan = plan::create(bundle.path(), bundle.spec(), &facts, &self.record.planned)?;
        let Heard::Failed(mut words) = heard else {
            // may fail: how it has ended only adds to an error.
            let ended = self.init.as_ref().and_then(|init| wait::until_ended(init.as_fd()).ok());
            let error = launch::silent_death(&plan.lines, ended.and_then(ExitStatus::signal));
            return Ok(super::make::blame_memory(error, &self.record));
        };
        let line = (usize::from(words.line) + plan.lines.len()).saturating_sub(self.record.plan_lines);
        words.line = u16::try_from(line).unwrap_or(u16::MAX);
        let error = explain(&plan.lines, &words);
        if error.kind() == ErrorKind::Hook {
            self.abandon(Some(&bundle));
        }
        Ok(error)
    }

    /// Only what is created can be started.
    fn check_created(&self) -> Result<()> {
        match self.status()? {
            Status::Created => Ok(()),
            Status::Stopped => Err(Error::new(ErrorKind::NotRunning, "cannot start a container that has stopped")),
            Status::Running => Err(running()),
            Status::Paused => Err(Error::new(ErrorKind::Paused, "cannot start a container in the paused state")),
            Status::Creating => Err(Error::new(ErrorKind::Busy, "cannot start a container in the creating state")),
        }
    }

    /// A hook that fails ends the container: "stop the container, and continue the lifecycle at step 12" (runtime.md),
    /// which is what `delete` does. And nothing runs of which `start` has said that it does not.
    fn abandon(&self, bundle: Option<&Bundle>) {
        let read = if bundle.is_none() && self.record.has_poststop { self.bundle().map(Some) } else { Ok(None) };
        let read = read.unwrap_or_else(|error| {
            log::warn!("the poststop hooks do not run: {error}");
            None
        });
        let spec = bundle.or(read.as_ref()).map(|bundle| bundle.spec());
        let gone = self.end().and_then(|()| self.folder.lock()).and_then(|lock| self.destroy(&lock, spec));
        if let Err(remains) = gone {
            log::warn!("clean up after a failed start: {remains}");
        }
    }

    fn run_poststart(&self, bundle: &Bundle) -> Result<()> {
        let state = &state::for_hooks(&self.record, "running", self.record.pid());
        let hooks = Hooks { spec: bundle.spec(), bundle: bundle.path(), state, init: None };
        hooks.all(HookKind::Poststart).collect()
    }
}

fn running() -> Error {
    Error::new(ErrorKind::Running, "cannot start an already running container")
}
