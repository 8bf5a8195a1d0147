//! The dialogue with init: it says *reached N*, the host plays its lines there and says *go*. The only place where the two meet.
#![forbid(unsafe_code)]
use super::channel::{Channel, Heard};
use super::encode::encode;
use super::process::{Process, end_child};
use super::{Host, explain, silent_death};
use crate::plan::line::{Action, HostStep, InitStep, Line};
use crate::trace;
use crate::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use step::{DESCRIPTORS, Step};

/// Init at work.
pub(super) struct Dialogue<'l, 'h, 'a> {
    lines: &'l [Line],
    host: &'h mut Host<'a>,
    channel: Channel,
    /// The line in which init forks, until it has said that it did.
    fork: Option<usize>,
    /// Who forked.
    forked: Option<Process>,
    /// When init began what it is at, for a trace.
    since: u64,
}

impl<'l, 'h, 'a> Dialogue<'l, 'h, 'a> {
    pub(super) fn new(lines: &'l [Line], host: &'h mut Host<'a>, channel: Channel) -> Dialogue<'l, 'h, 'a> {
        let fork = lines.iter().position(|line| matches!(line.action, Action::Init(Step::Fork { .. })));
        Dialogue { lines, host, channel, fork, forked: None, since: 0 }
    }

    /// Goes on from the host's line `first`, until init needs nobody any more. `descriptors` fill its first slots.
    pub(super) fn run(mut self, first: usize, mut descriptors: Vec<OwnedFd>) -> Result<()> {
        // Host lines that follow at once need no word from init.
        let mut next = first;
        while self.host_step(next).is_some() && descriptors.len() < DESCRIPTORS {
            descriptors.extend(self.host.play(next, &self.lines[next], &mut None)?);
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
            if played_last && !waits {
                self.await_its_end()?;
            }
            match self.hear_in_order()? {
                Heard::Reached { line, rider: sent } => {
                    if Some(usize::from(line)) != self.next_of_ours(next) {
                        return Err(out_of_turn());
                    }
                    rider = sent.or(rider);
                    log::debug!("init {pid} has reached line {line}", pid = self.host.process()?.pid);
                    self.note_gap(self.lines.get(usize::from(line)));
                    let mut descriptors = Vec::new();
                    next = usize::from(line);
                    while self.host_step(next).is_some() {
                        descriptors.extend(self.host.play(next, &self.lines[next], &mut rider)?);
                        next += 1;
                    }
                    self.since = self.host.trace.map_or(0, |_| trace::now());
                    // It counts among the container's processes until it has been waited for.
                    self.reap_forked();
                    self.channel.send_go(&descriptors)?;
                    played_last = next > last;
                    if waits && played_last {
                        return Ok(());
                    }
                }
                Heard::Failed(words) => return Err(explain(self.lines, &words)),
                Heard::Executing => executing = true,
                // Its program it runs after the last of our lines, and not without a word.
                Heard::Closed if waits || !played_last || !executing => return Err(self.died()?),
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
        let has = |step: fn(&InitStep) -> bool| {
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
                    if self.fork.take().is_none() || by != self.host.process()?.pid {
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
        let pidfd = &self.host.process()?.pidfd;
        let mut either = [PollFd::new(&self.channel, PollFlags::IN), PollFd::new(pidfd, PollFlags::IN)];
        while let Err(rustix::io::Errno::INTR) = poll(&mut either, None) {}
        // What it has said before it ended is there by the time it has ended.
        match either[0].revents().is_empty() {
            true => Err(self.died()?),
            false => Ok(()),
        }
    }

    /// Until nobody has the other end any more. What comes now wants no answer: there is one thing to wake up for, and all that was
    /// said is there by then.
    fn await_its_end(&self) -> Result<()> {
        // A trace notes when it was said; and who has forked is to be known while it lives.
        if self.host.trace.is_some() || self.fork.is_some() {
            return Ok(());
        }
        loop {
            match poll(&mut [PollFd::new(&self.channel, PollFlags::RDHUP)], None) {
                Err(rustix::io::Errno::INTR) => {}
                ended => return ended.map(drop).map_err(|errno| Error::system("listen to init", "poll", errno)),
            }
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

    /// Init goes on as another process: hold on to it. The one that forked is ending meanwhile.
    fn adopt(&mut self, pid: i32) -> Result<()> {
        let held = Process::hold(pid).inspect_err(|_| end_child(pid))?;
        self.forked = self.host.process.replace(held);
        Ok(())
    }

    /// Waits for who has forked, who has nothing left to do but to end.
    fn reap_forked(&mut self) {
        if let Some(forked) = self.forked.take() {
            super::reap(forked.pidfd.as_fd());
        }
    }

    /// Init is gone without a word.
    fn died(&self) -> Result<Error> {
        Ok(silent_death(self.lines, self.host.process()?.ending_signal()))
    }
}

impl Drop for Dialogue<'_, '_, '_> {
    fn drop(&mut self) {
        self.reap_forked();
    }
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

/// Whoever traces init, once it is among the container's processes, may speak for it. It is heard no further than the plan goes.
fn out_of_turn() -> Error {
    Error::new(ErrorKind::System, "container init spoke out of turn").in_init()
}
