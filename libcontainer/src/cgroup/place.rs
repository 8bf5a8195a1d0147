//! Where a process is: what `/proc/PID/cgroup` says, and which of the container's groups that is.
//!
//! It says paths in a hierarchy, as the reader's cgroup namespace shows them. Groups are directories: which place is which can be
//! told without the mount point, by how a directory ends.
#![forbid(unsafe_code)]
use super::directory::Directory;
use crate::plan::cgroup::Group;
use rustix::fs::Access;
use rustix::io::Errno;
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

/// Where one more process of the container's can be: in its group; or, if the container has divided that and it takes none
/// therefore (kernel: `cgroup-v2.rst`, "No Internal Process Constraint"), in the group below it where init has gone. If it is no more,
/// because somebody has moved the container, wherever init is.
pub(crate) fn for_another(group: &Group, init: i32) -> PathBuf {
    // may fail: then it is the group of the record, and who cannot join that says why.
    let text = || std::fs::read_to_string(format!("/proc/{init}/cgroup")).ok();
    let divided = || {
        let controllers = Directory::open(&group.directory).and_then(|group| group.read("cgroup.subtree_control"));
        controllers.is_ok_and(|controllers| !controllers.trim().is_empty())
    };
    let place = match rustix::fs::access(&group.directory, Access::EXISTS) {
        Err(Errno::NOENT) => {
            text().and_then(|text| anywhere(&group.directory, in_hierarchy_of(group, &text)?, &is_in_hierarchy))
        }
        _ if group.unified && divided() => {
            text().and_then(|text| within(&group.directory, in_hierarchy_of(group, &text)?))
        }
        _ => None,
    };
    place.unwrap_or_else(|| group.directory.clone())
}

/// The directory of a place in the hierarchy that a group was in: below its mount, which is as far up as there is one.
fn anywhere(group: &Path, place: &str, is_in_hierarchy: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let mount = group
        .ancestors()
        .skip_while(|above| !is_in_hierarchy(above))
        .take_while(|above| is_in_hierarchy(above))
        .last()?;
    // What the reader's cgroup namespace does not hold begins with `/..`.
    let below = Path::new(place).strip_prefix("/").ok().filter(|below| !below.starts_with(".."))?;
    Some(mount.join(below)).filter(|directory| is_in_hierarchy(directory))
}

fn is_in_hierarchy(directory: &Path) -> bool {
    // may fail: then it is the group of the record, as above.
    Directory::open(directory).and_then(|open| open.version()).is_ok_and(|version| version.is_some())
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
    fn a_place_beside_a_group_that_is_gone_is_found_from_its_mount() {
        let there = |directory: &Path| {
            ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids/a", "/sys/fs/cgroup/pids/b"]
                .map(Path::new)
                .contains(&directory)
        };
        let anywhere = |group: &str, place: &str| {
            super::anywhere(Path::new(group), place, &there).map(|found| found.display().to_string())
        };
        assert_eq!(anywhere("/sys/fs/cgroup/pids/a/web", "/b").as_deref(), Some("/sys/fs/cgroup/pids/b"));
        assert_eq!(anywhere("/sys/fs/cgroup/pids/gone/web", "/").as_deref(), Some("/sys/fs/cgroup/pids/"));
        assert_eq!(anywhere("/sys/fs/cgroup/pids/a/web", "/../b"), None);
        assert_eq!(anywhere("/sys/fs/cgroup/pids/a/web", "/c"), None);
        assert_eq!(anywhere("/gone/web", "/b"), None);
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
