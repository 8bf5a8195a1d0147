//! Changing the limits of a running container.
#![forbid(unsafe_code)]
use super::directory::Directory;
use super::{failure, hint, holder, split};
use crate::plan::cgroup::{Group, WEIGHTS, Write, writes};
use crate::plan::line::Tolerate;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;
use std::path::Path;

/// Where limits are.
trait Files {
    /// `None` if there is no such file.
    fn read(&self, file: &Path) -> Option<String>;
    fn write(&self, file: &Path, value: &str) -> Result<()>;
}

/// The kernel's.
struct Kernel;

impl Files for Kernel {
    fn read(&self, file: &Path) -> Option<String> {
        let (parent, name) = split(file);
        // may fail: what is not known is written, and that says why it cannot be.
        Directory::open(parent).and_then(|group| group.read(name)).ok()
    }

    fn write(&self, file: &Path, value: &str) -> Result<()> {
        let (parent, name) = split(file);
        let group = Directory::open(parent).map_err(|errno| failure(file, value, "openat", errno, ""))?;
        let failed = |(call, errno)| failure(file, value, call, errno, &hint(&group, name, value, errno));
        group.write(name, value).map_err(failed)
    }
}

/// Writes what `resources` ask for where it differs from what is there; either all of it, or nothing. `tell` is for who else has
/// to know, and to agree; `keep` writes it down in the end. Device rules stay as they are.
pub(crate) fn update(
    groups: &[Group],
    resources: &LinuxResources,
    tell: impl FnMut(&[Write]) -> Result<()>,
    keep: impl FnOnce() -> Result<()>,
) -> Result<()> {
    check_usage(groups, resources)?;
    change(&Kernel, writes(resources, groups)?, tell, keep)
}

/// Whoever is told goes first: systemd writes to every file of a controller when it hears of one limit, some of it more coarsely than
/// asked for, and what it has not heard of as it is by default. So the last word is ours.
fn change(
    files: &impl Files,
    mut asked: Vec<Write>,
    mut tell: impl FnMut(&[Write]) -> Result<()>,
    keep: impl FnOnce() -> Result<()>,
) -> Result<()> {
    asked.iter_mut().for_each(|write| complete(files, write));
    let before = before(files, &asked);
    if let Err(error) = tell(&asked) {
        restore(files, before);
        return Err(error);
    }
    write_all(files, asked).and_then(|()| keep()).inspect_err(|_| {
        if let Err(error) = tell(&before) {
            log::warn!("take back the update: {error}");
        }
        restore(files, before);
    })
}

/// A quota without a period keeps the one that there is, which systemd does not know of.
fn complete(files: &impl Files, write: &mut Write) {
    if !write.is("cpu.max") || write.value.trim().contains(' ') {
        return;
    }
    if let Some(period) = files.read(&write.file).as_deref().and_then(|text| text.split_whitespace().nth(1)) {
        write.value = format!("{} {period}", write.value.trim());
    }
}

/// The writes that lead back to what is there now.
fn before(files: &impl Files, asked: &[Write]) -> Vec<Write> {
    let old = |file: &Path, value: &str| {
        let (_, name) = split(file);
        let value = old_value(name, &files.read(file)?, value);
        Some(Write { origin: String::new(), file: file.to_owned(), value, tolerate: Tolerate::Nothing })
    };
    let mut before = Vec::new();
    for write in asked {
        before.extend(match (old(&write.file, &write.value), &write.tolerate) {
            (None, Tolerate::Otherwise { file, value }) => old(file, value),
            (old, _) => old,
        });
        // A group that becomes idle forgets its weight.
        if write.is("cpu.idle") {
            before.extend(WEIGHTS[..2].iter().filter_map(|name| old(&write.file.with_file_name(name), "")));
        }
    }
    before
}

/// `checkBeforeUpdate`: cgroup v2 would kill to get below the new limit, v1 refuses by itself.
fn check_usage(groups: &[Group], resources: &LinuxResources) -> Result<()> {
    let Some(memory) = resources.memory().as_ref().filter(|memory| memory.check_before_update() == Some(true)) else {
        return Ok(());
    };
    let Some(group) = holder(groups, "memory", "memory").filter(|group| group.unified) else { return Ok(()) };
    let usage = Directory::open(&group.directory).and_then(|group| group.read("memory.current"));
    let usage = usage.map_err(|errno| Error::system("look at the memory in use", "read(memory.current)", errno))?;
    let usage = usage.trim().parse::<i64>().unwrap_or(i64::MAX);
    for (what, limit) in [("memory+swap", memory.swap()), ("memory", memory.limit())] {
        if let Some(limit) = limit.filter(|limit| *limit > 0 && *limit <= usage) {
            let message = format!("rejecting {what} limit {limit} <= usage {usage}");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
    }
    Ok(())
}

/// Some values are refused because of another that is about to change too: memory above memory+swap, a quota
/// below the burst, shares of an idle group. So what fails is tried again after the rest, as long as that helps.
fn write_all(files: &impl Files, mut pending: Vec<Write>) -> Result<()> {
    while !pending.is_empty() {
        let count = pending.len();
        let mut first = None;
        let mut failed = Vec::new();
        for write in pending {
            if let Err(error) = replace(files, &write) {
                first.get_or_insert(error);
                failed.push(write);
            }
        }
        match first {
            Some(error) if failed.len() == count => return Err(error),
            _ => pending = failed,
        }
    }
    Ok(())
}

/// Back to what was, the last change first; again in as many rounds as it takes.
fn restore(files: &impl Files, mut before: Vec<Write>) {
    before.reverse();
    loop {
        let count = before.len();
        before.retain(|write| replace(files, write).is_err());
        if before.is_empty() || before.len() == count {
            return;
        }
    }
}

/// Writes a value unless it is there already.
fn replace(files: &impl Files, write: &Write) -> Result<()> {
    let put = |file: &Path, value: &str| {
        let (_, name) = split(file);
        match files.read(file).is_some_and(|text| old_value(name, &text, value) == value) {
            true => Ok(()),
            false => files.write(file, value),
        }
    };
    match (put(&write.file, &write.value), &write.tolerate) {
        (Err(error), Tolerate::Missing) if is_missing(&error) => Ok(()),
        (Err(error), Tolerate::Otherwise { file, value }) if is_missing(&error) => put(file, value),
        (done, _) => done,
    }
}

fn is_missing(error: &Error) -> bool {
    error.errno() == Some(Errno::NOENT.raw_os_error())
}

/// What has to be written to get back to `text`, the present content of a file to which `value` is to be written.
/// Of a file with a line per device only the one for that device counts.
fn old_value(name: &str, text: &str, value: &str) -> String {
    // The device's line as it is when there is none.
    let unset = match name {
        "io.max" => Some("rbps=max wbps=max riops=max wiops=max"),
        "rdma.max" => Some("hca_handle=max hca_object=max"),
        "io.weight" | "io.bfq.weight" | "blkio.bfq.weight_device" => Some("default"),
        "net_prio.ifpriomap" => Some("0"),
        _ if name.starts_with("blkio.") => Some("0"),
        _ => None,
    };
    if let (Some((device, _)), Some(unset)) = (value.split_once(' '), unset) {
        let line = text.lines().find(|line| line.strip_prefix(device).is_some_and(|rest| rest.starts_with(' ')));
        return line.map_or_else(|| format!("{device} {unset}"), str::to_owned);
    }
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("oom_kill_disable ").unwrap_or(first).to_owned()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
