//! Finding out what this host can do: a few system calls, none of which changes anything.
#![forbid(unsafe_code)]

use super::HostFacts;
use crate::cgroup::memberships;
use crate::mountinfo;
use crate::plan::{CgroupManager, Hierarchy, HostFacts as Facts, Systemd, asked_namespace};
use crate::{Error, Result};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{Access, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP: i64 = 0x0027_e0eb;
const CGROUP2: i64 = 0x6367_7270;
/// `RDTGROUP_SUPER_MAGIC`
const RESCTRL: i64 = 0x0765_5821;
const RESCTRL_MOUNT: &str = "/sys/fs/resctrl";

impl HostFacts {
    /// The facts of this process on this host.
    pub fn probe() -> Result<HostFacts> {
        Ok(HostFacts(Facts {
            hierarchies: hierarchies(&read("/proc/self/cgroup")?)?,
            kcore: is_there(Path::new("/proc/kcore"))?,
            resctrl: HostFacts::resctrl()?,
            ..HostFacts::probe_caller()?.0
        }))
    }

    /// Where resctrl is mounted.
    pub(crate) fn resctrl() -> Result<Option<PathBuf>> {
        Ok(is(Path::new(RESCTRL_MOUNT), RESCTRL)?.then(|| RESCTRL_MOUNT.into()))
    }

    /// Who this process is and what it may do: nothing of the host's groups.
    pub(crate) fn probe_caller() -> Result<HostFacts> {
        use rustix::thread::CapabilitySet;
        let in_user_namespace = in_user_namespace()?;
        let capabilities = rustix::thread::capabilities(None)
            .map_err(|errno| Error::system("find out our capabilities", "capget", errno))?;
        Ok(HostFacts(Facts {
            euid: rustix::process::geteuid().as_raw(),
            egid: rustix::process::getegid().as_raw(),
            privileged: capabilities.effective.contains(CapabilitySet::SYS_ADMIN),
            missing_capabilities: !capabilities.permitted.bits() & crate::plan::ALL_CAPABILITIES,
            in_user_namespace,
            // Never in the first one.
            setgroups_denied: in_user_namespace && read("/proc/self/setgroups")?.trim_end() == "deny",
            ..Facts::default()
        }))
    }

    /// The same as `probe`, with what only this way of making cgroups has to know.
    pub fn probe_for(manager: CgroupManager) -> Result<HostFacts> {
        let mut facts = HostFacts::probe()?;
        facts.systemd = if manager == CgroupManager::Systemd { facts.find_systemd()? } else { None };
        Ok(facts)
    }

    /// With what matters only to who joins a pid namespace.
    pub fn probe_procfs(self) -> HostFacts {
        HostFacts(Facts { procfs_of_another: takes_pidns(), ..self.0 })
    }

    /// The same if a container like this one does.
    pub(crate) fn probe_procfs_for(self, spec: &Spec) -> HostFacts {
        let joins = asked_namespace(spec, LinuxNamespaceType::Pid).is_some_and(|path| path.is_some());
        if joins { self.probe_procfs() } else { self }
    }

    /// The system's for root; for everybody else their own.
    fn find_systemd(&self) -> Result<Option<Systemd>> {
        // Root of a user namespace is a user of the host's, or else root of a whole system with a systemd in it.
        let user = self.euid != 0 || self.in_user_namespace && !is_own(self.euid, "/run/systemd/private");
        if !crate::systemd::Manager::of(user).is_there() {
            return Ok(None);
        }
        let unified = self.hierarchies.iter().find(|hierarchy| hierarchy.unified);
        let tracked = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|name| name == "name=systemd");
        let Some(place) = self.hierarchies.iter().find(tracked).or(unified) else { return Ok(None) };
        let root = match user {
            true => user_root(&place.own).unwrap_or_else(|| {
                let uid = self.euid;
                format!("/user.slice/user-{uid}.slice/user@{uid}.service")
            }),
            false => {
                let own = read("/proc/1/cgroup")?;
                let kept =
                    |(names, _): &(&str, &str)| if place.unified { names.is_empty() } else { *names == "name=systemd" };
                let Some((_, path)) = memberships(&own).find(kept) else { return Ok(None) };
                path.strip_suffix("/init.scope").unwrap_or(path).to_owned()
            }
        };
        let delegated = match unified.filter(|_| user) {
            Some(hierarchy) => controllers(&hierarchy.mount.join(root.trim_start_matches('/')))?,
            None => None,
        };
        Ok(Some(Systemd { user, root, delegated }))
    }
}

/// What a group of cgroup v2 may hand on; `None` if there is no such group.
fn controllers(group: &Path) -> Result<Option<Vec<String>>> {
    match read(group.join("cgroup.controllers")) {
        Err(error) if error.errno() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
        read => read.map(|text| Some(text.split_ascii_whitespace().map(str::to_owned).collect())),
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
    // may fail: who is not let look has no system of his own there.
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

/// Whether this process's user namespace is another than the first. A map tells nothing: one below may have the whole of it.
pub(crate) fn in_user_namespace() -> Result<bool> {
    /// `PROC_USER_INIT_INO` of linux/proc_ns.h, which is ABI since namespaces have been compared by their inodes.
    const FIRST: u64 = 0xEFFF_FFFD;
    match rustix::fs::stat("/proc/self/ns/user") {
        // A kernel without user namespaces (CONFIG_USER_NS).
        // may fail: then that there is none is the error.
        Err(Errno::NOENT) if rustix::fs::access("/proc/self/ns", Access::EXISTS).is_ok() => Ok(false),
        Err(errno) => Err(Error::system("find out our user namespace", "stat(/proc/self/ns/user)", errno)),
        Ok(namespace) => Ok(namespace.st_ino != FIRST),
    }
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
        let mut usual = None;
        for path in names.iter().map(|name| Path::new("/sys/fs/cgroup").join(name)) {
            if is(&path, magic)? {
                usual = Some(path);
                break;
            }
        }
        let mount = match usual {
            Some(path) => path,
            // Beside others it is there or nowhere (for systemd and runc too).
            None if unified && !found.is_empty() => continue,
            None => {
                let mounts = match &mounts {
                    Some(mounts) => mounts,
                    None => mounts.insert(mountinfo::of(None)?),
                };
                match mount_of(mounts, controllers) {
                    Some(path) if is(path, magic)? => path.to_owned(),
                    // A hierarchy that is not mounted, or is mounted over, is none that we can use.
                    _ => continue,
                }
            }
        };
        let controllers = if unified {
            let available = read(mount.join("cgroup.controllers"))?;
            available.split_ascii_whitespace().map(str::to_owned).collect()
        } else {
            controllers.split(',').map(str::to_owned).collect()
        };
        let group = mount.join(own.trim_start_matches('/'));
        let writable = is_writable(&group)?;
        found.push(Hierarchy { controllers, mount, own: own.to_owned(), unified, writable });
    }
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

/// Whether a filesystem of this kind is there. Only what is not there is none: a hierarchy that is left out for any other reason would
/// leave a container without its limits.
fn is(path: &Path, magic: i64) -> Result<bool> {
    match rustix::fs::statfs(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        found => found
            .map(|filesystem| i128::from(filesystem.f_type) == i128::from(magic))
            .map_err(|errno| Error::system("find out what is mounted", format!("statfs({})", path.display()), errno)),
    }
}

/// Whether we may make something there. A group that we do not see (of another cgroup namespace) is not for us.
fn is_writable(directory: &Path) -> Result<bool> {
    may(directory, Access::WRITE_OK)
}

fn is_there(path: &Path) -> Result<bool> {
    may(path, Access::EXISTS)
}

fn may(path: &Path, access: Access) -> Result<bool> {
    match rustix::fs::access(path, access) {
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT) => Ok(false),
        asked => asked
            .map(|()| true)
            .map_err(|errno| Error::system("find out what we may do", format!("access({})", path.display()), errno)),
    }
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
        let facts = HostFacts::probe().unwrap().0;
        let caller = HostFacts(Facts { hierarchies: Vec::new(), kcore: false, resctrl: None, ..facts });
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
    fn what_criu_mounts_for_itself_is_no_place_for_a_group() {
        let yard = b"50 31 0:40 / /images/.criu.cgyard.5aqDy3/hugetlb rw - cgroup none rw,hugetlb\n".to_vec();
        assert_eq!(mount_of(&mountinfo::parse(&yard), "hugetlb"), None);
        let both = [yard, b"51 31 0:40 / /hugetlb rw - cgroup none rw,hugetlb\n".to_vec()].concat();
        assert_eq!(mount_of(&mountinfo::parse(&both), "hugetlb"), Some("/hugetlb".as_ref()));
    }

    #[test]
    fn the_group_of_a_users_systemd_is_found_from_below() {
        let root = "/user.slice/user-1000.slice/user@1000.service";
        assert_eq!(user_root(&format!("{root}/app.slice/a.scope")).as_deref(), Some(root));
        assert_eq!(user_root("/user.slice/user-1000.slice/session-3.scope"), None);
    }

    #[test]
    fn a_user_namespace_is_one_whatever_it_maps() {
        // Of the tests nobody knows where they run; lsns(8) does.
        let own = std::fs::read_link("/proc/self/ns/user").unwrap();
        assert_eq!(in_user_namespace().unwrap(), own != Path::new("user:[4026531837]"));
    }
}
