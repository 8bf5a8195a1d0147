//! Groups that systemd makes.
#![forbid(unsafe_code)]
use crate::plan::cgroup::Group;
use crate::{Error, ErrorKind, Result};
use std::path::Path;

/// Puts `pid`, which systemd has moved into a scope, into those of its groups that systemd has not made. The group that it
/// tracks the scope by has to be where the plan says: everything else that is done to the container goes by that.
pub(crate) fn settle_in_scope(groups: &[Group], controllers: &[String], pid: i32) -> Result<()> {
    let file = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Error::io("look where systemd has put init", format!("read({file})"), &error))?;
    for group in groups {
        let place = place(&text, group);
        if place.is_some_and(|place| is_at(&group.directory, place)) {
            if group.unified && !controllers.is_empty() {
                super::create::enable_controllers_above(&group.directory);
            }
            continue;
        }
        if group.unified && groups.len() == 1 || group.has("name=systemd") {
            let place = place.unwrap_or("no group at all");
            let message = format!("systemd has put init into {place}, not into {}", group.directory.display());
            return Err(Error::new(ErrorKind::System, message));
        }
        super::create(std::slice::from_ref(group))?;
        super::write(&group.directory.join("cgroup.procs"), &pid.to_string(), &crate::plan::line::Tolerate::Nothing)?;
    }
    Ok(())
}

/// The path in `/proc/PID/cgroup` of the hierarchy that the group is in.
fn place<'a>(text: &'a str, group: &Group) -> Option<&'a str> {
    let in_hierarchy = |names: &str| match group.unified {
        true => names.is_empty(),
        false => names.split(',').any(|name| group.has(name)),
    };
    memberships(text).find(|(names, _)| in_hierarchy(names)).map(|(_, path)| path)
}

/// `(controllers, path)` of each line of `/proc/PID/cgroup`: `4:memory:/user.slice`, `0::/init.scope`.
pub(crate) fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// Whether a directory is a group's, as far as can be told without the mount point of the hierarchy.
fn is_at(directory: &Path, place: &str) -> bool {
    let place = place.trim_start_matches('/');
    !place.is_empty() && directory.ends_with(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_in_proc_by_its_hierarchy() {
        let text = "5:devices:/\n4:cpu,cpuacct:/system.slice/a.scope\n1:name=systemd:/system.slice/a.scope\n0::/b\n";
        let group = |controllers: &[&str], unified| Group {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            directory: "/sys/fs/cgroup/system.slice/a.scope".into(),
            unified,
        };
        assert_eq!(place(text, &group(&["cpu", "cpuacct"], false)), Some("/system.slice/a.scope"));
        assert_eq!(place(text, &group(&["name=systemd"], false)), Some("/system.slice/a.scope"));
        assert_eq!(place(text, &group(&["memory"], true)), Some("/b"));
        assert_eq!(place(text, &group(&["memory"], false)), None);
        let directory = Path::new("/sys/fs/cgroup/system.slice/a.scope");
        assert!(is_at(directory, "/system.slice/a.scope"));
        assert!(!is_at(directory, "/system.slice/other-a.scope") && !is_at(directory, "/"));
    }
}
