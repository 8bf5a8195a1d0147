//! Cases, what each finds, and what is wrong afterwards.
use super::foreseen;
use super::subject::{Before, Subject};
use nix::errno::Errno;
use plimsoll_integration_tests::container::Leftovers;
use plimsoll_integration_tests::fault::{Run, Which};
use plimsoll_integration_tests::{cgroup, fingerprint, harness, runtime};

/// A command; `ID` stands for the id, `DIR` for the bundle.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) line: &'static str,
    pub(super) before: Before,
    pub(super) promise: Promise,
}

/// What is so after exit status 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// It can be started, and its program finds everything as asked.
    Created,
    /// Its program has found everything as asked.
    Printed,
    /// Status, limits and mounts are what the command makes of them.
    Changed,
    /// The command has told what is so.
    Told,
    /// The same, but for the numbers.
    ToldRoughly,
    Dead,
    Gone,
    /// Exit status 0 is no answer: the container runs.
    Refused,
}

pub(super) const CASES: &[Case] = &[
    case("create", "create --bundle DIR ID", Before::Bundle, Promise::Created),
    case("create (user namespace)", "create --bundle DIR ID", Before::Mapped, Promise::Created),
    case("run", "run --bundle DIR ID", Before::Bundle, Promise::Printed),
    case("start", "start ID", Before::Created, Promise::Printed),
    case("exec", "exec ID fingerprint", Before::Running, Promise::Printed),
    case("kill", "kill ID KILL", Before::Running, Promise::Dead),
    case("kill --all", "kill --all ID KILL", Before::Paused, Promise::Dead),
    case("delete", "delete ID", Before::Stopped, Promise::Gone),
    case("delete (running)", "delete ID", Before::Running, Promise::Refused),
    case("delete --force", "delete --force ID", Before::Running, Promise::Gone),
    case("update", "update --memory 64m --cpu-quota 20000 --pids-limit 50 ID", Before::Running, Promise::Changed),
    case("pause", "pause ID", Before::Running, Promise::Changed),
    case("resume", "resume ID", Before::Paused, Promise::Changed),
    case("mounts add", "mounts add ID DIR/mounts.json", Before::Running, Promise::Changed),
    case("mounts remove", "mounts remove ID DIR/mounts.json", Before::Mounted, Promise::Changed),
    case("restore", "restore --detach --image-path DIR/images --bundle DIR ID", Before::Images, Promise::Changed),
    case("state", "state ID", Before::Running, Promise::Told),
    case("list", "list", Before::Running, Promise::Told),
    case("ps", "ps --format json ID", Before::Running, Promise::Told),
    case("events --stats", "events --stats ID", Before::Running, Promise::ToldRoughly),
];

const fn case(name: &'static str, line: &'static str, before: Before, promise: Promise) -> Case {
    Case { name, line, before, promise }
}

impl Case {
    pub(super) fn is_called(&self, word: &str) -> bool {
        self.name == word || self.line.split(' ').next() == Some(word)
    }

    /// The container may be used again: the command changes nothing of it.
    pub(super) fn is_only_asking(&self) -> bool {
        matches!(self.promise, Promise::Told | Promise::ToldRoughly | Promise::Refused) || self.name == "exec"
    }
}

impl Case {
    /// What is compared of an answer, if that is what the command is for.
    pub(super) fn answer_of(&self, told: impl Fn() -> String) -> Option<String> {
        match self.promise {
            Promise::Told => Some(told()),
            Promise::ToldRoughly => Some(told().split(|letter: char| letter.is_ascii_digit()).collect()),
            _ => None,
        }
    }
}

/// One of the table's columns, and what was seen.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    pub(super) words: String,
}

impl Finding {
    /// It is counted only.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.kind, "unnamed" | "foreseen")
    }
}

impl Subject {
    pub(super) fn judge(&mut self, run: &Run, fault: &(Which, Errno)) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut found = |kind, words| findings.push(Finding { kind, words });
        match run.status {
            None => found("hung", run.stuck.clone()),
            Some(0) => match self.promised() {
                Ok(seen) if seen == self.usual => (),
                // "If any hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle continue" (runtime.md).
                Ok(seen) if self.said.contains("poststop hook") && self.usual == format!("{seen}poststop\n") => (),
                Ok(seen) => match foreseen::reason(fault, &self.usual, &seen) {
                    Some(reason) => found("foreseen", reason.to_owned()),
                    None => found("wrong", fingerprint::difference(&self.usual, &seen)),
                },
                Err(words) => match foreseen::reason_to_say(fault, &words) {
                    Some(reason) => found("foreseen", reason.to_owned()),
                    None => found("wrong", words),
                },
            },
            Some(status) => {
                if !run.mute {
                    self.complaints(status, fault.1, &mut found);
                }
                self.remains(&mut found);
            }
        }
        let may_go_on = findings.iter().all(Finding::is_none)
            && (self.case.is_only_asking() || run.status != Some(0) && self.is_as_before());
        let left = if may_go_on { None } else { self.clear() };
        if let Some(words) = left {
            findings.push(Finding { kind: "leaked", words });
        }
        findings
    }

    fn complaints(&self, status: i32, errno: Errno, found: &mut impl FnMut(&'static str, String)) {
        let said = self.said.trim();
        // 255 is what `exec` says of its own errors.
        if status == 101 || (129..192).contains(&status) || said.contains("panicked") {
            found("panicked", format!("{status}: {}", said.lines().take(2).collect::<Vec<_>>().join(" ")));
        } else if said.is_empty() || said.contains("without a word") {
            found("silent", format!("{status}: {said}"));
        } else {
            let name = format!("{errno:?}");
            if !said.contains(&name)
                && !said.contains(errno.desc())
                && !said.to_lowercase().contains(&errno.desc().to_lowercase())
            {
                found("unnamed", said.to_owned());
            }
        }
    }

    /// After exit status 0: what is so, to be compared with what is so after an undisturbed command.
    pub(super) fn promised(&mut self) -> Result<String, String> {
        let container = &self.container;
        match self.case.promise {
            Promise::Created => {
                let pid = self.pid().ok_or("`state` has no pid")?;
                let created = fingerprint::process(container, pid) + &fingerprint::cgroups(container);
                self.quietly("start ID")?;
                self.wait_for_end();
                let printed = self.printed().ok_or("the program did not print everything")?;
                self.quietly("delete ID")?;
                self.nothing_left()?;
                Ok(format!("{created}\n{printed}\n{}", self.hooks()))
            }
            Promise::Printed => {
                if self.case.name != "exec" {
                    self.wait_for_end();
                }
                let printed = self.printed().ok_or("the program did not print everything")?;
                if self.case.name == "run" {
                    self.nothing_left()?;
                }
                Ok(format!("{printed}\n{}", self.hooks()))
            }
            Promise::Changed => self.snapshot().ok_or_else(|| "`state` has no pid".into()),
            Promise::Told | Promise::ToldRoughly => Ok(self.case.answer_of(|| self.told()).unwrap_or_default()),
            Promise::Dead => self.is_dead().then(String::new).ok_or_else(|| "it lives".into()),
            Promise::Gone => self.nothing_left().map(|()| String::new()),
            Promise::Refused => Err("exit status 0".into()),
        }
    }

    /// After a failure.
    fn remains(&mut self, found: &mut impl FnMut(&'static str, String)) {
        match (self.case.before, self.case.promise) {
            // Its program has ended; `delete --force` has to do the rest.
            (Before::Bundle, Promise::Printed) if self.said.contains("the container is not deleted") => (),
            (Before::Bundle | Before::Mapped | Before::Images, _) => {
                if let Err(words) = self.nothing_left() {
                    found("leaked", words);
                }
            }
            (Before::Created, _) => {
                let state = self.quietly("state ID");
                // What fails after the word, a poststart hook above all, ends the container, whose program may have come to
                // anything by then.
                let ended = state.as_ref().is_err_and(|words| words.contains("does not exist"));
                if ended {
                    if let Err(words) = self.nothing_left() {
                        found("leaked", words);
                    }
                    return;
                }
                // The program must not run while the engine believes that it does not.
                let runs = state.unwrap_or_default().contains("\"running\"");
                if runs || self.printed().is_some() {
                    found("half", format!("the program has run, and this was said: {}", self.said.trim()));
                }
            }
            (_, Promise::Changed | Promise::Refused) => {
                let mut now = self.snapshot();
                // It says what it has done, and that it can be called again: then all of it has to be done.
                if self.said.contains("the same command again") && now != self.before {
                    let again = self.quietly(self.case.line).map(|_| self.snapshot());
                    now = match again {
                        Ok(now) if now.as_ref() == Some(&self.usual) => return,
                        Ok(now) => now,
                        Err(words) => return found("half", words),
                    };
                }
                if now != self.before {
                    let [before, now] = [&self.before, &now].map(|text| text.clone().unwrap_or_default());
                    found("half", fingerprint::difference(&before, &now));
                }
            }
            (_, Promise::Printed) => {
                let now = self.settled(|subject| fingerprint::cgroups(&subject.container));
                if let Some(difference) = now {
                    found("leaked", difference);
                }
            }
            _ => (),
        }
    }

    /// What is left of a container that is said to be gone. Whoever it has started is our child by now.
    pub(super) fn nothing_left(&self) -> Result<(), String> {
        let mut left = Leftovers::default();
        let mut alive = false;
        for _ in 0..100 {
            alive = harness::reap();
            left = self.container.left_but_for_processes();
            if !alive && left == Leftovers::default() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let Leftovers { state, cgroups, mounts, units, .. } = left;
        let processes = if alive { self.container.left_behind().processes } else { Vec::new() };
        Err(format!("{state:?} {cgroups:?} {processes:?} {mounts:?} {units:?}"))
    }
}

/// Why a case cannot be tried here.
pub(super) fn lacks(case: &Case) -> Option<&'static str> {
    match case.name {
        name if name.starts_with("mounts") && !runtime().is("plimsoll") => Some("only plimsoll has it"),
        "restore" if cgroup::by_systemd() => Some("not with systemd"),
        _ => None,
    }
}
