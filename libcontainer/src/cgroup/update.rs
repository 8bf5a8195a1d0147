//! Changing the limits of a running container.
#![forbid(unsafe_code)]
use super::directory::Directory;
use super::{failure, hint, holder, split};
use crate::plan::cgroup::{Group, Write, writes};
use crate::plan::line::Tolerate;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// A value that has been replaced.
struct Replaced {
    file: PathBuf,
    value: String,
}

/// Writes what `resources` ask for where it differs from what is there; either all of it, or nothing. `agreed` is who else has
/// to know, and to agree. Device rules stay as they are.
pub(crate) fn update(
    groups: &[Group],
    resources: &LinuxResources,
    agreed: impl FnOnce(&[Write]) -> Result<()>,
) -> Result<()> {
    check_usage(groups, resources)?;
    let mut replaced = Vec::new();
    let asked = writes(resources, groups)?;
    let result = write_all(asked.clone(), &mut replaced).and_then(|()| agreed(&asked));
    if result.is_err() {
        restore(replaced);
    }
    result
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
fn write_all(mut pending: Vec<Write>, replaced: &mut Vec<Replaced>) -> Result<()> {
    while !pending.is_empty() {
        let count = pending.len();
        let mut first = None;
        let mut failed = Vec::new();
        for write in pending {
            match replace(&write.file, &write.value, &write.tolerate) {
                Ok(old) => replaced.extend(old),
                Err(error) => {
                    first.get_or_insert(error);
                    failed.push(write);
                }
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
fn restore(mut replaced: Vec<Replaced>) {
    replaced.reverse();
    loop {
        let count = replaced.len();
        replaced.retain(|old| replace(&old.file, &old.value, &Tolerate::Nothing).is_err());
        if replaced.is_empty() || replaced.len() == count {
            return;
        }
    }
}

/// Writes `value` unless it is there already, and says how to undo that.
fn replace(file: &Path, value: &str, tolerate: &Tolerate) -> Result<Option<Replaced>> {
    let (parent, name) = split(file);
    let group = Directory::open(parent).map_err(|errno| failure(file, value, "openat", errno))?;
    // may fail: what cannot be read is write-only: nothing of it can be taken back.
    let old = group.read(name).ok().map(|text| old_value(name, &text, value));
    if old.as_deref() == Some(value) {
        return Ok(None);
    }
    match (group.write(name, value), tolerate) {
        (Ok(()), _) => Ok(old.map(|value| Replaced { file: file.to_owned(), value })),
        (Err((_, Errno::NOENT)), Tolerate::Missing) => Ok(None),
        (Err((_, Errno::NOENT)), Tolerate::Otherwise { file, value }) => replace(file, value, &Tolerate::Nothing),
        (Err((call, errno)), _) => Err(failure(file, value, call, errno).detail(hint(&group, name, value, errno))),
    }
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
mod tests {
    use super::old_value;

    #[test]
    fn of_a_line_per_device_only_the_one_counts() {
        let text = "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n";
        assert_eq!(old_value("io.max", text, "8:16 rbps=5"), "8:16 rbps=2 wbps=max riops=max wiops=max");
        assert_eq!(old_value("io.max", text, "8:1 rbps=5"), "8:1 rbps=max wbps=max riops=max wiops=max");
        assert_eq!(old_value("blkio.throttle.read_bps_device", "", "8:0 1"), "8:0 0");
        assert_eq!(old_value("io.weight", "default 100\n8:0 50\n", "200"), "default 100");
        assert_eq!(old_value("net_prio.ifpriomap", "lo 5\neth0 0\n", "lo 6"), "lo 5");
    }

    #[test]
    fn of_a_single_value_all_of_it() {
        assert_eq!(old_value("cpu.max", "max 100000\n", "5 10"), "max 100000");
        assert_eq!(old_value("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", "1"), "0");
    }
}
