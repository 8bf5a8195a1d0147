//! Writing the id maps of init's new user namespace (user_namespaces(7)).
use crate::plan::line::IdMap;
use crate::{Error, ErrorKind, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fmt::Write;
use std::process::{Command, Stdio};

/// Where newuidmap(1) and newgidmap(1) are looked for: absolute, so that no `PATH` decides what runs with a
/// setuid bit in our name.
const HELPERS: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

/// Writes both maps of `pid`; `deny_setgroups` first, which an unprivileged writer of a gid map owes the kernel.
pub(crate) fn write(pid: i32, uid: &[IdMap], gid: &[IdMap], deny_setgroups: bool) -> Result<()> {
    if deny_setgroups {
        write_file(pid, "setgroups", "deny")
            .map_err(|errno| Error::system("write the gid map", format!("write(/proc/{pid}/setgroups)"), errno))?;
    }
    for (file, helper, maps, origin) in
        [("uid_map", "newuidmap", uid, "/linux/uidMappings"), ("gid_map", "newgidmap", gid, "/linux/gidMappings")]
    {
        let mut text = String::new();
        for map in maps {
            let _ = writeln!(text, "{} {} {}", map.container_id, map.host_id, map.size);
        }
        match write_file(pid, file, &text) {
            Err(Errno::PERM) => run_helper(helper, pid, maps).map_err(|error| error.at(origin))?,
            written => written.map_err(|errno| {
                Error::system(
                    format!("write the {}", file.replace('_', " ")),
                    format!("write(/proc/{pid}/{file})"),
                    errno,
                )
                .at(origin)
            })?,
        }
    }
    Ok(())
}

/// Who on the host is `id` in the user namespace that init is in; `map` is `uid_map` or `gid_map`.
pub(super) fn host_id(pid: i32, map: &str, id: u32) -> Result<u32> {
    let text = crate::facts::read(format!("/proc/{pid}/{map}"))?;
    mapped(&text, id).ok_or_else(|| {
        Error::new(ErrorKind::InvalidConfig, format!("{id} is not mapped in the container's user namespace"))
    })
}

fn mapped(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (inside, outside, size) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        let offset = id.checked_sub(inside).filter(|offset| *offset < size)?;
        outside.checked_add(offset)
    })
}

/// One write: the kernel takes a map whole or not at all, and only once.
fn write_file(pid: i32, name: &str, text: &str) -> rustix::io::Result<()> {
    let path = format!("/proc/{pid}/{name}");
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes()).map(drop)
}

/// Where the helper is.
pub(crate) fn helper(name: &str) -> Option<String> {
    // may fail: who cannot look at it cannot run it.
    HELPERS.iter().map(|folder| format!("{folder}/{name}")).find(|path| std::fs::metadata(path).is_ok())
}

/// The setuid helper of the `uidmap` package, which knows /etc/subuid and /etc/subgid.
fn run_helper(name: &str, pid: i32, maps: &[IdMap]) -> Result<()> {
    let fail = |what: String| Error::new(ErrorKind::System, format!("{name}: {what}"));
    let missing = || fail("not found; it is in Debian's package uidmap".to_owned()).with_kind(ErrorKind::Unsupported);
    let path = helper(name).ok_or_else(missing)?;
    let numbers = maps.iter().flat_map(|map| [map.container_id, map.host_id, map.size]).map(|n| n.to_string());
    let output = Command::new(path)
        .arg(pid.to_string())
        .args(numbers)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fail(crate::describe_io(&error)))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(fail(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::mapped;

    #[test]
    fn an_id_has_another_number_outside() {
        let map = "         0     100000          5\n        10       2000          1\n";
        let table = [(0, Some(100_000)), (4, Some(100_004)), (5, None), (10, Some(2000)), (u32::MAX, None)];
        for (inside, outside) in table {
            assert_eq!(mapped(map, inside), outside, "{inside}");
        }
    }
}
