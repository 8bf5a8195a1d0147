//! Making the container's groups.
#![forbid(unsafe_code)]
use super::directory::{Directory, Version, gone_is_none};
use crate::plan::cgroup::Group;
use crate::plan::line::Tolerate;
use crate::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// What [`create`] has made, and nothing that was there before.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// Parents before their children.
    made: Vec<PathBuf>,
}

impl Created {
    /// Removes them, as far as they are still empty.
    pub(crate) fn undo(self) {
        for directory in self.made.iter().rev() {
            // may fail: somebody is in it by now: then it is his.
            _ = rustix::fs::rmdir(directory);
        }
    }
}

/// An error if the container's freezer, or what is above it, is frozen: init would never come to say a word.
pub(crate) fn refuse_frozen(groups: &[Group]) -> Result<()> {
    let Some((group, version)) = super::freezer::freezer(groups) else { return Ok(()) };
    for directory in group.directory.ancestors() {
        match Directory::open(directory) {
            Ok(open) => return refuse_frozen_group(&open, version, directory),
            Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(Error::system("look at the cgroups", format!("openat({})", directory.display()), errno));
            }
        }
    }
    Ok(())
}

fn refuse_frozen_group(group: &Directory, version: Version, directory: &Path) -> Result<()> {
    match super::freezer::state(group, version) {
        Ok(super::FreezerState::Thawed) => Ok(()),
        Ok(_) => Err(frozen(directory)),
        Err(errno) => Err(Error::system(format!("look at the cgroup {}", directory.display()), "read", errno)),
    }
}

fn frozen(directory: &Path) -> Error {
    let message = "container's cgroup unexpectedly frozen";
    Error::new(ErrorKind::Busy, message).detail(directory.display().to_string())
}

/// An error if somebody lives in the groups already. They are looked at again when they are made.
pub(crate) fn refuse_busy(groups: &[Group]) -> Result<()> {
    // A container is in all of its groups: one tells.
    let Some(Group { directory, .. }) = groups.first() else { return Ok(()) };
    match gone_is_none(Directory::open(directory)) {
        Ok(None) | Err(Errno::NOTDIR) => Ok(()),
        Ok(Some(group)) => refuse_processes(&group, directory),
        Err(errno) => Err(Error::system(format!("look at the cgroup {}", directory.display()), "openat", errno)),
    }
}

fn refuse_processes(group: &Directory, directory: &Path) -> Result<()> {
    let failed = |(call, errno)| Error::system(format!("look at the cgroup {}", directory.display()), call, errno);
    match group.pids().map_err(failed)?.len() {
        0 => Ok(()),
        found => {
            let message = format!("container's cgroup is not empty: {found} process(es) found");
            Err(Error::new(ErrorKind::Busy, message).detail(directory.display().to_string()))
        }
    }
}

/// Makes each group with its parents. An existing one is taken if it is empty. After a failure there is nothing
/// that was not there before.
pub(crate) fn create(groups: &[Group]) -> Result<Created> {
    let mut created = Created::default();
    for group in groups {
        if let Err(error) = make_usual(group, &mut created.made) {
            created.undo();
            return Err(error);
        }
    }
    Ok(created)
}

/// Usually a cgroup v1 group is the only thing that is missing: then it is made, and what its controller needs is done.
/// v2 wants controllers enabled above.
fn make_usual(group: &Group, made: &mut Vec<PathBuf>) -> Result<()> {
    let directory = &group.directory;
    // may fail: `make` finds out why, and says so.
    if group.unified || rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755)).is_err() {
        return make(directory, made);
    }
    made.push(directory.clone());
    let settled = !group.has("cpuset") || inherit_cpuset_at_once(directory);
    // Below a frozen group it is frozen from the beginning.
    let settled =
        settled && (!group.has("freezer") || read(directory, "freezer.state").is_some_and(|state| state == "THAWED"));
    if settled { Ok(()) } else { make(directory, made) }
}

/// The parent's processors and memory nodes, if it has any itself.
fn inherit_cpuset_at_once(directory: &Path) -> bool {
    ["cpuset.cpus", "cpuset.mems"].into_iter().all(|file| {
        let inherited = directory.parent().and_then(|parent| read(parent, file)).filter(|value| !value.is_empty());
        // may fail: `make` does it step by step then.
        inherited.is_some_and(|value| super::write(&directory.join(file), &value, &Tolerate::Nothing).is_ok())
    })
}

fn read(directory: &Path, file: &str) -> Option<String> {
    // may fail: as above.
    std::fs::read_to_string(directory.join(file)).ok().map(|text| text.trim_end().to_owned())
}

fn make(directory: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |call: &str, errno| Error::system(format!("make the cgroup {}", directory.display()), call, errno);
    // Usually only the last component is missing.
    let mut existing = directory;
    let mut group = loop {
        match Directory::open(existing) {
            Ok(group) => break group,
            Err(Errno::NOENT) => existing = existing.parent().unwrap_or(Path::new("/")),
            Err(errno) => return Err(failed(&format!("openat({})", existing.display()), errno)),
        }
    };
    // An ordinary directory made here would hold no limit at all.
    let version = group.version().map_err(|errno| failed("fstatfs", errno))?;
    let Some(version) = version else {
        let message =
            format!("make the cgroup {}: {} is not in a cgroup filesystem", directory.display(), existing.display());
        return Err(Error::new(ErrorKind::System, message));
    };
    let mut is_new = false;
    let missing = directory.strip_prefix(existing).unwrap_or(Path::new(""));
    if missing.as_os_str().is_empty() {
        let parent = group.child("..").map_err(|errno| failed("openat(..)", errno))?;
        prepare(&parent, version);
    } else {
        prepare(&group, version);
    }
    let mut path = existing.to_owned();
    for name in missing {
        if is_new {
            prepare(&group, version);
        }
        path.push(name);
        is_new = match rustix::fs::mkdirat(&group, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                made.push(path.clone());
                true
            }
            // Somebody was faster.
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(failed(&format!("mkdirat({})", path.display()), errno)),
        };
        group = group.child(name).map_err(|errno| failed(&format!("openat({})", path.display()), errno))?;
        // may fail: what it is shows when init joins it.
        if version == Version::V2 && group.read("cgroup.type").is_ok_and(|kind| kind.trim() == "domain invalid") {
            // Below a threaded group there are only threaded ones. If a controller is wanted that cannot be
            // had there, writing its file says so.
            // may fail: as above.
            _ = group.write("cgroup.type", "threaded");
        }
    }
    if version == Version::V1 {
        inherit_cpuset(&group);
    }
    if !is_new {
        refuse_processes(&group, directory)?;
    }
    refuse_frozen_group(&group, version, directory)
}

/// Prepares a group, and those above it, for a child.
fn prepare(group: &Directory, version: Version) {
    match version {
        Version::V1 => inherit_cpuset(group),
        Version::V2 => enable_controllers(group),
    }
}

/// cgroup v1: nothing can be put into a cpuset without processors and memory nodes, and a new one has none.
fn inherit_cpuset(group: &Directory) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        // No file: another hierarchy. An error shows when init joins the group.
        // may fail: as was just said.
        if !group.read(file).is_ok_and(|value| value.trim().is_empty()) {
            continue;
        }
        // may fail: as above.
        let parent = group.child("..").ok().filter(|parent| parent.version() == Ok(Some(Version::V1)));
        if let Some(parent) = parent {
            inherit_cpuset(&parent);
            // may fail: as above.
            if let Ok(value) = parent.read(file) {
                // may fail: as above.
                _ = group.write(file, value.trim());
            }
        }
    }
}

/// cgroup v2: whatever a group has, its children shall have, from the top down. What cannot be enabled may not be
/// needed; if it is, writing its file fails and says why.
fn enable_controllers(group: &Directory) {
    // may fail: see above.
    let parent = group.child("..").ok().filter(|parent| parent.version() == Ok(Some(Version::V2)));
    if let Some(parent) = parent {
        enable_controllers(&parent);
    }
    // may fail: see above.
    let (Ok(available), Ok(enabled)) = (group.read("cgroup.controllers"), group.read("cgroup.subtree_control")) else {
        return;
    };
    let is_missing = |name: &&str| !enabled.split_whitespace().any(|each| each == *name);
    let missing: Vec<String> = available.split_whitespace().filter(is_missing).map(|name| format!("+{name}")).collect();
    // may fail: see above: one by one then.
    if !missing.is_empty() && group.write("cgroup.subtree_control", &missing.join(" ")).is_err() {
        for controller in missing {
            // may fail: see above.
            _ = group.write("cgroup.subtree_control", &controller);
        }
    }
}

/// The same for a group that is there.
pub(super) fn enable_controllers_above(directory: &Path) {
    if let Some(Ok(parent)) = directory.parent().map(Directory::open) {
        enable_controllers(&parent);
    }
}

/// Gives a v2 group to a user: the directory and the files that the kernel names for this purpose.
pub(crate) fn chown(directory: &Path, uid: u32) -> Result<()> {
    let failed = |what: &str, errno| {
        Error::system(
            format!("give the cgroup {} to uid {uid}", directory.display()),
            format!("fchownat({what})"),
            errno,
        )
    };
    let group = Directory::open(directory).map_err(|errno| failed(".", errno))?;
    let owner = Some(rustix::fs::Uid::from_raw(uid));
    rustix::fs::chownat(&group, "", owner, None, AtFlags::EMPTY_PATH).map_err(|errno| failed(".", errno))?;
    // KERNEL(4.15): the list. The fallback is the runtime-spec's.
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files = listed.unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
    for file in files.lines() {
        match rustix::fs::chownat(&group, file, owner, None, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(file, errno)),
        }
    }
    Ok(())
}
