//! The hierarchies of cgroups that this host has mounted.
#![forbid(unsafe_code)]

use super::probe::{is, is_writable, read};
use crate::Result;
use crate::cgroup::memberships;
use crate::mountinfo;
use crate::plan::Hierarchy;
use oci_spec::runtime::Spec;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP: i64 = 0x0027_e0eb;
const CGROUP2: i64 = 0x6367_7270;

/// Where to look for hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// Where every distribution has them; if there is one, the others are there or nowhere.
    Usual,
    /// In mountinfo too, which grows with the host's mounts, and which everybody waits for who mounts something.
    All,
}

/// The hierarchies that are mounted, in the order of `/proc/self/cgroup`.
pub(super) fn hierarchies(own: &str, places: Places) -> Result<Vec<Hierarchy>> {
    let memberships: Vec<_> = memberships(own).collect();
    let mut mounts = memberships.iter().map(|(names, _)| usual_place(names)).collect::<Result<Vec<_>>>()?;
    let some_are_usual = mounts.iter().any(Option::is_some);
    if places == Places::All || !some_are_usual {
        let mut all = None;
        for (mount, (controllers, _)) in mounts.iter_mut().zip(&memberships) {
            // cgroup v2 is beside others or nowhere for systemd and runc too.
            if mount.is_none() && !(controllers.is_empty() && some_are_usual) {
                let all = match &all {
                    Some(all) => all,
                    None => all.insert(mountinfo::of(None)?),
                };
                let magic = if controllers.is_empty() { CGROUP2 } else { CGROUP };
                // A hierarchy that is not mounted, or is mounted over, is none that we can use.
                *mount = match mount_of(all, controllers) {
                    Some(path) if is(path, magic)? => Some(path.to_owned()),
                    _ => None,
                };
            }
        }
    }
    let found =
        mounts.into_iter().zip(memberships).filter_map(|(mount, (controllers, own))| Some((mount?, controllers, own)));
    let mut found =
        found.map(|(mount, controllers, own)| look_at(mount, controllers, own)).collect::<Result<Vec<_>>>()?;
    if found.iter().all(|hierarchy| hierarchy.unified) {
        // Beside our own group, which holds processes and so cannot be divided (`plan::cgroup`).
        for hierarchy in &mut found {
            let parent = Path::new(&hierarchy.own).parent().unwrap_or(Path::new("/"));
            let parent = hierarchy.mount.join(parent.strip_prefix("/").unwrap_or(parent));
            hierarchy.writable = is_writable(&parent)?;
        }
    }
    Ok(found)
}

/// Where distributions mount the hierarchy with these controllers ("" for cgroup v2), if it is there.
fn usual_place(controllers: &str) -> Result<Option<PathBuf>> {
    let (names, magic) = match controllers {
        "" => (["", "unified"], CGROUP2),
        names => ([names, names.trim_start_matches("name=")], CGROUP),
    };
    // What has no prefix has one name.
    let names = if names[0] == names[1] { &names[..1] } else { &names };
    for path in names.iter().map(|name| Path::new("/sys/fs/cgroup").join(name)) {
        if is(&path, magic)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn look_at(mount: PathBuf, controllers: &str, own: &str) -> Result<Hierarchy> {
    let unified = controllers.is_empty();
    let controllers = if unified {
        let available = read(mount.join("cgroup.controllers"))?;
        available.split_ascii_whitespace().map(str::to_owned).collect()
    } else {
        controllers.split(',').map(str::to_owned).collect()
    };
    let writable = is_writable(&mount.join(own.trim_start_matches('/')))?;
    Ok(Hierarchy { controllers, mount, own: own.to_owned(), unified, writable })
}

/// The controllers (their names on v1 and on v2) that a container like this one cannot do without.
pub(super) fn wanted(spec: &Spec) -> Vec<[&'static str; 2]> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let mut wanted = vec![["devices", ""], ["freezer", ""]];
    let Some(resources) = resources else { return wanted };
    let network = resources.network().as_ref();
    let cpu = resources.cpu().as_ref();
    let cpuset = cpu.is_some_and(|cpu| cpu.cpus().is_some() || cpu.mems().is_some());
    for (names, is_wanted) in [
        (["memory", "memory"], resources.memory().is_some()),
        (["cpu", "cpu"], cpu.is_some()),
        (["cpuset", "cpuset"], cpuset),
        (["pids", "pids"], resources.pids().is_some()),
        (["blkio", "io"], resources.block_io().is_some()),
        (["hugetlb", "hugetlb"], resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())),
        (["net_cls", ""], network.is_some_and(|network| network.class_id().is_some())),
        (["net_prio", ""], network.is_some_and(|network| network.priorities().is_some())),
        (["rdma", "rdma"], resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
    ] {
        if is_wanted {
            wanted.push(names);
        }
    }
    wanted
}

/// Whether one of them is in none of the hierarchies. What has no name on cgroup v2 is a part of it, or is not to be had.
pub(super) fn lacks(found: &[Hierarchy], wanted: &[[&str; 2]]) -> bool {
    let has = |[v1, v2]: &[&str; 2]| {
        found.iter().any(|hierarchy| match (hierarchy.unified, *v2) {
            (true, "") => matches!(*v1, "devices" | "freezer"),
            (unified, v2) => hierarchy.controllers.iter().any(|name| name == if unified { v2 } else { v1 }),
        })
    };
    !wanted.iter().all(has)
}

/// The mount point of the hierarchy with these controllers ("" for cgroup v2).
fn mount_of<'a>(mounts: &'a [mountinfo::Mount], controllers: &str) -> Option<&'a Path> {
    let matches = |mount: &&mountinfo::Mount| match controllers {
        "" => mount.fstype == "cgroup2",
        names => {
            let has = |name: &str| mount.options.split(',').any(|option| option == name);
            mount.fstype == "cgroup" && names.split(',').all(has)
        }
    };
    // CRIU mounts all there are for itself, and takes them away again: what lies there would be out of reach for good.
    let is_passing =
        |mount: &&mountinfo::Mount| mount.point.iter().any(|name| name.as_bytes().starts_with(b".criu.cgyard."));
    mounts.iter().filter(|mount| !is_passing(mount)).find(matches).map(|mount| &*mount.point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(controllers: &[&str], unified: bool) -> Hierarchy {
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        Hierarchy { controllers, mount: "/sys/fs/cgroup/x".into(), own: "/".to_owned(), unified, writable: true }
    }

    #[test]
    fn mountinfo_is_read_only_for_what_a_container_cannot_do_without() {
        let spec = |resources: &str| {
            serde_json::from_str::<Spec>(&format!(
                r#"{{"ociVersion": "1.3.0", "linux": {{"resources": {resources}}}}}"#
            ))
            .unwrap()
        };
        let v1 =
            [hierarchy(&["devices"], false), hierarchy(&["freezer"], false), hierarchy(&["cpu", "cpuacct"], false)];
        assert!(!lacks(&v1, &wanted(&spec("{}"))));
        assert!(!lacks(&v1, &wanted(&spec(r#"{"cpu": {"shares": 2}}"#))));
        assert!(lacks(&v1, &wanted(&spec(r#"{"network": {"classID": 1}}"#))));
        assert!(lacks(&v1, &wanted(&spec(r#"{"cpu": {"cpus": "0"}}"#))));
        // Its freezer and its device programs are no controllers.
        let v2 = [hierarchy(&["memory", "io"], true)];
        assert!(!lacks(&v2, &wanted(&spec(r#"{"memory": {"limit": 1}, "blockIO": {}}"#))));
        assert!(lacks(&v2, &wanted(&spec(r#"{"pids": {"limit": 1}}"#))));
        assert!(lacks(&v1[..1], &wanted(&Spec::default())));
    }

    #[test]
    fn a_hierarchy_is_found_in_mountinfo() {
        let mounts = mountinfo::parse(
            b"\
            35 31 0:32 / /my\\040cgroups/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
            40 31 0:37 / /my/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            41 31 0:38 / /my/unified rw,relatime shared:3 - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(mount_of(&mounts, "cpu,cpuacct"), Some("/my cgroups/cpu".as_ref()));
        assert_eq!(mount_of(&mounts, "name=systemd"), Some("/my/systemd".as_ref()));
        assert_eq!(mount_of(&mounts, ""), Some("/my/unified".as_ref()));
        assert_eq!(mount_of(&mounts, "memory"), None);
    }

    #[test]
    fn what_criu_mounts_for_itself_is_no_place_for_a_group() {
        let yard = b"50 31 0:40 / /images/.criu.cgyard.5aqDy3/hugetlb rw - cgroup none rw,hugetlb\n".to_vec();
        assert_eq!(mount_of(&mountinfo::parse(&yard), "hugetlb"), None);
        let both = [yard, b"51 31 0:40 / /hugetlb rw - cgroup none rw,hugetlb\n".to_vec()].concat();
        assert_eq!(mount_of(&mountinfo::parse(&both), "hugetlb"), Some("/hugetlb".as_ref()));
    }
}
