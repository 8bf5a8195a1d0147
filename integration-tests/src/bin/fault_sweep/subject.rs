//! A container that a command is tried on, again and again.
use super::judge::{Case, Finding, lacks};
use nix::errno::Errno;
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use plimsoll_integration_tests::container::Leftovers;
use plimsoll_integration_tests::fault::{self, Point, Run, Which};
use plimsoll_integration_tests::{Container, fingerprint, harness, output};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Bundle,
    /// With a user namespace.
    Mapped,
    Created,
    Running,
    Paused,
    Stopped,
    /// With mounts that were added later.
    Mounted,
    /// Saved by `checkpoint`.
    Images,
}

pub(super) struct Subject {
    pub(super) case: &'static Case,
    pub(super) container: Container,
    /// What is so after the command if nothing fails.
    pub(super) usual: String,
    /// What was so before it.
    pub(super) before: Option<String>,
    /// Its last words.
    pub(super) said: String,
    ready: bool,
    /// The hierarchies that this was found with.
    machine: String,
}

impl Subject {
    /// None, and a line that says why, if the command cannot be tried here or does not do the same twice.
    pub(super) fn new(case: &'static Case) -> Option<Subject> {
        if let Some(why) = lacks(case) {
            println!("{}: skipped: {why}", case.name);
            return None;
        }
        let (container, usual, said, machine) = (bundle(case.before), String::new(), String::new(), hierarchies());
        let mut subject = Subject { case, container, usual, before: None, said, ready: false, machine };
        for attempt in 0..2 {
            let run = subject.run(None, Duration::from_secs(60));
            let status = run.status.unwrap_or(-1);
            let seen = if status == 0 { subject.promised() } else { Ok(String::new()) };
            match seen {
                Ok(seen) if attempt == 0 => subject.usual = seen,
                Ok(seen) if seen == subject.usual => (),
                Ok(seen) => {
                    println!("{}: differs by itself:{}", case.name, fingerprint::difference(&subject.usual, &seen));
                    return None;
                }
                Err(words) => {
                    println!("{}: fails by itself: {status}: {words} {}", case.name, subject.said);
                    return None;
                }
            }
            // An answer names the container: it is asked of the same one.
            if !case.is_only_asking() {
                subject.clear();
            }
        }
        Some(subject)
    }

    /// The calls of an undisturbed command that may fail, without those that the loader and the library make before main().
    pub(super) fn calls(&mut self, deadline: Duration) -> Vec<Point> {
        let run = self.run(None, deadline);
        if !self.case.is_only_asking() {
            self.clear();
        }
        let named =
            |point: &Point, name| point.actor == 0 && plimsoll_integration_tests::syscalls::name(point.number) == name;
        // std's last act before main() is the alternative stack of its handler of stack overflows.
        let main =
            run.calls.iter().position(|point| named(point, "sigaltstack") && point.count == 2).map_or(0, |at| at + 1);
        run.calls.into_iter().skip(main).filter(fault::may_fail).collect()
    }

    /// Once more if somebody else has moved a hierarchy meanwhile, as CRIU does, or who mounts one that cgroup v2 had: what a
    /// container is then is not what it was.
    pub(super) fn try_with(&mut self, fault: &(Which, Errno), deadline: Duration) -> (Run, Vec<Finding>) {
        loop {
            let machine = self.machine.clone();
            let run = self.run(Some(fault), deadline);
            let findings = self.judge(&run, fault);
            let is_disturbed = || {
                let disturbed = hierarchies() != machine;
                // It takes a moment.
                std::thread::sleep(Duration::from_millis(if disturbed { 500 } else { 0 }));
                disturbed
            };
            if findings.iter().all(Finding::is_none) || !is_disturbed() {
                return (run, findings);
            }
            let Some(subject) = Subject::new(self.case) else { return (run, findings) };
            *self = subject;
        }
    }

    /// Prepares and runs.
    pub(super) fn run(&mut self, fault: Option<&(Which, Errno)>, deadline: Duration) -> Run {
        if !self.ready {
            self.prepare();
        }
        self.before = self.snapshot_before();
        let also = (self.case.before == Before::Created).then(|| self.pid()).flatten();
        let mut command = harness::command(self.case.line, &self.container);
        self.with_files(&mut command);
        let run = fault::trace(&mut command, also, fault, deadline);
        self.said = fs::read_to_string(self.container.dir.join("err")).unwrap_or_default();
        run
    }

    /// Output goes to files: a pipe would stay open as long as a detached container lives.
    fn with_files(&self, command: &mut Command) {
        let file = |name| anew(&self.container.dir.join(name));
        command.stdin(Stdio::null()).stderr(file("err"));
        match self.case.before {
            // The program has that of `create`.
            Before::Created => command.stdout(Stdio::null()),
            _ => command.stdout(file("out")),
        };
    }

    fn prepare(&mut self) {
        let _ = fs::remove_file(self.container.dir.join("hooks"));
        let runs = matches!(self.case.before, Before::Running | Before::Paused | Before::Stopped | Before::Mounted);
        let program =
            if runs || self.case.before == Before::Images { json!(["sleep", "1000"]) } else { json!(["fingerprint"]) };
        self.container.config["process"]["args"] = program;
        self.container.write_config();
        let expect = |said: Result<String, String>| said.unwrap_or_else(|words| panic!("{words}"));
        if runs || self.case.before == Before::Created {
            expect(self.quietly("create --bundle DIR ID"));
        }
        if runs {
            expect(self.quietly("start ID"));
            self.wait_for_program();
        }
        match self.case.before {
            Before::Paused => _ = expect(self.quietly("pause ID")),
            Before::Mounted => _ = expect(self.quietly("mounts add ID DIR/mounts.json")),
            Before::Stopped => {
                expect(self.quietly("kill ID KILL"));
                self.wait_for_end();
            }
            Before::Images if !self.container.dir.join("images").exists() => self.save(),
            _ => (),
        }
        if let Some(answer) = self.case.answer_of(|| expect(self.quietly(self.case.line))) {
            self.usual = answer;
        }
        self.ready = true;
    }

    /// Makes the images.
    fn save(&mut self) {
        for line in ["create --bundle DIR ID", "start ID"] {
            self.quietly(line).unwrap_or_else(|words| panic!("{words}"));
        }
        self.wait_for_program();
        self.quietly("checkpoint --image-path DIR/images ID").unwrap_or_else(|words| panic!("{words}"));
        let _ = harness::delete(&self.container);
    }

    /// An undisturbed command: what it has printed, or how it has failed.
    pub(super) fn quietly(&self, line: &str) -> Result<String, String> {
        let file = |name| self.container.dir.join(name);
        let mut command = harness::command(line, &self.container);
        let program_prints = line.starts_with("create") || line.starts_with("run");
        let out = if program_prints { file("out") } else { file("answer") };
        command.stdout(anew(&out)).stderr(anew(&file("complaint")));
        let status = output::wait(command.spawn().expect("the runtime starts"), line);
        let complaint = fs::read_to_string(file("complaint")).unwrap_or_default();
        if status != 0 {
            return Err(format!("`{line}`: {status}: {}", complaint.trim()));
        }
        Ok(fs::read_to_string(out).unwrap_or_default())
    }

    pub(super) fn pid(&self) -> Option<i32> {
        let state: Value = serde_json::from_str(&self.quietly("state ID").ok()?).ok()?;
        state["pid"].as_i64().and_then(|pid| pid.try_into().ok())
    }

    /// `start` may return before execve does.
    fn wait_for_program(&self) {
        let pid = self.pid().expect("a pid");
        output::wait_until("its program runs", || {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001000\0").then_some(())
        });
    }

    /// Until nobody is alive whom we have started or adopted.
    pub(super) fn wait_for_end(&self) {
        let started = Instant::now();
        while harness::reap() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.wait_for_end();
        !harness::reap()
    }

    pub(super) fn printed(&self) -> Option<String> {
        let text = fs::read_to_string(self.container.dir.join("out")).ok()?;
        fingerprint::inside(&self.container, &text)
    }

    pub(super) fn told(&self) -> String {
        fs::read_to_string(self.container.dir.join("out")).unwrap_or_default()
    }

    pub(super) fn hooks(&self) -> String {
        fs::read_to_string(self.container.dir.join("hooks")).unwrap_or_default()
    }

    /// Status, cgroups, and the container as its first process has it.
    pub(super) fn snapshot(&self) -> Option<String> {
        let state: Value = serde_json::from_str(&self.quietly("state ID").ok()?).ok()?;
        let pid = state["pid"].as_i64().and_then(|pid| pid.try_into().ok())?;
        let process = fingerprint::process(&self.container, pid);
        Some(format!("status {}\n{process}\n{}", state["status"], fingerprint::cgroups(&self.container)))
    }

    fn snapshot_before(&self) -> Option<String> {
        match self.case.before {
            Before::Running if self.case.name == "exec" => Some(fingerprint::cgroups(&self.container)),
            Before::Running | Before::Paused | Before::Mounted => self.snapshot(),
            _ => None,
        }
    }

    /// In a second at the latest what is seen is again what was there before: else the difference.
    pub(super) fn settled(&self, look: impl Fn(&Subject) -> String) -> Option<String> {
        let before = self.before.clone().unwrap_or_default();
        let mut now = String::new();
        for _ in 0..100 {
            now = look(self);
            if now == before {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(fingerprint::difference(&before, &now))
    }

    /// Whether the next command may be tried on the same, after one that has failed and of which nothing is left.
    pub(super) fn is_as_before(&self) -> bool {
        match self.case.before {
            Before::Running | Before::Paused | Before::Mounted => self.snapshot() == self.before,
            Before::Bundle | Before::Mapped | Before::Images => {
                let _ = fs::remove_file(self.container.dir.join("hooks"));
                // `run` may have left what it says that it has.
                self.container.left_but_for_processes() == Leftovers::default()
            }
            // The one waits for a word that it has had, of the other nobody sees whether it is whole.
            Before::Created | Before::Stopped => false,
        }
    }

    /// Deletes it by force; what `delete` says, or what is left, if anything is wrong with that.
    pub(super) fn clear(&mut self) -> Option<String> {
        self.ready = false;
        let _ = fs::remove_file(self.container.dir.join("errors"));
        let complaint = harness::delete(&self.container);
        let left = self.nothing_left().err();
        if left.is_some() {
            // Not into the next round.
            for pid in self.container.left_behind().processes {
                let _ = kill(Pid::from_raw(pid), SIGKILL);
            }
            self.container = bundle(self.case.before);
            harness::reap();
        }
        complaint.into_iter().chain(left).reduce(|all, more| format!("{all} {more}"))
    }
}

/// Which controllers are where.
fn hierarchies() -> String {
    let all = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let of = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    all.lines().map(of).collect::<Vec<_>>().join("; ")
}

/// An empty file; whoever has the last one open keeps that.
fn anew(path: &Path) -> File {
    let _ = fs::remove_file(path);
    File::create_new(path).expect("our own")
}

/// A new one.
fn bundle(before: Before) -> Container {
    let container = Container::new();
    let mounts = json!([
        // With a mode of its own: otherwise it is that of the directory, if an earlier round has made it.
        {"destination": "/tmp/a", "type": "tmpfs", "options": ["ro", "nosuid", "noexec", "mode=700"]},
        {"destination": "/tmp/b", "source": "/etc", "options": ["rbind", "ro"]},
    ]);
    fs::write(container.dir.join("mounts.json"), mounts.to_string()).expect("our own");
    match before {
        Before::Mapped => fingerprint::mapped(container),
        Before::Images => container,
        _ => fingerprint::restricted(container),
    }
}
