//! Where a process is: what `/proc/PID/cgroup` says, and which of the container's groups that is.
//!
//! It says paths in a hierarchy, as the reader's cgroup namespace shows them. Groups are directories: which place is which can be
//! told without the mount point, by how a directory ends.
#![forbid(unsafe_code)]
use super::directory::Directory;
use crate::plan::cgroup::Group;
use std::path::{Path, PathBuf};

/// `(controllers, path)` of each line of `/proc/PID/cgroup`: `4:memory:/user.slice`, `0::/init.scope`.
pub(crate) fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// The path in `/proc/PID/cgroup` of the hierarchy that the group is in.
pub(super) fn in_hierarchy_of<'a>(group: &Group, text: &'a str) -> Option<&'a str> {
    let in_hierarchy = |names: &str| match group.unified {
        true => names.is_empty(),
        false => names.split(',').any(|name| group.has(name)),
    };
    memberships(text).find(|(names, _)| in_hierarchy(names)).map(|(_, path)| path)
}

/// Whether this is the directory of the place.
pub(super) fn is_at(directory: &Path, place: &str) -> bool {
    let place = place.trim_start_matches('/');
    !place.is_empty() && directory.ends_with(place)
}

/// The directory of a place that is the group's, or below it.
fn within(group: &Path, place: &str) -> Option<PathBuf> {
    let place = Path::new(place);
    let above = place.ancestors().find(|above| above.to_str().is_some_and(|above| is_at(group, above)))?;
    place.strip_prefix(above).ok().map(|below| group.join(below))
}

/// Where one more process of the container's can be: its cgroup v2 group; or, if the container has divided that and it takes none
/// therefore (kernel: `cgroup-v2.rst`, "No Internal Process Constraint"), the group below it where init has gone.
pub(crate) fn for_another(group: &Group, init: i32) -> PathBuf {
    let divided = || {
        let controllers = Directory::open(&group.directory).and_then(|group| group.read("cgroup.subtree_control"));
        controllers.is_ok_and(|controllers| !controllers.trim().is_empty())
    };
    let of_init = || {
        let text = std::fs::read_to_string(format!("/proc/{init}/cgroup")).ok()?;
        within(&group.directory, in_hierarchy_of(group, &text)?)
    };
    let place = if group.unified && divided() { of_init() } else { None };
    place.unwrap_or_else(|| group.directory.clone())
}

/// What holds for every `/proc/PID/cgroup`, for tests and the fuzzer: nothing but what it says, and no place above the group's.
#[cfg(any(test, fuzzing))]
pub(crate) fn laws(text: &str) {
    let lines = text.lines().count();
    assert!(memberships(text).count() <= lines);
    for (controllers, place) in memberships(text) {
        assert!(text.lines().any(|line| line.ends_with(&format!(":{controllers}:{place}"))), "{text:?}");
        assert!(!controllers.contains(':'), "{text:?}");
        let unified = controllers.is_empty();
        let group = Group {
            controllers: controllers.split(',').map(str::to_owned).collect(),
            directory: Path::new("/sys/fs/cgroup/a/web").into(),
            unified,
        };
        assert!(in_hierarchy_of(&group, text).is_some(), "{text:?}");
        assert!(!is_at(&group.directory, place) || group.directory.ends_with(place.trim_start_matches('/')));
        // A directory's name is neither `.` nor `..`.
        if let Some(within) = within(&group.directory, place).filter(|_| !place.split('/').any(|name| name == "..")) {
            assert!(within.starts_with(&group.directory), "{place:?}: {within:?}");
        }
    }
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
        assert_eq!(in_hierarchy_of(&group(&["cpu", "cpuacct"], false), text), Some("/system.slice/a.scope"));
        assert_eq!(in_hierarchy_of(&group(&["name=systemd"], false), text), Some("/system.slice/a.scope"));
        assert_eq!(in_hierarchy_of(&group(&["memory"], true), text), Some("/b"));
        assert_eq!(in_hierarchy_of(&group(&["memory"], false), text), None);
        let directory = Path::new("/sys/fs/cgroup/system.slice/a.scope");
        assert!(is_at(directory, "/system.slice/a.scope"));
        assert!(!is_at(directory, "/system.slice/other-a.scope") && !is_at(directory, "/"));
    }

    #[test]
    fn a_place_below_a_group_is_found_without_the_mount_point() {
        let group = Path::new("/sys/fs/cgroup/a/web");
        let within = |place: &str| super::within(group, place).map(|found| found.display().to_string());
        assert_eq!(within("/a/web/init").as_deref(), Some("/sys/fs/cgroup/a/web/init"));
        assert_eq!(within("/a/web/web/x").as_deref(), Some("/sys/fs/cgroup/a/web/web/x"));
        assert_eq!(within("/a/web").map(PathBuf::from).as_deref(), Some(group));
        assert_eq!(within("/a/other"), None);
        assert_eq!(within("/"), None);
    }
}
