//! What the programs share that kill a runtime or let its calls fail.
use crate::{Container, cgroup, measure};
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use std::fs;
use std::process::Command;

/// The command `line`, in which `ID` stands for the id and `DIR` for the bundle.
///
/// # Panics
/// If the directory is not text.
pub fn command(line: &str, container: &Container) -> Command {
    let dir = container.dir.to_str().expect("text");
    let words: Vec<_> = line
        .split(' ')
        .map(|word| if word == "ID" { container.id.clone() } else { word.replace("DIR", dir) })
        .collect();
    container.command(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Its words without its flags and arguments.
pub fn name(line: &str) -> String {
    let words = line.split(' ').take_while(|word| !matches!(*word, "ID" | "--bundle" | "--memory" | "--image-path"));
    words.collect::<Vec<_>>().join(" ")
}

pub fn is_frozen(container: &Container) -> bool {
    let read = |controller, file| fs::read_to_string(container.cgroup_dir(controller).join(file)).unwrap_or_default();
    if cgroup::is_v2() {
        return read("", "cgroup.freeze").trim() == "1";
    }
    !matches!(read("freezer", "freezer.state").trim(), "" | "THAWED")
}

/// What `delete --force` says if it fails. Meanwhile orphans are waited for, as engines do: the pid namespace of a process that is
/// dead but not waited for does not end.
///
/// # Panics
/// If the runtime cannot be started.
pub fn delete(container: &Container) -> Option<String> {
    let errors = container.dir.join("errors");
    let file = fs::File::create_new(&errors).expect("our own");
    let mut command = container.command(&["delete", "--force", &container.id]);
    let mut child = measure::quiet(&mut command).stderr(file).spawn().expect("the runtime starts");
    let own = i32::try_from(child.id()).expect("a pid");
    while let Ok(dead) = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
        match dead.pid() {
            Some(pid) if pid.as_raw() != own => _ = waitpid(pid, None),
            _ => break,
        }
    }
    let status = child.wait().expect("our own child");
    (!status.success()).then(|| fs::read_to_string(errors).unwrap_or_default())
}

/// Waits for the dead among our children: is anyone alive?
pub fn reap() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return false,
            Ok(WaitStatus::StillAlive) => return true,
            _ => (),
        }
    }
}
