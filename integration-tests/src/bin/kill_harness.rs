//! The kill harness: SIGKILL a runtime in the middle of a command, `delete --force`, and count what is left.
//!
//! `RUNTIME=plimsoll|runc|crun kill_harness [--sweep|--init] [ROUNDS] [COMMAND…]`: exit status 1 if anything was left.
//!
//! Without `--sweep` the instants are spread evenly over the time that the command takes, ROUNDS of them (default: 60). With it
//! the runtime is killed on entering each of its system calls in turn, by strace(1)'s injection; ROUNDS is then how many of them at
//! the most. Only its first thread is traced, and nothing that it starts: that is all there is of plimsoll, and not of runc.
//!
//! With `--init` it is not the runtime that is killed but what it has started: the runtime has to end by itself, in seconds.
#![allow(clippy::print_stdout, reason = "it prints a table")]
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use plimsoll_integration_tests::container::Leftovers;
use plimsoll_integration_tests::harness::{self, delete, is_frozen, reap};
use plimsoll_integration_tests::runtime::path_with_criu;
use plimsoll_integration_tests::{Container, cgroup, measure, output, runtime};
use serde_json::json;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What a command finds.
#[derive(Debug, Clone, Copy)]
enum Before {
    Bundle,
    Created,
    Running,
    Paused,
    /// Its images in the bundle, in a user namespace.
    Saved,
}

/// Its words, of which `ID` stands for the id and `DIR` for the bundle, and what it finds.
const COMMANDS: &[(&str, Before)] = &[
    ("create --bundle DIR ID", Before::Bundle),
    ("run --bundle DIR ID", Before::Bundle),
    ("start ID", Before::Created),
    ("exec ID true", Before::Running),
    ("update --memory 64m --cpu-quota 20000 --pids-limit 50 ID", Before::Running),
    ("pause ID", Before::Running),
    ("resume ID", Before::Paused),
    ("kill ID KILL", Before::Running),
    ("kill --all ID KILL", Before::Paused),
    ("delete --force ID", Before::Running),
    ("mounts add ID DIR/mounts.json", Before::Running),
    ("checkpoint --image-path DIR/images ID", Before::Running),
    ("restore --detach --image-path DIR/images --bundle DIR ID", Before::Saved),
];

#[derive(Debug, Default)]
struct Count {
    rounds: usize,
    killed: usize,
    /// The runtime did not end though what it had started did.
    hung: usize,
    /// Frozen, and nobody has asked for that.
    frozen: usize,
    /// `state` no longer answers though the container is there.
    mute: usize,
    delete_failed: usize,
    process: usize,
    cgroup: usize,
    state: usize,
    mount: usize,
    /// Images that others than their owner may read.
    open: usize,
    unusable: usize,
}

impl Count {
    fn bad(&self) -> usize {
        let Count { hung, frozen, mute, delete_failed, process, cgroup, state, mount, open, unusable, .. } = self;
        hung + frozen + mute + delete_failed + process + cgroup + state + mount + open + unusable
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let sweep = arguments.next_if(|argument| argument == "--sweep").is_some();
    let init = arguments.next_if(|argument| argument == "--init").is_some();
    let rounds = arguments.next_if(|argument| argument.parse::<usize>().is_ok()).and_then(|rounds| rounds.parse().ok());
    let asked: Vec<String> = arguments.collect();
    // Whoever is orphaned comes to us, and is waited for, and so counted.
    set_child_subreaper(true).expect("a subreaper");

    println!("{}, cgroup {}", runtime().version, if cgroup::is_v2() { "v2" } else { "v1" });
    println!(
        "{:26} {:>6} {:>6} | {:>4} {:>6} {:>4} {:>13} {:>7} {:>6} {:>5} {:>5} {:>4} {:>8}",
        "",
        "rounds",
        "killed",
        "hung",
        "frozen",
        "mute",
        "delete failed",
        "process",
        "cgroup",
        "state",
        "mount",
        "open",
        "unusable"
    );
    let mut bad = 0;
    for (line, before) in COMMANDS {
        let wanted = |word: &String| line.split(' ').next() == Some(word);
        if !asked.is_empty() && !asked.iter().any(wanted) {
            continue;
        }
        let attempt = Attempt { line, before: *before };
        if !attempt.is_known() {
            continue;
        }
        let count = if sweep { attempt.sweep(rounds) } else { attempt.spread(rounds.unwrap_or(60), init) };
        let Count { rounds, killed, hung, frozen, mute, delete_failed, process, cgroup, state, mount, open, unusable } =
            count;
        println!(
            "{:26} {rounds:>6} {killed:>6} | {hung:>4} {frozen:>6} {mute:>4} {delete_failed:>13} {process:>7} {cgroup:>6} {state:>5} {mount:>5} {open:>4} {unusable:>8}",
            harness::name(line)
        );
        bad += count.bad();
    }
    ExitCode::from(u8::from(bad > 0))
}

struct Attempt {
    line: &'static str,
    before: Before,
}

impl Attempt {
    fn prepare(&self) -> Container {
        let container = Container::new().set("/root/readonly", json!(false));
        let mounts = json!([{"destination": "/a", "type": "tmpfs"}, {"destination": "/b", "source": "/etc", "options": ["bind"]}]);
        fs::write(container.dir.join("mounts.json"), mounts.to_string()).expect("our own");
        match self.before {
            Before::Bundle => {
                let container = container.args(&["true"]);
                container.write_config();
                container
            }
            Before::Created => container.args(&["sleep", "1000"]).created(),
            Before::Running => container.running(),
            Before::Paused => {
                let container = container.running();
                container.pause().ok();
                container
            }
            Before::Saved => {
                let container = container.user_namespace(100_000, 65536).running();
                let images = container.dir.join("images");
                let mut save =
                    container.command(&["checkpoint", "--image-path", images.to_str().expect("text"), &container.id]);
                output::finish(save.env("PATH", path_with_criu())).ok();
                container
            }
        }
    }

    fn command(&self, container: &Container) -> Command {
        let mut command = harness::command(self.line, container);
        if self.line.starts_with("checkpoint") || self.line.starts_with("restore") {
            command.env("PATH", path_with_criu());
        }
        command
    }

    /// A runtime without the command has nothing to be killed at.
    fn is_known(&self) -> bool {
        !self.line.starts_with("mounts") || runtime().is("plimsoll")
    }

    fn spread(&self, rounds: usize, init: bool) -> Count {
        let time = |_| {
            let container = self.prepare();
            let mut command = self.command(&container);
            let started = Instant::now();
            measure::quiet(&mut command).stderr(Stdio::null()).status().expect("the runtime starts");
            started.elapsed()
        };
        let usual = measure::median(&mut (0..9).map(time).collect::<Vec<_>>());
        reap();
        let mut count = Count { rounds, ..Count::default() };
        for round in 0..u32::try_from(rounds).expect("not that many") {
            // Multiples of the golden ratio spread evenly over [0, 1.15 T], whatever the number of rounds.
            let instant = (f64::from(round) * 0.618_033_988_75).fract() * 1.15;
            let container = self.prepare();
            let mut command = self.command(&container);
            let mut child = measure::quiet(&mut command).stderr(Stdio::null()).spawn().expect("the runtime starts");
            std::thread::sleep(usual.mul_f64(instant));
            let killed = if init {
                let killed = kill_children(&child);
                let mut hung = || child.try_wait().expect("our own child").is_none();
                let started = Instant::now();
                while hung() && started.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                count.hung += usize::from(hung());
                let _ = child.kill();
                let _ = child.wait();
                killed
            } else {
                child.kill().expect("our own child");
                child.wait().expect("our own child").signal().is_some()
            };
            self.look(container, killed, "", &mut count);
        }
        count
    }

    /// By name and count rather than by position: a call more or less in one run shifts nothing then.
    fn sweep(&self, most: Option<usize>) -> Count {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let calls: Vec<_> = self
            .calls()
            .into_iter()
            .map(|name| {
                let count = seen.entry(name.clone()).or_default();
                *count += 1;
                (name, *count)
            })
            .collect();
        let step = most.map_or(1, |most| calls.len().div_ceil(most.max(1)).max(1));
        let mut count = Count::default();
        for (name, number) in calls.iter().step_by(step) {
            let container = self.prepare();
            let inject = format!("inject={name}:signal=SIGKILL:when={number}");
            let mut command = under_strace(&["-o", "/dev/null", "-e", &inject], &self.command(&container));
            let status = measure::quiet(&mut command).stderr(Stdio::null()).status().expect("strace");
            count.rounds += 1;
            self.look(container, status.signal().is_some(), &format!("{name} {number}"), &mut count);
        }
        count
    }

    /// The names of the system calls that the command makes, in order.
    fn calls(&self) -> Vec<String> {
        let container = self.prepare();
        let trace = container.dir.join("trace");
        let mut command = under_strace(&["-o", trace.to_str().expect("text")], &self.command(&container));
        measure::quiet(&mut command).status().expect("strace");
        let trace = fs::read_to_string(trace).expect("a trace");
        let name = |line: &str| Some(line.split_once('(')?.0.to_owned());
        // Of execve(2) strace's own is the first; nobody outlives exit_group(2).
        let names = trace.lines().filter_map(name).filter(|name| !matches!(&**name, "execve" | "exit_group" | "exit"));
        names.collect()
    }

    fn look(&self, container: Container, killed: bool, instant: &str, count: &mut Count) {
        count.killed += usize::from(killed);
        let before = count.bad();
        let freezes = self.line.starts_with("pause") || self.line.starts_with("checkpoint");
        let may_be_frozen = matches!(self.before, Before::Paused) || freezes;
        count.frozen += usize::from(!may_be_frozen && is_frozen(&container));
        let there = container.dir.join("state").join(&container.id).join("state.json").exists();
        let answers = output::finish(&mut container.command(&["state", &container.id])).status == 0;
        count.mute += usize::from(there && !answers && runtime().is("plimsoll"));

        let complaint = delete(&container);
        count.delete_failed += usize::from(complaint.is_some());
        // The dying get two seconds.
        let started = Instant::now();
        while reap() && started.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let Leftovers { state, cgroups, processes, mounts, units } = container.left_behind();
        count.process += usize::from(reap() || !processes.is_empty());
        count.cgroup += usize::from(!cgroups.is_empty() || !units.is_empty());
        count.state += usize::from(!state.is_empty());
        count.mount += usize::from(!mounts.is_empty());
        let mode = fs::metadata(container.dir.join("images")).map_or(0, |images| images.permissions().mode());
        count.open += usize::from(mode & 0o077 != 0);
        count.unusable += usize::from(container.create().status != 0);
        if count.bad() > before {
            let said = complaint.unwrap_or_default();
            println!("    at {instant}: {said}{state:?} {cgroups:?} {units:?} {processes:?} {mounts:?}");
        }
        // Not into the next round.
        for pid in processes {
            let _ = kill(Pid::from_raw(pid), SIGKILL);
        }
        drop(container);
        reap();
    }
}

/// SIGKILL for everybody that it has started; `false` if that is nobody yet.
fn kill_children(child: &std::process::Child) -> bool {
    let pid = child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    children.iter().filter(|pid| kill(Pid::from_raw(**pid), SIGKILL).is_ok()).count() > 0
}

/// `command` with strace before it, which ends by the signal that the command has ended by.
fn under_strace(options: &[&str], command: &Command) -> Command {
    let mut strace = Command::new("strace");
    strace.args(options).arg("--").arg(command.get_program()).args(command.get_args());
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    strace.envs(variables);
    strace
}
