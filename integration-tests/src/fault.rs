//! A tracer that lets one system call of a command fail.
//!
//! Followed is all that the command starts, init above all, until it executes a program that is not init's. Unlike strace(1) the
//! tracer stops nobody any more once the call has failed, so that a command takes little longer than by itself.
use crate::output::as_a_shell;
use crate::syscalls;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// A system call by who makes it, its name and how many of that name it has made: a call more or less elsewhere shifts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Point {
    /// 0 is the command itself; the others in the order in which they appear.
    pub actor: usize,
    pub number: u64,
    pub count: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actor = if self.actor == 0 { "runtime".to_owned() } else { format!("child{}", self.actor) };
        write!(f, "{actor}:{}:{}", syscalls::name(self.number), self.count)
    }
}

#[derive(Debug, Clone)]
pub enum Which {
    One(Point),
    /// Every call of that name, whoever makes it: a kernel or a filter that has none.
    All(u64),
}

#[derive(Debug)]
pub struct Run {
    /// The exit status as a shell would say it; none if it had to be killed at the deadline.
    pub status: Option<i32>,
    /// The calls up to the one that failed.
    pub calls: Vec<Point>,
    pub injected: bool,
    /// It was the last words that could not be written.
    pub mute: bool,
    /// What those who hung were doing.
    pub stuck: String,
}

#[derive(Debug, Default)]
struct Tracee {
    actor: usize,
    /// Becomes the result on return from the call.
    fails: bool,
    /// Until its first stop.
    new: bool,
}

struct Tracer<'a> {
    tracees: HashMap<i32, Tracee>,
    /// Who has stopped before its parent has told of it.
    early: HashSet<i32>,
    actors: usize,
    counts: HashMap<(usize, u64), usize>,
    fault: Option<&'a (Which, Errno)>,
    run: Run,
}

/// Runs `command`; `also` is a process that exists already, the init of a created container.
///
/// # Panics
/// If it cannot be started or traced.
pub fn trace(command: &mut Command, also: Option<i32>, fault: Option<&(Which, Errno)>, deadline: Duration) -> Run {
    // SAFETY: only a system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = i32::try_from(command.spawn().expect("the runtime starts").id()).expect("a pid");
    let run = Run { status: None, calls: Vec::new(), injected: false, mute: false, stuck: String::new() };
    let mut tracer =
        Tracer { tracees: HashMap::new(), early: HashSet::new(), actors: 0, counts: HashMap::new(), fault, run };
    wait_for(child);
    tracer.follow(child);
    if let Some(pid) = also {
        ptrace::attach(Pid::from_raw(pid)).expect("we are root");
        wait_for(pid);
        tracer.follow(pid);
    }
    tick(true);
    tracer.until_end_of(child, Instant::now() + deadline);
    tick(false);
    tracer.run
}

fn wait_for(pid: i32) {
    let mut status = 0;
    // SAFETY: writes one int.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert!(waited == pid && libc::WIFSTOPPED(status), "{pid} does not stop: {status:#x}");
}

/// waitpid(2) has no deadline: a signal ends it five times a second.
fn tick(on: bool) {
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action).expect("a handler") };
    let time = libc::timeval { tv_sec: 0, tv_usec: if on { 200_000 } else { 0 } };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: reads one structure.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

impl Tracer<'_> {
    /// It is stopped for the first time.
    fn follow(&mut self, pid: i32) {
        let actor = self.actor(pid);
        self.tracees.insert(pid, Tracee { actor, ..Tracee::default() });
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::setoptions(Pid::from_raw(pid), options).expect("it is stopped");
        self.go_on(pid, 0);
    }

    fn actor(&mut self, pid: i32) -> usize {
        if let Some(known) = self.tracees.get(&pid) {
            return known.actor;
        }
        self.actors += 1;
        self.actors - 1
    }

    fn go_on(&self, pid: i32, signal: i32) {
        let request = if self.run.injected && !self.tracees.values().any(|tracee| tracee.fails) && !self.is_for_all() {
            libc::PTRACE_CONT
        } else {
            libc::PTRACE_SYSCALL
        };
        // SAFETY: reads and writes nothing of ours. Whoever was killed meanwhile is ESRCH.
        unsafe { libc::ptrace(request, pid, 0, signal) };
    }

    fn is_for_all(&self) -> bool {
        matches!(self.fault, Some((Which::All(_), _)))
    }

    fn until_end_of(&mut self, child: i32, deadline: Instant) {
        loop {
            let mut status = 0;
            // SAFETY: writes one int.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
            if pid < 0 {
                if Instant::now() > deadline {
                    self.run.stuck = self.stuck();
                    self.kill_all();
                    return;
                }
            } else if libc::WIFSTOPPED(status) {
                self.stopped(pid, libc::WSTOPSIG(status), status >> 16);
            } else {
                self.tracees.remove(&pid);
                if pid == child {
                    self.run.status = Some(as_a_shell(ExitStatus::from_raw(status)));
                    return self.let_go(deadline);
                }
            }
        }
    }

    fn stopped(&mut self, pid: i32, signal: i32, event: i32) {
        if self.stops_for_the_first_time(pid) {
            return self.follow(pid);
        }
        match (signal, event) {
            (_, libc::PTRACE_EVENT_EXEC) => {
                let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                let is_init = program.to_string_lossy().contains("memfd:") || program.to_string_lossy().contains("/#");
                if is_init { self.go_on(pid, 0) } else { self.detach(pid) }
            }
            (_, event) if event != 0 => {
                self.meet_child(pid, event);
                self.go_on(pid, 0);
            }
            (signal, _) if signal == libc::SIGTRAP | 0x80 => self.at_call(pid),
            (signal, _) => self.go_on(pid, signal),
        }
    }

    /// If `event` is a fork: the child is traced, and stops before it does anything.
    fn meet_child(&mut self, pid: i32, event: i32) {
        if !matches!(event, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) {
            return;
        }
        let child = ptrace::getevent(Pid::from_raw(pid)).ok().and_then(|child| i32::try_from(child).ok());
        // Who was early may have ended by now, and its number may be a stranger's.
        if let Some(child) = child.filter(|child| !self.early.remove(child)) {
            let actor = self.actor(child);
            self.tracees.insert(child, Tracee { actor, new: true, ..Tracee::default() });
        }
    }

    /// Before or after its parent has told of it.
    fn stops_for_the_first_time(&mut self, pid: i32) -> bool {
        match self.tracees.get(&pid) {
            Some(tracee) => tracee.new,
            None => self.early.insert(pid),
        }
    }

    /// On entry and on return.
    fn at_call(&mut self, pid: i32) {
        let process = Pid::from_raw(pid);
        let Ok(info) = ptrace::syscall_info(process) else { return };
        if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: it is an entry.
            let (number, first) = unsafe { (info.u.entry.nr, info.u.entry.args[0]) };
            if self.is_to_fail(pid, number) {
                self.run.injected = true;
                self.run.mute |= first == 2 && syscalls::name(number) == "write";
                self.tracees.entry(pid).or_default().fails = true;
                // A descriptor is closed whatever close(2) says; of anything else nothing happens.
                if number != u64::try_from(libc::SYS_close).unwrap_or_default() {
                    change(process, |registers| registers.orig_rax = u64::MAX);
                }
            }
        } else if self.tracees.get_mut(&pid).is_some_and(|tracee| std::mem::take(&mut tracee.fails)) {
            let errno = self.fault.map_or(0, |(_, errno)| *errno as i64);
            change(process, |registers| registers.rax = -errno as u64);
        }
        self.go_on(pid, 0);
    }

    fn is_to_fail(&mut self, pid: i32, number: u64) -> bool {
        let actor = self.tracees[&pid].actor;
        let count = self.counts.entry((actor, number)).or_default();
        *count += 1;
        let point = Point { actor, number, count: *count };
        let fails = match self.fault {
            Some((Which::One(one), _)) => *one == point && !self.run.injected,
            Some((Which::All(all), _)) => *all == number && may_fail(&point),
            None => false,
        };
        self.run.calls.push(point);
        fails
    }

    fn detach(&mut self, pid: i32) {
        self.tracees.remove(&pid);
        let _ = ptrace::detach(Pid::from_raw(pid), None);
    }

    /// Those whom the command has left: they are running, and only who is stopped can be let go.
    fn let_go(&mut self, deadline: Instant) {
        for pid in self.tracees.keys() {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
        }
        while !self.tracees.is_empty() {
            let mut status = 0;
            // SAFETY: writes one int.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
            let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
            if pid < 0 {
                if Errno::last() == Errno::ECHILD || Instant::now() > deadline {
                    return self.kill_all();
                }
            } else if !libc::WIFSTOPPED(status) {
                self.tracees.remove(&pid);
            } else if self.stops_for_the_first_time(pid) || signal == libc::SIGSTOP && event == 0 {
                self.detach(pid);
            } else {
                self.meet_child(pid, event);
                self.go_on(pid, if event != 0 || signal & 0x80 != 0 { 0 } else { signal });
            }
        }
    }

    fn stuck(&self) -> String {
        let in_call = |(pid, tracee): (&i32, &Tracee)| {
            let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            let number = call.split_whitespace().next().and_then(|number| number.parse().ok());
            format!("{}: {}", tracee.actor, number.map_or(call.trim().to_owned(), syscalls::name))
        };
        self.tracees.iter().map(in_call).collect::<Vec<_>>().join(", ")
    }

    fn kill_all(&mut self) {
        for pid in self.tracees.keys() {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        for pid in self.tracees.keys() {
            // SAFETY: writes nothing.
            while unsafe { libc::waitpid(*pid, std::ptr::null_mut(), libc::__WALL) } == *pid {}
        }
        self.tracees.clear();
    }
}

fn change(pid: Pid, edit: impl FnOnce(&mut libc::user_regs_struct)) {
    // Whoever was killed meanwhile has no registers.
    if let Ok(mut registers) = ptrace::getregs(pid) {
        edit(&mut registers);
        let _ = ptrace::setregs(pid, registers);
    }
}

/// Calls that end the caller, that the kernel restarts by itself, or that only tell what cannot fail to be told.
pub fn may_fail(point: &Point) -> bool {
    const NEVER: &[&str] = &[
        "exit",
        "exit_group",
        "rt_sigreturn",
        "restart_syscall",
        "brk",
        "getpid",
        "gettid",
        "getppid",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "umask",
        "sched_yield",
        "set_tid_address",
    ];
    !NEVER.contains(&&*syscalls::name(point.number))
}

/// std panics if its hash tables get no random numbers, which only a kernel without getrandom(2) denies: that is tried.
pub fn may_say(which: &Which, errno: Errno) -> bool {
    let (Which::One(Point { number, .. }) | Which::All(number)) = which;
    syscalls::name(*number) != "getrandom" || errno == Errno::ENOSYS
}
