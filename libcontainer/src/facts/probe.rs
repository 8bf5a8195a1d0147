//! Finding out what this host can do: a few system calls, none of which changes anything.
#![forbid(unsafe_code)]

use super::{Hierarchy, HostFacts, Systemd};
use crate::cgroup::memberships;
use crate::container::CgroupManager;
use crate::mountinfo;
use crate::plan::asked_namespace;
use crate::{Error, Result};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{CWD, Mode, OFlags};
use std::path::{Path, PathBuf};

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP: i64 = 0x0027_e0eb;
const CGROUP2: i64 = 0x6367_7270;
/// `RDTGROUP_SUPER_MAGIC`
const RESCTRL: i64 = 0x0765_5821;

impl HostFacts {
    /// The facts of this process on this host.
    pub fn probe() -> Result<HostFacts> {
        Ok(HostFacts {
            hierarchies: hierarchies(&read("/proc/self/cgroup")?)?,
            resctrl: Some(PathBuf::from("/sys/fs/resctrl")).filter(|path| is(path, RESCTRL)),
            ..HostFacts::probe_caller()?
        })
    }

    /// Who this process is and what it may do: nothing of the host's groups.
    pub(crate) fn probe_caller() -> Result<HostFacts> {
        use rustix::thread::CapabilitySet;
        let in_user_namespace = in_user_namespace()?;
        let capabilities = rustix::thread::capabilities(None)
            .map_err(|errno| Error::system("find out our capabilities", "capget", errno))?;
        Ok(HostFacts {
            euid: rustix::process::geteuid().as_raw(),
            egid: rustix::process::getegid().as_raw(),
            privileged: capabilities.effective.contains(CapabilitySet::SYS_ADMIN),
            missing_capabilities: !capabilities.permitted.bits() & crate::plan::ALL_CAPABILITIES,
            in_user_namespace,
            // Never in the first one.
            setgroups_denied: in_user_namespace && read("/proc/self/setgroups")?.trim_end() == "deny",
            ..HostFacts::default()
        })
    }

    /// The same as `probe`, with what only this way of making cgroups has to know.
    pub fn probe_for(manager: CgroupManager) -> Result<HostFacts> {
        let facts = HostFacts::probe()?;
        let systemd = if manager == CgroupManager::Systemd { facts.find_systemd() } else { None };
        Ok(HostFacts { systemd, ..facts })
    }

    /// With what matters only to who joins a pid namespace.
    pub fn probe_procfs(self) -> HostFacts {
        HostFacts { procfs_of_another: takes_pidns(), ..self }
    }

    /// The same if a container like this one does.
    pub(crate) fn probe_procfs_for(self, spec: &Spec) -> HostFacts {
        let joins = asked_namespace(spec, LinuxNamespaceType::Pid).is_some_and(|path| path.is_some());
        if joins { self.probe_procfs() } else { self }
    }

    /// The system's for root; for everybody else their own.
    fn find_systemd(&self) -> Option<Systemd> {
        // Root of a user namespace is a user of the host's, or else root of a whole system with a systemd in it.
        let user = self.euid != 0 || self.in_user_namespace && !is_own(self.euid, "/run/systemd/private");
        if !crate::systemd::Manager::of(user).is_there() {
            return None;
        }
        let unified = self.hierarchies.iter().find(|hierarchy| hierarchy.unified);
        let tracked = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|name| name == "name=systemd");
        let place = self.hierarchies.iter().find(tracked).or(unified)?;
        let root = match user {
            true => user_root(&place.own).unwrap_or_else(|| {
                let uid = self.euid;
                format!("/user.slice/user-{uid}.slice/user@{uid}.service")
            }),
            false => {
                let own = read("/proc/1/cgroup").ok()?;
                let kept =
                    |(names, _): &(&str, &str)| if place.unified { names.is_empty() } else { *names == "name=systemd" };
                let (_, path) = memberships(&own).find(kept)?;
                path.strip_suffix("/init.scope").unwrap_or(path).to_owned()
            }
        };
        let delegated = unified.filter(|_| user).and_then(|hierarchy| {
            let file = hierarchy.mount.join(root.trim_start_matches('/')).join("cgroup.controllers");
            let controllers = read(file).ok()?;
            Some(controllers.split_ascii_whitespace().map(str::to_owned).collect())
        });
        Some(Systemd { user, root, delegated })
    }
}

/// KERNEL(6.18): the option `pidns` of procfs.
fn takes_pidns() -> bool {
    use rustix::mount::{FsOpenFlags, fsconfig_set_fd, fsopen};
    let own = rustix::fs::openat(CWD, "/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC);
    own.and_then(|own| fsconfig_set_fd(&context?, "pidns", &own)).is_ok()
}

/// Somebody in a user namespace sees what belongs to the host as nobody's.
fn is_own(euid: u32, path: &str) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| stat.st_uid == euid)
}

/// `/user.slice/user-1000.slice/user@1000.service` of whatever is below it.
fn user_root(own: &str) -> Option<String> {
    let mut root = String::new();
    for component in own.split('/').filter(|component| !component.is_empty()) {
        root.push('/');
        root.push_str(component);
        if component.starts_with("user@") && component.ends_with(".service") {
            return Some(root);
        }
    }
    None
}

/// The kernel's small files, in one read each.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let fail = |errno| Error::system(format!("read {}", path.display()), "read", errno);
    let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    let mut text = Vec::with_capacity(4096);
    while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)).map_err(fail)? > 0 {
        text.reserve(4096);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether this process's user namespace is another than the first.
pub(crate) fn in_user_namespace() -> Result<bool> {
    Ok(!is_identity(&read("/proc/self/uid_map")?))
}

/// One line that maps all 2³²−1 ids onto themselves.
fn is_identity(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The hierarchies that are mounted, in the order of `/proc/self/cgroup`.
fn hierarchies(own: &str) -> Result<Vec<Hierarchy>> {
    let mut found = Vec::new();
    let mut mounts: Option<Vec<mountinfo::Mount>> = None;
    for (controllers, own) in memberships(own) {
        let unified = controllers.is_empty();
        let magic = if unified { CGROUP2 } else { CGROUP };
        // Where every distribution has them; mountinfo grows with the host's mounts, so it is the second choice.
        let names: &[&str] =
            if unified { &["", "unified"] } else { &[controllers, controllers.trim_start_matches("name=")] };
        let usual = names.iter().map(|name| Path::new("/sys/fs/cgroup").join(name)).find(|path| is(path, magic));
        let mount = match usual {
            Some(path) => path,
            // Beside others it is there or nowhere (for systemd and runc too).
            None if unified && !found.is_empty() => continue,
            None => {
                let mounts = match &mounts {
                    Some(mounts) => mounts,
                    None => mounts.insert(mountinfo::of(None)?),
                };
                match mount_of(mounts, controllers).filter(|path| is(path, magic)) {
                    Some(path) => path.to_owned(),
                    // A hierarchy that is not mounted, or is mounted over, is none that we can use.
                    None => continue,
                }
            }
        };
        let controllers = if unified {
            let available = read(mount.join("cgroup.controllers")).unwrap_or_default();
            available.split_ascii_whitespace().map(str::to_owned).collect()
        } else {
            controllers.split(',').map(str::to_owned).collect()
        };
        let group = mount.join(own.trim_start_matches('/'));
        let writable = rustix::fs::access(&group, rustix::fs::Access::WRITE_OK).is_ok();
        found.push(Hierarchy { controllers, mount, own: own.to_owned(), unified, writable });
    }
    if found.iter().all(|hierarchy| hierarchy.unified) {
        // Beside our own group, which holds processes and so cannot be divided (`plan::cgroup`).
        for hierarchy in &mut found {
            let parent = Path::new(&hierarchy.own).parent().unwrap_or(Path::new("/"));
            let parent = hierarchy.mount.join(parent.strip_prefix("/").unwrap_or(parent));
            hierarchy.writable = rustix::fs::access(&parent, rustix::fs::Access::WRITE_OK).is_ok();
        }
    }
    Ok(found)
}

fn is(path: &Path, magic: i64) -> bool {
    rustix::fs::statfs(path).is_ok_and(|filesystem| i128::from(filesystem.f_type) == i128::from(magic))
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
    mounts.iter().find(matches).map(|mount| &*mount.point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_be_probed() {
        let facts = HostFacts::probe().unwrap();
        assert_eq!(facts.euid, rustix::process::geteuid().as_raw());
        for hierarchy in &facts.hierarchies {
            assert!(hierarchy.mount.is_absolute() && hierarchy.own.starts_with('/'), "{hierarchy:?}");
        }
    }

    #[test]
    fn of_the_caller_as_much_is_known_without_the_groups() {
        let facts = HostFacts::probe().unwrap();
        let caller = HostFacts { hierarchies: Vec::new(), resctrl: None, ..facts };
        assert_eq!(HostFacts::probe_caller().unwrap(), caller);
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
    fn the_group_of_a_users_systemd_is_found_from_below() {
        let root = "/user.slice/user-1000.slice/user@1000.service";
        assert_eq!(user_root(&format!("{root}/app.slice/a.scope")).as_deref(), Some(root));
        assert_eq!(user_root("/user.slice/user-1000.slice/session-3.scope"), None);
    }

    #[test]
    fn only_the_whole_map_is_no_user_namespace() {
        assert!(is_identity("         0          0 4294967295\n"));
        assert!(!is_identity("         0       1000          1\n"));
    }
}
