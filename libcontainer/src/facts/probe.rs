//! Finding out what this host can do: a few system calls, none of which changes anything.
#![forbid(unsafe_code)]

use super::HostFacts;
use super::hierarchies::{Places, hierarchies, lacks, wanted};
use crate::cgroup::memberships;
use crate::plan::{CgroupManager, Hierarchy, HostFacts as Facts, Systemd, asked_namespace};
use crate::{Bundle, Error, Result};
use oci_spec::runtime::LinuxNamespaceType;
use rustix::fs::{Access, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// `RDTGROUP_SUPER_MAGIC`
const RESCTRL: i64 = 0x0765_5821;
const RESCTRL_MOUNT: &str = "/sys/fs/resctrl";

impl HostFacts {
    /// The facts of this process on this host.
    ///
    /// # Errors
    /// A system call failed: what is not known is not taken for missing.
    pub fn probe() -> Result<HostFacts> {
        HostFacts::probe_in(Places::All)
    }

    fn probe_in(places: Places) -> Result<HostFacts> {
        Ok(HostFacts(Facts {
            hierarchies: hierarchies(&read("/proc/self/cgroup")?, places)?,
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
    ///
    /// # Errors
    /// As `probe`; systemd's manager cannot be asked.
    pub fn probe_for(manager: CgroupManager) -> Result<HostFacts> {
        HostFacts::probe()?.with_systemd(manager)
    }

    /// What `create` asks for a container of this bundle: a hierarchy that is not where every distribution has it is looked for only if
    /// the container cannot do without, because mountinfo grows with the host's mounts.
    ///
    /// # Errors
    /// As `probe_for`.
    pub fn probe_for_bundle(manager: CgroupManager, bundle: &Bundle) -> Result<HostFacts> {
        let spec = bundle.spec();
        let mut facts = HostFacts::probe_in(Places::Usual)?;
        if lacks(&facts.hierarchies, &wanted(spec)) {
            facts.hierarchies = hierarchies(&read("/proc/self/cgroup")?, Places::All)?;
        }
        let joins = asked_namespace(spec, LinuxNamespaceType::Pid).is_some_and(|path| path.is_some());
        if joins { facts.probe_procfs() } else { facts }.with_systemd(manager)
    }

    fn with_systemd(mut self, manager: CgroupManager) -> Result<HostFacts> {
        self.systemd = if manager == CgroupManager::Systemd { self.find_systemd()? } else { None };
        Ok(self)
    }

    /// With what matters only to who joins a pid namespace.
    pub fn probe_procfs(self) -> HostFacts {
        HostFacts(Facts { procfs_of_another: takes_pidns(), ..self.0 })
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

/// Whether a filesystem of this kind is there. Only what is not there is none: a hierarchy that is left out for any other reason would
/// leave a container without its limits.
pub(super) fn is(path: &Path, magic: i64) -> Result<bool> {
    match rustix::fs::statfs(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        found => found
            .map(|filesystem| i128::from(filesystem.f_type) == i128::from(magic))
            .map_err(|errno| Error::system("find out what is mounted", format!("statfs({})", path.display()), errno)),
    }
}

/// Whether we may make something there. A group that we do not see (of another cgroup namespace) is not for us.
pub(super) fn is_writable(directory: &Path) -> Result<bool> {
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
