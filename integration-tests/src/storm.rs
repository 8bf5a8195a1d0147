//! Commands on the same ids at once: what is left when the storm is over.
use crate::container::Leftovers;
use crate::{Container, cgroup};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Words of a command, of which `ID` stands for an id and `DIR` for its bundle; the more often a word, the more often it is chosen.
const COMMANDS: &[&str] = &[
    "create --bundle DIR ID",
    "create --bundle DIR ID",
    "create --bundle DIR ID",
    "start ID",
    "start ID",
    "run --detach --bundle DIR ID",
    "state ID",
    "list",
    "exec ID true",
    "exec --detach ID sleep 1000",
    "kill ID KILL",
    "kill --all ID KILL",
    "pause ID",
    "resume ID",
    "update --pids-limit 50 ID",
    "ps ID",
    "delete ID",
    "delete --force ID",
];

/// How long any of them may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Losses {
    pub hung: Vec<String>,
    /// What a `delete --force` said that failed.
    pub refused: Vec<String>,
    /// Ended by a signal.
    pub crashed: Vec<String>,
    /// What `delete --force` says of an id afterwards, if it fails.
    pub undeletable: Vec<String>,
    pub left: Leftovers,
}

/// How often which command was called, and how often it succeeded.
pub type Calls = BTreeMap<&'static str, (usize, usize)>;

/// The ids of one store, and a bundle for each.
#[derive(Debug)]
pub struct Storm {
    container: Container,
    ids: Vec<String>,
}

impl Storm {
    /// # Panics
    /// If the machine cannot even do this.
    pub fn over(ids: usize) -> Storm {
        let container = Container::new().args(&["sleep", "1000"]);
        let root = container.rootfs().display().to_string();
        let mut container = container.set("/root/path", json!(root));
        let ids: Vec<_> = (0..ids).map(|number| format!("{}-{number}", container.id)).collect();
        for id in &ids {
            container.config["linux"]["cgroupsPath"] = json!(format!("/{}/{id}", container.id));
            let bundle = container.dir.join(id);
            fs::create_dir(&bundle).expect("our own");
            fs::write(bundle.join("config.json"), container.config.to_string()).expect("our own");
        }
        Storm { container, ids }
    }

    /// # Panics
    /// If the runtime cannot be called.
    pub fn blow(&self, workers: u64, time: Duration) -> Calls {
        let end = Instant::now() + time;
        let work = |seed| self.work(seed, end);
        let calls = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|seed| scope.spawn(move || work(seed))).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect::<Vec<_>>()
        });
        let mut sum = Calls::new();
        for (command, (called, succeeded)) in calls.into_iter().flatten() {
            let entry = sum.entry(command).or_default();
            *entry = (entry.0 + called, entry.1 + succeeded);
        }
        sum
    }

    fn work(&self, seed: u64, end: Instant) -> Calls {
        let mut random = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |most: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 33).expect("64 bits") % most
        };
        let mut calls = Calls::new();
        while Instant::now() < end {
            let (line, id) = (COMMANDS[next(COMMANDS.len())], &self.ids[next(self.ids.len())]);
            let succeeded = self.call(line, id);
            let entry = calls.entry(line).or_default();
            *entry = (entry.0 + 1, entry.1 + usize::from(succeeded));
        }
        calls
    }

    fn command(&self, line: &str, id: &str) -> Command {
        let bundle = self.container.dir.join(id).display().to_string();
        let words: Vec<_> = line.split(' ').map(|word| word.replace("ID", id).replace("DIR", &bundle)).collect();
        let mut command = self.container.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What hangs or crashes is noted in the directory, for [`Storm::losses`].
    fn call(&self, line: &str, id: &str) -> bool {
        let mut command = self.command(line, id);
        let errors = self.container.dir.join("errors");
        if line.starts_with("delete --force") {
            let file = fs::OpenOptions::new().create(true).append(true).open(errors).expect("our own");
            command.stderr(file);
        }
        let mut child = command.spawn().expect("the runtime starts");
        let mut started = Instant::now();
        loop {
            match child.try_wait().expect("our own child") {
                Some(status) if status.code().is_none() => {
                    self.note("crashed", line);
                    return false;
                }
                Some(status) => return status.success(),
                // Whoever comes into a paused container waits until it goes on.
                None if started.elapsed() > PATIENCE && self.container.call(&["resume", id]).status == 0 => {
                    started = Instant::now();
                }
                None if started.elapsed() > PATIENCE => {
                    self.note("hung", line);
                    let _ = child.kill();
                    let _ = child.wait();
                    return false;
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn note(&self, what: &str, line: &str) {
        use std::io::Write;
        let path = self.container.dir.join(what);
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("our own"), "{line}").expect("our own");
    }

    /// Deletes all of them, and looks what is left.
    pub fn losses(&self) -> Losses {
        let noted = |what: &str| {
            let text = fs::read_to_string(self.container.dir.join(what)).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        let (hung, crashed, refused) = (noted("hung"), noted("crashed"), noted("errors"));
        let mut losses = Losses { hung, crashed, refused, ..Losses::default() };
        for id in &self.ids {
            let deleted = self.container.call(&["delete", "--force", id]);
            if deleted.status != 0 {
                losses.undeletable.push(deleted.stderr);
            }
        }
        losses.left = self.container.left_behind();
        let parents = cgroup::directories(&format!("/{}", self.container.id));
        let below = |parent: PathBuf| fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
        losses.left.cgroups = parents.into_iter().flat_map(below).filter(|path| path.is_dir()).collect();
        losses
    }
}
