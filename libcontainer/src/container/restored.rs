//! Images hold what processes may do as well as what they do, and may come from a stranger: before a restored process runs,
//! everything that config.json denies it is looked at again. A process that had more than the container, by an `exec` with flags
//! of its own, cannot come back either.
use crate::mountinfo::{self, Mount, Mounts};
use crate::plan::cgroup::Group;
use crate::plan::line::{Action, HostStep, IdMap, InitStep, Line};
use crate::plan::{ExternalMount, Plan, asked_namespace, namespace_file};
use crate::sys::{self, MountAttr};
use crate::{Error, ErrorKind, Result, cgroup, file};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use step::Lsm;

const NAMESPACES: [LinuxNamespaceType; 8] = [
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Cgroup,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::User,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Time,
];

/// What CRIU has restored, and stands still.
pub(super) struct Restored<'a> {
    pub(super) spec: &'a Spec,
    pub(super) plan: &'a Plan,
    pub(super) external: &'a [ExternalMount],
    pub(super) groups: &'a [Group],
    pub(super) init: i32,
    /// In the same cgroup.
    pub(super) criu: i32,
    /// The caller has said that CRIU leaves cgroups alone.
    pub(super) ignores_cgroups: bool,
    /// The caller's own choice of a label.
    pub(super) lsm_profile: Option<&'a str>,
}

impl Restored<'_> {
    /// An error if a process has, or sees, more than config.json allows.
    pub(super) fn check(&self) -> Result<()> {
        self.check_namespaces()?;
        for line in &self.plan.lines {
            self.check_line(line).map_err(|error| error.at(line.origin()))?;
        }
        self.check_processes()?;
        self.check_mounts()
    }

    /// CRIU (until 4.2) restores every mount's flags but the root's, and those of a device that is bound more often than once.
    pub(super) fn protect(&self) -> Result<()> {
        let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
        let sealed = read_only | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let places = self.plan.lines.iter().filter_map(|line| match &line.action {
            Action::Init(InitStep::SetRootReadonly) => Some((line, c"/", read_only)),
            Action::Init(InitStep::MaskPath { path } | InitStep::BindDevice { path, .. }) => {
                Some((line, &*path.0, sealed))
            }
            _ => None,
        });
        let places: Vec<_> = places.collect();
        if places.is_empty() {
            return Ok(());
        }
        let fail = |call: &str| {
            let call = call.to_owned();
            move |errno| Error::system("protect the restored container's mounts", call, errno)
        };
        let open = |name: &str, flags| {
            let path = format!("/proc/{}/{name}", self.init);
            rustix::fs::openat(CWD, &path, flags | OFlags::CLOEXEC, Mode::empty())
                .map_err(fail(&format!("open({path})")))
        };
        let (root, namespace) = (open("root", OFlags::PATH)?, open("ns/mnt", OFlags::RDONLY)?);
        // Only who is in a mount namespace may change its mounts. The thread follows no path there.
        let protect = || {
            sys::unshare_fs().map_err(fail("unshare(CLONE_FS)"))?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(fail("setns"))?;
            for (line, path, attributes) in &places {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                let place = match rustix::fs::openat2(&root, *path, flags, Mode::empty(), resolve) {
                    // What is not there is not covered either.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    place => place.map_err(fail("openat2")),
                };
                let attributes = MountAttr { set: attributes.bits().into(), ..MountAttr::default() };
                match sys::mount_setattr(place?.as_fd(), false, &attributes) {
                    // No mount: `check` says so where there has to be one.
                    Err(Errno::INVAL) => Ok(()),
                    set => set.map_err(|errno| fail("mount_setattr")(errno).at(line.origin())),
                }?;
            }
            Ok(())
        };
        sys::on_a_thread(|| Ok(protect())).map_err(|errno| Error::system("enter the container", "clone3", errno))?
    }

    fn check_namespaces(&self) -> Result<()> {
        for kind in NAMESPACES {
            let name = namespace_file(kind);
            let own = PathBuf::from(format!("/proc/self/ns/{name}"));
            let theirs = PathBuf::from(format!("/proc/{}/ns/{name}", self.init));
            let matches = match asked_namespace(self.spec, kind) {
                None => true,
                Some(None) if kind == LinuxNamespaceType::Cgroup && self.ignores_cgroups => true,
                Some(None) => inode(&own) != inode(&theirs),
                Some(Some(path)) => inode(path) == inode(&theirs),
            };
            if !matches {
                return Err(refused(format!("its {name} namespace is another")).at("/linux/namespaces"));
            }
        }
        Ok(())
    }

    fn check_line(&self, line: &Line) -> Result<()> {
        match &line.action {
            Action::Host(HostStep::WriteIdMaps { uid, gid, .. }) => {
                if self.id_map("uid_map") == *uid && self.id_map("gid_map") == *gid {
                    return Ok(());
                }
                Err(refused("its user namespace has other mappings"))
            }
            Action::Init(InitStep::SetExecLabel { lsm, label }) => {
                let label = label.0.to_string_lossy();
                let given = self.lsm_profile.and_then(|profile| profile.split_once(':')).map(|(_, label)| label);
                self.check_label(*lsm, given.unwrap_or(&label))
            }
            _ => Ok(()),
        }
    }

    fn id_map(&self, file: &str) -> Vec<IdMap> {
        // may fail: no mapping is none that was asked for: it is refused.
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.init)).unwrap_or_default();
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        let map = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let mut next = || number(words.next());
            Some(IdMap { container_id: next()?, host_id: next()?, size: next()? })
        };
        text.lines().filter_map(map).collect()
    }

    fn check_label(&self, lsm: Lsm, wanted: &str) -> Result<()> {
        let directory = if lsm == Lsm::Apparmor { "attr/apparmor" } else { "attr" };
        let read = |directory: &str| std::fs::read_to_string(format!("/proc/{}/{directory}/current", self.init));
        // KERNEL(5.8): attr/apparmor.
        // may fail: no label is none that was asked for: it is refused.
        let current = read(directory).or_else(|_| read("attr")).unwrap_or_default();
        let current = current.trim_end_matches(['\n', '\0']);
        // AppArmor adds the mode, and what a process has changed to below its profile.
        let profile = current.split(" (").next().unwrap_or_default();
        let below =
            |name: &str| profile.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("//"));
        if current == wanted || lsm == Lsm::Apparmor && below(wanted) {
            return Ok(());
        }
        Err(refused(format!("its label is {current:?}")))
    }

    fn steps(&self) -> impl Iterator<Item = &InitStep> {
        self.plan.lines.iter().filter_map(|line| match &line.action {
            Action::Init(step) => Some(step),
            Action::Host(_) => None,
        })
    }

    /// Every capability that somebody in the container may ever have.
    fn capabilities(&self) -> u64 {
        self.steps().fold(0, |all, step| match step {
            InitStep::DropBoundingSet { keep } => all | keep,
            InitStep::SetCapabilities { effective, permitted, inheritable, ambient } => {
                all | effective | permitted | inheritable | ambient
            }
            _ => all,
        })
    }

    fn check_processes(&self) -> Result<()> {
        if self.spec.process().is_none() {
            return Ok(());
        }
        let capabilities = self.capabilities();
        let no_new_privileges = self.steps().any(|step| matches!(step, InitStep::SetNoNewPrivs));
        let filter = self.steps().any(|step| matches!(step, InitStep::LoadSeccomp { .. }));
        for pid in self.processes()? {
            for status in statuses(pid)? {
                let has = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
                let more = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].into_iter().find(|set| {
                    let has = has(set).and_then(|mask| u64::from_str_radix(mask, 16).ok());
                    has.is_none_or(|mask| mask & !capabilities != 0)
                });
                let name = || format!("process {pid} ({:?})", has("Name").unwrap_or_default());
                if let Some(set) = more {
                    let message = format!("{} has {set} {}", name(), has(set).unwrap_or_default());
                    return Err(refused(message).at("/process/capabilities"));
                }
                if no_new_privileges && has("NoNewPrivs") != Some("1") {
                    let message = format!("{} may gain privileges", name());
                    return Err(refused(message).at("/process/noNewPrivileges"));
                }
                // A kernel without seccomp has no such line, and could not have loaded it.
                if filter && has("Seccomp") != Some("2") {
                    return Err(refused(format!("{} has no filter", name())).at("/linux/seccomp"));
                }
            }
        }
        Ok(())
    }

    fn processes(&self) -> Result<Vec<i32>> {
        let mounts = |pid: i32| {
            let path = format!("/proc/{pid}/ns/mnt");
            unless_gone(std::fs::read_link(&path)).map_err(|error| unknown("readlink", path.as_ref(), &error))
        };
        let criu = mounts(self.criu)?;
        let mut pids = vec![self.init];
        for pid in cgroup::pids(self.groups)? {
            let mounts = if pid == self.init { None } else { mounts(pid)? };
            if mounts.is_some() && mounts != criu {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    fn check_mounts(&self) -> Result<()> {
        let there = Mounts::of(self.init)?;
        for line in &self.plan.lines {
            self.check_cover(line, &there).map_err(|error| error.at(line.origin()))?;
        }
        for mount in self.external.iter().filter(|mount| mount.read_only) {
            let Some(source) = place_of(&mount.source)? else { continue };
            let writable =
                |there: &&Mount| (&*there.device, &*there.root) == (&*source.0, &*source.1) && !there.read_only;
            if let Some(writable) = there.all.iter().find(writable) {
                let message = format!("{:?} is mounted writable on {:?}", mount.source, writable.point);
                return Err(refused(message).at(mount.origin.clone()));
            }
        }
        // Who may mount could have done so before, and could now.
        if self.capabilities() & CapabilitySet::SYS_ADMIN.bits() != 0 {
            Ok(())
        } else {
            self.check_nothing_else(&there)
        }
    }

    /// What hides or protects a path is where the path leads.
    fn check_cover(&self, line: &Line, there: &Mounts) -> Result<()> {
        let (path, hides) = match &line.action {
            Action::Init(InitStep::MaskPath { path }) => (&path.0, true),
            Action::Init(InitStep::ReadonlyPath { path }) => (&path.0, false),
            Action::Init(InitStep::SetRootReadonly) => (&c"/".to_owned(), false),
            _ => return Ok(()),
        };
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        let Some(found) = there.look(path)? else { return Ok(()) };
        let read_only = found.mount.is_some_and(|mount| mount.read_only);
        let covered = match found.kind {
            // The cover of a directory is an empty filesystem, that of a file the null device.
            FileType::Directory if hides => read_only && found.mount.is_some_and(|mount| mount.fstype == "tmpfs"),
            _ if hides => read_only && found.is_null,
            _ => read_only,
        };
        if found.is_mount && covered { Ok(()) } else { Err(refused(format!("{path:?} is not protected"))) }
    }

    fn check_nothing_else(&self, there: &Mounts) -> Result<()> {
        let mut known = vec![PathBuf::from("/")];
        let mut trees = Vec::new();
        for (target, recursive) in self.plan.mount_points() {
            let found = there.look(&target)?.filter(|found| found.is_mount);
            let Some(mount) = found.and_then(|found| found.mount) else { continue };
            known.push(mount.point.clone());
            trees.extend(recursive.then(|| mount.point.clone()));
        }
        let is_known =
            |mount: &Mount| known.contains(&mount.point) || trees.iter().any(|tree| mount.point.starts_with(tree));
        match there.all.iter().find(|mount| !is_known(mount)) {
            Some(other) => {
                let message = format!("{} is mounted on {:?}, where nothing is to be", other.fstype, other.point);
                Err(refused(message).at("/mounts"))
            }
            None => Ok(()),
        }
    }
}

/// `/proc/PID/task/TID/status` of each thread that there is. CRIU's helpers end meanwhile.
fn statuses(pid: i32) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/task");
    let mut statuses = Vec::new();
    let path = Path::new(&path);
    let tasks = unless_gone(file::names(path)).map_err(|error| unknown("open", path, &error))?;
    for task in tasks.into_iter().flatten() {
        let read = unless_gone(std::fs::read_to_string(path.join(task).join("status")));
        statuses.extend(read.map_err(|error| unknown("read", path, &error))?);
    }
    Ok(statuses)
}

/// `None` of a process that has ended.
fn unless_gone<T>(asked: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match asked {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::SRCH)) => Ok(None),
        asked => asked.map(Some),
    }
}

fn unknown(call: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io("look at a restored process", format!("{call}({})", path.display()), error)
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("refusing a checkpoint that does not fit the configuration: {what}"))
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    // may fail: what is not to be found is not the same.
    let stat = rustix::fs::stat(path).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// The filesystem of a host path, and where in it that is: what mountinfo says of a bind mount of it.
fn place_of(path: &Path) -> Result<Option<(String, PathBuf)>> {
    let fail = |call: &str, errno| Error::system("look at a mount", format!("{call}({})", path.display()), errno);
    let opened = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(|errno| fail("open", errno))?;
    let stat = rustix::fs::statx(&opened, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    let id = stat.map_err(|errno| fail("statx", errno))?.stx_mnt_id;
    let named = std::fs::read_link(sys::fd_path(&opened)).map_err(|_| fail("readlink", Errno::IO))?;
    let mounts = mountinfo::of(None)?;
    let Some(mount) = mounts.into_iter().find(|mount| mount.id == id) else { return Ok(None) };
    let below = named.strip_prefix(&mount.point).unwrap_or(Path::new(""));
    let root = if below.as_os_str().is_empty() { mount.root } else { mount.root.join(below) };
    Ok(Some((mount.device, root)))
}
