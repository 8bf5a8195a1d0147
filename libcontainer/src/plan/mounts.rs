//! [Mounts](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#mounts)
#![forbid(unsafe_code)]

use super::cgroup::CgroupPlan;
use super::line::{Action, HostStep, IdMappedMount, InitStep, Line, ZString};
use super::mount_options::{Options, RDONLY, SHARED, parse};
use super::{Context, Slots, block, given, host, id_mappings, init, namespaces, root, z};
use crate::facts::Hierarchy;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::Mount;
use std::path::{Component, Path, PathBuf};
use step::{Attributes, Source, Target};

/// The lines of all mounts, by when they are due.
pub(super) struct Mounts {
    /// The mounts, in the order of config.json. A source that the host opens is opened just before: a descriptor is
    /// open no longer than it has to be, however many mounts there are.
    pub(super) lines: Vec<Line>,
    /// What has to wait until everything is in its place.
    pub(super) finally: Vec<Line>,
}

pub(super) fn plan(context: &Context, cgroup: &CgroupPlan, slots: &mut Slots) -> Result<Mounts> {
    let mut mounts = Mounts { lines: Vec::new(), finally: Vec::new() };
    for (index, mount) in context.spec.mounts().iter().flatten().enumerate() {
        let entry = Entry::new(context, mount, format!("/mounts/{index}"))?;
        if entry.options.remount {
            mounts.lines.push(entry.remount()?);
        } else if entry.is_bind() {
            mounts.bind(&entry, slots)?;
        } else if entry.fstype() == "cgroup" {
            mounts.cgroup(&entry, cgroup)?;
        } else {
            mounts.filesystem(&entry)?;
        }
    }
    Ok(mounts)
}

/// `settled` brings init into the container's group: before the first mount that shows the group, or has its pages charged to
/// it. The ones before are made while systemd is at it.
pub(super) fn once_settled(mut mounts: Vec<Line>, settled: Vec<Line>) -> Vec<Line> {
    let waits = |line: &Line| match &line.action {
        Action::Init(InitStep::MountCgroup2 { .. }) => true,
        Action::Init(InitStep::Mount { fstype, copy_up, .. }) => *copy_up || fstype.0.as_bytes() == b"cgroup",
        Action::Init(InitStep::BindMount { source: Source::Path(path), .. }) => {
            path.0.as_bytes().starts_with(b"/sys/fs/cgroup/")
        }
        _ => false,
    };
    let first = mounts.iter().position(waits).unwrap_or(mounts.len());
    mounts.splice(first..first, settled);
    mounts
}

/// The mounts of a container that runs already. Each is made detached, noted by the host, and only then attached. `context` has
/// them in the place of the container's own.
pub(super) fn add(context: &Context, slots: &mut Slots) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (index, mount) in context.spec.mounts().iter().flatten().enumerate() {
        let entry = Entry::new(context, mount, format!("/{index}"))?;
        let refused =
            |what: &str| entry.wrong("", format!("{what} of a container that runs")).kind_of(ErrorKind::Unsupported);
        if entry.options.remount {
            return Err(refused("there is no remount of the mounts"));
        } else if !entry.is_bind() && entry.fstype() == "cgroup" {
            return Err(refused("no view of the control groups becomes a mount"));
        } else if entry.options.copy_symlink {
            return Err(refused("copy-symlink makes no mount, and so none"));
        }
        lines.extend(entry.add(slots)?);
    }
    Ok(lines)
}

/// Where the mount at `destination` is, with `.` and `..` taken out as Go does; relative ones are relative to `/`.
pub(super) fn clean(destination: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in destination.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// The same inside the container: a path that leads to the root filesystem from outside means the same place inside it, as with runc.
pub(super) fn target(context: &Context, destination: &Path) -> PathBuf {
    let target = clean(destination);
    below_root(context, &target).unwrap_or(target)
}

/// The path inside the container of a host path below its root filesystem. (Below `/`, every path is the same in both.)
fn below_root(context: &Context, path: &Path) -> Option<PathBuf> {
    let root = clean(&super::root::path(context).ok()?);
    let inside = path.strip_prefix(&root).ok().filter(|_| root != Path::new("/"))?;
    Some(Path::new("/").join(inside))
}

/// Whether config.json brings its own `/dev`, ready-made.
pub(super) fn binds_dev(context: &Context) -> bool {
    let mut mounts = context.spec.mounts().iter().flatten();
    mounts.any(|mount| clean(mount.destination()) == Path::new("/dev") && is_bind(mount))
}

/// Where something is mounted.
pub(super) fn targets<'a>(context: &'a Context) -> impl Iterator<Item = PathBuf> + 'a {
    let is_remount = |mount: &Mount| mount.options().iter().flatten().any(|option| option == "remount");
    let mounts = context.spec.mounts().iter().flatten();
    mounts.filter(move |mount| !is_remount(mount)).map(|mount| target(context, mount.destination()))
}

/// Whether config.json binds something that `target` lies in. Kubernetes gives privileged pods the host's `/dev` so, and wants
/// `/dev/termination-log` in it.
fn is_in_bind(context: &Context, target: &Path) -> bool {
    let above = |mount: &Mount| {
        let place = self::target(context, mount.destination());
        is_bind(mount) && place != target && target.starts_with(place)
    };
    context.spec.mounts().iter().flatten().any(above)
}

/// "Any `type` is a dummy, often `none`", for a bind mount; and the other way round, `bind` says it all.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    let says_so = |option: &String| matches!(option.as_str(), "bind" | "rbind");
    mount.typ().as_deref() == Some("bind") || mount.options().iter().flatten().any(says_so)
}

/// Whether it is a new procfs, which shows the pid namespace of whoever makes it.
pub(super) fn is_procfs(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("proc") && !is_bind(mount)
}

/// To init: a procfs of the pid namespace that it holds on to.
const PID_NAMESPACE: &str = "pidns";

/// One entry of `mounts`.
struct Entry<'a> {
    context: &'a Context<'a>,
    mount: &'a Mount,
    options: Options<'a>,
    target: PathBuf,
    origin: String,
}

impl<'a> Entry<'a> {
    fn new(context: &'a Context<'a>, mount: &'a Mount, origin: String) -> Result<Entry<'a>> {
        let options = parse(mount.options().as_deref().unwrap_or_default());
        let target = target(context, mount.destination());
        let entry = Entry { context, mount, options, target, origin };
        if entry.target == Path::new("/") {
            return Err(entry.wrong("/destination", "the root filesystem cannot be mounted over"));
        }
        if !entry.is_bind() && !entry.options.remount {
            if entry.fstype().is_empty() {
                return Err(entry.wrong("/type", "a mount that is no bind mount needs a type"));
            }
            if entry.id_mapped().is_some() {
                return Err(entry.wrong("", "only a bind mount can be id-mapped"));
            }
        }
        if entry.options.copy_up && (entry.is_bind() || entry.fstype() != "tmpfs") {
            return Err(entry.wrong("/options", "tmpcopyup is for a tmpfs"));
        }
        Ok(entry)
    }

    fn wrong(&self, key: &str, message: impl Into<String>) -> Error {
        Error::config(format!("{}{key}", self.origin), message)
    }

    fn fstype(&self) -> &str {
        given(self.mount.typ()).unwrap_or_default()
    }

    fn is_bind(&self) -> bool {
        is_bind(self.mount)
    }

    fn is_procfs(&self) -> bool {
        is_procfs(self.mount)
    }

    /// `Some(recursive)`; mappings alone mean the same as `idmap`, to runc.
    fn id_mapped(&self) -> Option<bool> {
        let mapped = |maps: &Option<Vec<_>>| maps.as_ref().is_some_and(|maps| !maps.is_empty());
        let mapped = mapped(self.mount.uid_mappings()) || mapped(self.mount.gid_mappings());
        self.options.id_map.or(mapped.then_some(false))
    }

    fn target_z(&self) -> Result<step::ZString> {
        z(&self.target, &format!("{}/destination", self.origin))
    }

    /// What the target has to be. Nothing but procfs at `/proc` and a few files inside it: what the runtime and the
    /// LSMs write to procfs must not end up somewhere else (CVE-2019-16884, CVE-2025-52881).
    fn target_kind(&self) -> Result<Target> {
        const COVERABLE: &[&str] = &[
            "cpuinfo",
            "diskstats",
            "meminfo",
            "stat",
            "swaps",
            "uptime",
            "loadavg",
            "slabinfo",
            "sys/kernel/ns_last_pid",
            "sys/crypto/fips_enabled",
        ];
        let new_proc_or_sys = !self.is_bind() && matches!(self.fstype(), "proc" | "sysfs");
        match self.target.strip_prefix("/proc") {
            Ok(inside) if inside.as_os_str().is_empty() => {
                let source = self.mount.source().as_deref().unwrap_or(Path::new(""));
                let bound = self.is_bind() && clean(source).starts_with("/proc") && source.is_absolute();
                match bound || (new_proc_or_sys && self.fstype() == "proc") {
                    true => Ok(Target::OrdinaryDirectory),
                    false => {
                        Err(self.wrong("/destination", "\"/proc\" cannot be mounted because it is not of type proc"))
                    }
                }
            }
            Ok(inside) if COVERABLE.iter().any(|name| inside == Path::new(name)) => Ok(Target::InProc),
            Ok(_) => {
                let message = format!("\"{}\" cannot be mounted because it is inside /proc", self.target.display());
                Err(self.wrong("/destination", message))
            }
            Err(_) if new_proc_or_sys => Ok(Target::OrdinaryDirectory),
            Err(_) if is_in_bind(self.context, &self.target) => Ok(Target::InBind),
            Err(_) => Ok(Target::Any),
        }
    }

    fn remount(&self) -> Result<Line> {
        let attributes = all(&self.options);
        let step = InitStep::Remount { target: self.target_z()?, attributes, options: self.filesystem_options(&[])? };
        Ok(init(step, &*self.origin))
    }

    /// What fsconfig(2) gets, each with its NUL.
    fn filesystem_options(&self, more: &[&str]) -> Result<Vec<u8>> {
        let mut options = block(self.options.filesystem.iter().chain(more), &self.origin)?;
        for (index, option) in &self.options.data {
            let origin = format!("{}/options/{index}", self.origin);
            // Quotes hold a value together for mount(2), which takes all options as one string; fsconfig(2) takes one.
            let unquoted = option.split_once("=\"").and_then(|(key, value)| Some((key, value.strip_suffix('"')?)));
            let option = unquoted.map_or_else(|| (*option).to_owned(), |(key, value)| format!("{key}={value}"));
            options.extend(block([option], &origin)?);
        }
        Ok(options)
    }

    fn warn_of_ignored(&self) {
        let data = self.options.data.iter().map(|(_, option)| *option);
        for option in self.options.filesystem.iter().copied().chain(data) {
            // As mount(2) does; but say so.
            log::warn!("{}: {option} is a matter of the filesystem, not of a bind mount: ignored", self.origin);
        }
    }

    /// The source of a bind mount, and the lines that open it. In a container that is `running` init does not see the host's.
    fn open(&self, slots: &mut Slots, running: bool) -> Result<(Vec<Line>, Source<ZString>)> {
        let options = &self.options;
        let source = self.mount.source().as_deref().filter(|source| !source.as_os_str().is_empty());
        let source = source.ok_or_else(|| self.wrong("/source", "a bind mount needs a source"))?;
        let path = self.context.bundle.join(source);
        let recursive = options.bind == Some(true);

        let id_map = self.id_mapped().map(|recursive| self.id_map(recursive)).transpose()?;
        // Root of the container's user namespace may not pass a 0700 directory of the host; its own mount
        // namespace does not let it clone a mount alone that has others below either.
        let reachable = !self.context.namespaces.has(namespaces::USER);
        // Engines ask for both where the container's mounts are to reach the host; in the container's copy of the
        // tree nothing is shared with it any more.
        let shared = options.propagation & SHARED != 0 && root::is_shared(self.context)?;
        let privileged = self.context.facts.privileged;
        let by_host = running || id_map.is_some() || privileged && (shared || !reachable);
        let inside = below_root(self.context, &clean(&path)).filter(|_| !options.copy_symlink);
        let origin = format!("{}/source", self.origin);
        let mut lines = Vec::new();
        let source = match (inside, id_map) {
            // What the mounts before this one have put there is seen by nobody but init.
            (Some(inside), None) => Source::Inside(z(inside, &origin)?),
            (Some(inside), Some(id_map)) => {
                lines.push(init(InitStep::OpenSource { path: z(inside, &origin)?, recursive }, &*self.origin));
                lines.push(host(HostStep::IdMapMount { id_map }, &*self.origin));
                Source::Slot(slots.take()?)
            }
            (None, _) if running && !privileged => {
                let message = "to bring it into a container that runs needs CAP_SYS_ADMIN on the host";
                return Err(self.wrong("/source", message).kind_of(ErrorKind::Unsupported));
            }
            (None, id_map) if by_host && !options.copy_symlink => {
                lines.push(host(HostStep::OpenMount { source: path, recursive, shared, id_map }, &*self.origin));
                Source::Slot(slots.take()?)
            }
            (None, _) => Source::Path(z(path, &origin)?),
        };
        Ok((lines, source))
    }

    fn id_map(&self, recursive: bool) -> Result<IdMappedMount> {
        if !self.context.facts.privileged {
            let message = "an id-mapped mount needs CAP_SYS_ADMIN on the host";
            return Err(self.wrong("", message).kind_of(ErrorKind::Unsupported));
        }
        if self.options.copy_symlink {
            return Err(self.wrong("/options", "copy-symlink and idmap exclude each other"));
        }
        let own = |maps: &Option<Vec<_>>| id_mappings::maps(maps.as_deref());
        let (uid, gid) = (own(self.mount.uid_mappings()), own(self.mount.gid_mappings()));
        // "If none is given, the mappings of the container's user namespace" (config.md).
        let (uid, gid) = if uid.is_empty() && gid.is_empty() { id_mappings::of(self.context.spec) } else { (uid, gid) };
        let joined = self.context.namespaces.joined(namespaces::USER).map(Path::to_owned);
        match (uid.is_empty(), gid.is_empty()) {
            (false, false) => Ok(IdMappedMount { uid, gid, of: None, recursive }),
            (true, true) if joined.is_some() => Ok(IdMappedMount { uid, gid, of: joined, recursive }),
            (true, true) => Err(self.wrong("/options", "idmap without mappings, and the container has none")),
            (true, false) => Err(self.wrong("/uidMappings", "uidMappings and gidMappings come together")),
            (false, true) => Err(self.wrong("/gidMappings", "uidMappings and gidMappings come together")),
        }
    }

    /// The lines that bring it into a container which runs already.
    fn add(&self, slots: &mut Slots) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let (attributes, mut recursive_attributes) = (all(&self.options), Attributes::default());
        let attributes = if self.is_bind() {
            self.warn_of_ignored();
            recursive_attributes = self.options.recursive_attributes;
            let (opened, source) = self.open(slots, true)?;
            lines.extend(opened);
            let show = match source {
                Source::Slot(slot) => InitStep::ShowMount { slot },
                Source::Inside(path) | Source::Path(path) => {
                    InitStep::OpenSource { path, recursive: self.options.bind == Some(true) }
                }
            };
            lines.push(init(show, &*self.origin));
            self.options.bind_attributes(self.context.in_user_namespace())
        } else {
            let label = self.label()?;
            // The filesystem, not only this view of it, as at create; of a tmpfs, which may have to be filled, the view.
            let readonly = (attributes.set & RDONLY != 0 && self.fstype() != "tmpfs").then_some("ro");
            let namespaces = &self.context.namespaces;
            let another = self.is_procfs() && namespaces.has(namespaces::PID) && self.context.facts.procfs_of_another;
            let of_another = another.then_some(PID_NAMESPACE);
            let more: Vec<_> = label.as_deref().into_iter().chain(readonly).chain(of_another).collect();
            let make = InitStep::MakeMount {
                fstype: z(self.fstype(), &format!("{}/type", self.origin))?,
                source: z(self.filesystem_source(), &format!("{}/source", self.origin))?,
                target: self.target_z()?,
                options: self.filesystem_options(&more)?,
                copy_up: self.options.copy_up,
            };
            lines.push(init(make, &*self.origin));
            Attributes { set: attributes.set, clear: 0 }
        };
        lines.push(host(HostStep::NoteMount { destination: self.target.clone() }, &*self.origin));
        let attach = InitStep::BindMount {
            source: Source::Slot(slots.take()?),
            target: self.target_z()?,
            kind: self.target_kind()?,
            recursive: false,
            attributes,
            recursive_attributes,
            propagation: self.options.propagation,
            copy_symlink: false,
        };
        lines.push(init(attach, &*self.origin));
        Ok(lines)
    }

    /// What `/proc/self/mountinfo` shows as the source.
    fn filesystem_source(&self) -> &Path {
        let source = self.mount.source().as_deref().filter(|source| !source.as_os_str().is_empty());
        source.unwrap_or(Path::new(self.fstype()))
    }

    /// `linux.mountLabel`, for filesystems whose files have labels of their own to give. Those of proc, sysfs, cgroup
    /// and mqueue come from the policy.
    fn label(&self) -> Result<Option<String>> {
        let label = self.context.linux().and_then(|linux| given(linux.mount_label()));
        let labelled = !matches!(self.fstype(), "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue");
        let Some(label) = label.filter(|_| labelled) else { return Ok(None) };
        let annotations = self.context.spec.annotations().as_ref();
        let kind = annotations.and_then(|annotations| annotations.get(CONTEXT_TYPE)).map_or("context", String::as_str);
        if !["context", "fscontext", "defcontext", "rootcontext"].contains(&kind) {
            let message =
                format!("{kind:?} is no mount option for a label: context, fscontext, defcontext, rootcontext");
            return Err(Error::config(format!("/annotations/{CONTEXT_TYPE}"), message));
        }
        Ok(Some(format!("{kind}={label}")))
    }
}

/// An annotation of crun's: which of the options of mount(8), "SELinux", carries the label. `context` labels every file for good;
/// Podman asks for `rootcontext` where the container may label files itself.
const CONTEXT_TYPE: &str = "run.oci.mount_context_type";

/// A new mount has nothing below it: `rro` is `ro`.
fn all(options: &Options) -> Attributes {
    let (own, recursive) = (options.attributes, options.recursive_attributes);
    Attributes { set: own.set | recursive.set, clear: own.clear | recursive.clear }
}

impl Mounts {
    fn filesystem(&mut self, entry: &Entry) -> Result<()> {
        let mut attributes = all(&entry.options);
        let mut more: Vec<&str> = Vec::new();
        let label = entry.label()?;
        more.extend(label.as_deref());
        if attributes.set & RDONLY != 0 {
            // Targets of later mounts and device nodes have to be made inside first.
            if entry.fstype() == "tmpfs" || entry.target == Path::new("/dev") {
                attributes.set &= !RDONLY;
                self.read_only_later(entry)?;
            } else {
                // The filesystem, not only this view of it, as mount(2) does.
                more.push("ro");
            }
        }
        if entry.is_procfs() && entry.context.forks_late() {
            more.push(PID_NAMESPACE);
        }
        let step = InitStep::Mount {
            fstype: z(entry.fstype(), &format!("{}/type", entry.origin))?,
            source: z(entry.filesystem_source(), &format!("{}/source", entry.origin))?,
            target: entry.target_z()?,
            kind: entry.target_kind()?,
            options: entry.filesystem_options(&more)?,
            attributes: Attributes { set: attributes.set, clear: 0 },
            propagation: entry.options.propagation,
            copy_up: entry.options.copy_up,
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }

    fn read_only_later(&mut self, entry: &Entry) -> Result<()> {
        // Without a mount namespace the mounts are attached nowhere, and only their filesystems can be changed.
        let (attributes, options) = if entry.context.namespaces.has(namespaces::MOUNT) {
            (Attributes { set: RDONLY, clear: 0 }, Vec::new())
        } else {
            (Attributes::default(), block(["ro"], &entry.origin)?)
        };
        let step = InitStep::Remount { target: entry.target_z()?, attributes, options };
        self.finally.push(init(step, &*entry.origin));
        Ok(())
    }

    fn bind(&mut self, entry: &Entry, slots: &mut Slots) -> Result<()> {
        let options = &entry.options;
        entry.warn_of_ignored();
        let (opened, source) = entry.open(slots, false)?;
        self.lines.extend(opened);
        let step = InitStep::BindMount {
            source,
            target: entry.target_z()?,
            kind: entry.target_kind()?,
            recursive: options.bind == Some(true),
            attributes: options.bind_attributes(entry.context.in_user_namespace()),
            recursive_attributes: options.recursive_attributes,
            propagation: options.propagation,
            copy_symlink: options.copy_symlink,
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }

    /// A view of the container's own groups.
    fn cgroup(&mut self, entry: &Entry, cgroup: &CgroupPlan) -> Result<()> {
        let hierarchies = &entry.context.facts.hierarchies;
        if let Some((index, option)) = entry.options.data.first() {
            return Err(entry.wrong(&format!("/options/{index}"), format!("a cgroup mount has no option \"{option}\"")));
        }
        let own: Vec<_> = hierarchies.iter().zip(&cgroup.mount_view).collect();
        if own.iter().any(|(hierarchy, _)| !hierarchy.unified) {
            return self.cgroup_v1(entry, &own);
        }
        let Some((_, own)) = own.first() else {
            let message = "no cgroup hierarchy is mounted on this host";
            return Err(entry.wrong("", message).kind_of(ErrorKind::Unsupported));
        };
        let namespaces = &entry.context.namespaces;
        let attributes = all(&entry.options);
        let step = if namespaces.is_new(namespaces::USER) && !namespaces.has(namespaces::CGROUP) {
            // A new mount is for the owner of the cgroup namespace. (And what is bound, a checkpoint leaves to the host.)
            own_group(entry, own, &entry.target, attributes)?
        } else {
            // Its own group and nothing above it, whatever a new mount would show (CVE-2023-25809).
            let (target, fallback) = (entry.target_z()?, z(own, &entry.origin)?);
            InitStep::MountCgroup2 { target, attributes, fallback }
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }

    /// A tmpfs with a mount for each hierarchy, and a link for each controller that shares one: what every host has.
    fn cgroup_v1(&mut self, entry: &Entry, own: &[(&Hierarchy, &PathBuf)]) -> Result<()> {
        let attributes = Attributes { set: all(&entry.options).set, clear: 0 };
        let origin = &*entry.origin;
        let tmpfs = InitStep::Mount {
            fstype: z("tmpfs", origin)?,
            source: z("tmpfs", origin)?,
            target: entry.target_z()?,
            kind: entry.target_kind()?,
            options: block(["mode=755"], origin)?,
            attributes: Attributes { set: attributes.set & !RDONLY, clear: 0 },
            propagation: entry.options.propagation,
            copy_up: false,
        };
        self.lines.push(init(tmpfs, origin));
        for (hierarchy, own) in own {
            let joined = hierarchy.controllers.join(",");
            // As the host calls it: `name=systemd` is mounted at `systemd`, the v2 side of a hybrid host at `unified`.
            let name = if hierarchy.unified { "unified" } else { joined.trim_start_matches("name=") };
            let target = entry.target.join(name);
            let in_namespace = entry.context.namespaces.has(namespaces::CGROUP);
            let step = if hierarchy.unified && in_namespace {
                let (target, fallback) = (z(&target, origin)?, z(own, origin)?);
                InitStep::MountCgroup2 { target, attributes, fallback }
            } else if in_namespace {
                // Its root is the container's group.
                let controllers = hierarchy.controllers.iter().map(String::as_str);
                let named = joined.starts_with("name=").then_some("none");
                InitStep::Mount {
                    fstype: z("cgroup", origin)?,
                    source: z("cgroup", origin)?,
                    target: z(&target, origin)?,
                    kind: Target::Any,
                    options: block(named.into_iter().chain(controllers), origin)?,
                    attributes,
                    propagation: 0,
                    copy_up: false,
                }
            } else {
                own_group(entry, own, &target, attributes)?
            };
            self.lines.push(init(step, origin));
            let shared = !hierarchy.unified && hierarchy.controllers.len() > 1;
            for controller in hierarchy.controllers.iter().filter(|_| shared) {
                let link = z(entry.target.join(controller), origin)?;
                self.lines
                    .push(init(InitStep::Symlink { target: z(name, origin)?, path: link, replace: false }, origin));
            }
        }
        if attributes.set & RDONLY != 0 {
            self.read_only_later(entry)?;
        }
        Ok(())
    }
}

/// A view of the container's own group, without a cgroup namespace.
fn own_group(entry: &Entry, own: &Path, target: &Path, attributes: Attributes) -> Result<InitStep> {
    Ok(InitStep::BindMount {
        source: Source::Path(z(own, &entry.origin)?),
        target: z(target, &entry.origin)?,
        kind: Target::Any,
        recursive: false,
        attributes,
        recursive_attributes: Attributes::default(),
        propagation: 0,
        copy_symlink: false,
    })
}

#[cfg(test)]
mod tests {
    use crate::facts::{Hierarchy, HostFacts};
    use crate::plan::tests::{check, check_on, facts, refused};

    fn check_mount(mount: &str, lines: &str) {
        check(&format!(r#"{{"mounts": [{mount}]}}"#), "/mounts/0", lines);
    }

    fn refused_mount(mount: &str, message: &str) {
        refused(&format!(r#"{{"mounts": [{mount}]}}"#), &format!("config.json: /mounts/0{message}"));
    }

    #[test]
    fn a_place_in_a_bind_mount_is_one_that_config_json_has_brought_in() {
        check(
            r#"{"mounts": [{"destination": "/dev", "source": "/dev", "options": ["rbind"]},
                {"destination": "/dev/termination-log", "source": "/log", "options": ["bind"]},
                {"destination": "/device", "type": "tmpfs"}]}"#,
            "/mounts",
            "init bind-mount /dev on /dev recursive
             init bind-mount /log on /dev/termination-log (in a bind mount)
             init mount tmpfs on /device",
        );
    }

    #[test]
    fn a_filesystem_is_mounted_with_its_options() {
        check_mount(
            r#"{"destination": "/scratch", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "mode=1777", "size=64k", "sync"]}"#,
            "init mount tmpfs on /scratch nosuid,noexec sync,mode=1777,size=64k",
        );
        check_mount(
            r#"{"destination": "/tmp", "type": "tmpfs", "options": ["tmpcopyup", "rprivate"]}"#,
            "init mount tmpfs on /tmp rprivate tmpcopyup",
        );
    }

    #[test]
    fn procfs_and_sysfs_land_on_an_ordinary_directory() {
        check_mount(
            r#"{"destination": "/proc", "type": "proc", "source": "proc"}"#,
            "init mount proc on /proc (ordinary directory)",
        );
        check_mount(
            r#"{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}"#,
            "init mount sysfs on /sys (ordinary directory) ro,nosuid ro",
        );
    }

    #[test]
    fn an_annotation_says_which_option_carries_the_label() {
        let config = |annotations: &str| {
            format!(
                r#"{{"linux": {{"mountLabel": "u:r:t"}}, "annotations": {annotations},
                    "mounts": [{{"destination": "/tmp", "type": "tmpfs"}}]}}"#
            )
        };
        check(&config("{}"), "/mounts/0", "init mount tmpfs on /tmp context=u:r:t");
        let root = r#"{"run.oci.mount_context_type": "rootcontext"}"#;
        check(&config(root), "/mounts/0", "init mount tmpfs on /tmp rootcontext=u:r:t");
        refused(
            &config(r#"{"run.oci.mount_context_type": "size=1,context"}"#),
            "config.json: /annotations/run.oci.mount_context_type: \"size=1,context\" is no mount option for a label: \
             context, fscontext, defcontext, rootcontext",
        );
    }

    #[test]
    fn a_read_only_tmpfs_is_filled_first() {
        check_mount(
            r#"{"destination": "/dev", "type": "tmpfs", "options": ["ro", "nosuid"]}"#,
            "init mount tmpfs on /dev nosuid
             init remount /dev ro",
        );
    }

    #[test]
    fn a_bind_mount_comes_from_the_host_or_the_bundle() {
        check_mount(
            r#"{"destination": "/data", "source": "/srv/data", "options": ["rbind", "ro", "rnosuid", "rslave"]}"#,
            "init bind-mount /srv/data on /data recursive ro,suid,dev,exec,symfollow recursively nosuid rslave",
        );
        check_mount(
            r#"{"destination": "data/../etc", "type": "bind", "source": "etc"}"#,
            "init bind-mount /bundle/etc on /etc",
        );
        check_mount(
            r#"{"destination": "/l", "source": "/s", "options": ["bind", "copy-symlink", "rw", "noatime"]}"#,
            "init bind-mount /s on /l noatime,rw,suid,dev,exec,diratime,symfollow copy-symlink",
        );
    }

    const MAPPED: &str = r#""linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]}"#;

    #[test]
    fn with_a_user_namespace_the_host_opens_sources() {
        let config =
            format!(r#"{{"mounts": [{{"destination": "/d", "source": "/s", "options": ["bind"]}}], {MAPPED}}}"#);
        check(&config, "/mounts", "host open-mount /s → fd:2\n init bind-mount fd:2 on /d");
        let user = HostFacts { euid: 1000, egid: 1000, ..Default::default() };
        check_on(&user, &config, "/mounts", "init bind-mount /s on /d");
    }

    #[test]
    fn a_source_below_the_root_is_what_earlier_mounts_made_of_it() {
        let mounts = r#""mounts": [{"destination": "/bundle/rootfs/d", "source": "/bundle/rootfs/a/b", "options": ["bind"IDMAP]}]"#;
        check(&format!("{{{}}}", mounts.replace("IDMAP", "")), "/mounts", "init bind-mount /a/b in the root on /d");
        check(
            &format!("{{{}, {MAPPED}}}", mounts.replace("IDMAP", r#", "idmap""#)),
            "/mounts",
            "init open-source /a/b
             host id-map-mount uid 0:1000:10 gid 0:1000:10 → fd:2
             init bind-mount fd:2 on /d",
        );
    }

    #[test]
    fn a_joined_user_namespace_has_the_mappings() {
        check(
            r#"{"mounts": [{"destination": "/d", "source": "/s", "options": ["bind", "idmap"]}],
                "linux": {"namespaces": [{"type": "user", "path": "/proc/7/ns/user"}, {"type": "mount"}]}}"#,
            "/mounts",
            "host open-mount /s id-mapped as /proc/7/ns/user → fd:2\n init bind-mount fd:2 on /d",
        );
    }

    #[test]
    fn an_id_mapped_mount_has_its_own_or_the_containers_mappings() {
        check_mount(
            r#"{"destination": "/d", "source": "/s", "options": ["bind", "ridmap"],
                "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 6, "size": 1}]}"#,
            "host open-mount /s recursively id-mapped uid 0:5:1 gid 0:6:1 → fd:2
             init bind-mount fd:2 on /d",
        );
        let config = format!(
            r#"{{"mounts": [{{"destination": "/d", "source": "/s", "options": ["bind", "idmap"]}}], {MAPPED}}}"#
        );
        check(
            &config,
            "/mounts",
            "host open-mount /s id-mapped uid 0:1000:10 gid 0:1000:10 → fd:2\n init bind-mount fd:2 on /d",
        );
        refused_mount(
            r#"{"destination": "/d", "source": "/s", "options": ["bind", "idmap"]}"#,
            "/options: idmap without mappings, and the container has none",
        );
    }

    #[test]
    fn proc_is_covered_only_by_procfs_and_a_few_files() {
        check_mount(
            r#"{"destination": "/proc/meminfo", "source": "/lxcfs/meminfo", "options": ["bind"]}"#,
            "init bind-mount /lxcfs/meminfo on /proc/meminfo (in proc)",
        );
        refused_mount(
            r#"{"destination": "/proc/self/attr", "type": "tmpfs"}"#,
            r#"/destination: "/proc/self/attr" cannot be mounted because it is inside /proc"#,
        );
        refused_mount(
            r#"{"destination": "/x/../proc", "type": "tmpfs"}"#,
            r#"/destination: "/proc" cannot be mounted because it is not of type proc"#,
        );
        check_mount(
            r#"{"destination": "/proc", "source": "/proc", "options": ["rbind"]}"#,
            "init bind-mount /proc on /proc (ordinary directory) recursive",
        );
    }

    #[test]
    fn a_mount_can_be_changed() {
        check_mount(r#"{"destination": "/d", "options": ["remount", "ro", "size=1m"]}"#, "init remount /d ro size=1m");
    }

    #[test]
    fn what_is_for_a_filesystem_is_ignored_on_a_bind_mount() {
        check_mount(
            r#"{"destination": "/a", "source": "/b", "options": ["bind", "size=3", "sync"]}"#,
            "init bind-mount /b on /a",
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        refused_mount(r#"{"destination": "/"}"#, "/destination: the root filesystem cannot be mounted over");
        refused_mount(r#"{"destination": "/a"}"#, "/type: a mount that is no bind mount needs a type");
        refused_mount(r#"{"destination": "/a", "options": ["bind"]}"#, "/source: a bind mount needs a source");
    }

    const CGROUP: &str =
        r#"{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}"#;

    #[test]
    fn on_cgroup_v1_each_hierarchy_shows_the_containers_own_group() {
        let hierarchy = Hierarchy::example;
        let v1 = HostFacts {
            hierarchies: vec![
                hierarchy(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct", false),
                hierarchy(&["devices"], "/sys/fs/cgroup/devices", false),
                hierarchy(&["name=systemd"], "/sys/fs/cgroup/systemd", false),
                hierarchy(&["hugetlb", "misc"], "/sys/fs/cgroup/unified", true),
            ],
            ..facts()
        };
        check_on(
            &v1,
            &format!(r#"{{"mounts": [{CGROUP}]}}"#),
            "/mounts/0",
            "init mount tmpfs on /sys/fs/cgroup nosuid mode=755
             init bind-mount /sys/fs/cgroup/cpu,cpuacct/own/web on /sys/fs/cgroup/cpu,cpuacct ro,nosuid
             init symlink /sys/fs/cgroup/cpu → cpu,cpuacct
             init symlink /sys/fs/cgroup/cpuacct → cpu,cpuacct
             init bind-mount /sys/fs/cgroup/devices/own/web on /sys/fs/cgroup/devices ro,nosuid
             init bind-mount /sys/fs/cgroup/systemd/own/web on /sys/fs/cgroup/systemd ro,nosuid
             init bind-mount /sys/fs/cgroup/unified/own/web on /sys/fs/cgroup/unified ro,nosuid
             init remount /sys/fs/cgroup ro",
        );
        check_on(
            &v1,
            &format!(
                r#"{{"mounts": [{CGROUP}], "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "cgroup"}}]}}}}"#
            ),
            "/mounts/0",
            "init mount tmpfs on /sys/fs/cgroup nosuid mode=755
             init mount cgroup on /sys/fs/cgroup/cpu,cpuacct ro,nosuid cpu,cpuacct
             init symlink /sys/fs/cgroup/cpu → cpu,cpuacct
             init symlink /sys/fs/cgroup/cpuacct → cpu,cpuacct
             init mount cgroup on /sys/fs/cgroup/devices ro,nosuid devices
             init mount cgroup on /sys/fs/cgroup/systemd ro,nosuid none,name=systemd
             init mount-cgroup2 /sys/fs/cgroup/unified ro,nosuid or bind /sys/fs/cgroup/unified/own/web
             init remount /sys/fs/cgroup ro",
        );
    }

    #[test]
    fn on_cgroup_v2_there_is_one_hierarchy() {
        check_on(
            &facts(),
            &format!(r#"{{"mounts": [{CGROUP}]}}"#),
            "/mounts/0",
            "init mount-cgroup2 /sys/fs/cgroup ro,nosuid or bind /sys/fs/cgroup/web",
        );
        check_on(
            &facts(),
            &format!(
                r#"{{"mounts": [{CGROUP}], "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "cgroup"}}]}}}}"#
            ),
            "/mounts/0",
            "init mount-cgroup2 /sys/fs/cgroup ro,nosuid or bind /sys/fs/cgroup/web",
        );
    }

    #[test]
    fn on_cgroup_v2_a_user_namespace_without_a_cgroup_namespace_gets_its_group_bound() {
        let maps = r#""uidMappings": [{"containerID": 0, "hostID": 9, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 9, "size": 1}]"#;
        let with = |more: &str, line: &str| {
            let namespaces = format!(r#"[{{"type": "mount"}}, {{"type": "user"}}{more}]"#);
            let linux = format!(r#"{{"namespaces": {namespaces}, {maps}}}"#);
            check_on(&facts(), &format!(r#"{{"mounts": [{CGROUP}], "linux": {linux}}}"#), "/mounts/0", line);
        };
        with("", "init bind-mount /sys/fs/cgroup/web on /sys/fs/cgroup ro,nosuid");
        with(r#", {"type": "cgroup"}"#, "init mount-cgroup2 /sys/fs/cgroup ro,nosuid or bind /sys/fs/cgroup/web");
    }

    #[track_caller]
    fn added(spec: &str, mounts: &str) -> crate::Result<String> {
        added_on(&facts(), spec, mounts)
    }

    fn added_on(facts: &HostFacts, spec: &str, mounts: &str) -> crate::Result<String> {
        let mounts = crate::Bundle::mounts_from_slice(mounts.as_bytes()).unwrap();
        crate::plan::add_mounts("/bundle".as_ref(), &crate::plan::tests::spec_of(spec), mounts, facts)
            .map(|plan| crate::plan::tests::text_of(&plan, ""))
    }

    #[track_caller]
    fn check_added(spec: &str, mounts: &str, lines: &str) {
        let expected = lines.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert_eq!(added(spec, mounts).unwrap(), expected);
    }

    #[test]
    fn what_is_added_to_a_running_container_is_noted_before_it_is_attached() {
        check_added(
            r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}]}}"#,
            r#"[{"destination": "/data", "source": "/srv", "options": ["rbind", "ro"]},
                {"destination": "/t", "type": "tmpfs", "options": ["ro", "size=1m"]},
                {"destination": "/in", "source": "rootfs/etc", "options": ["bind"]}]"#,
            "host clone
             host open-process → fd:0
             init set-undumpable
             init join-process fd:0 ipc,mount
             host open-mount /srv recursive → fd:1
             init show-mount fd:1
             host note-mount /data → fd:2
             init bind-mount fd:2 on /data ro,suid,dev,exec,symfollow
             init make-mount tmpfs for /t size=1m
             host note-mount /t → fd:3
             init bind-mount fd:3 on /t ro
             init open-source /etc
             host note-mount /in → fd:4
             init bind-mount fd:4 on /in
             host meet",
        );
    }

    #[test]
    fn only_a_procfs_takes_the_pid_namespace_and_only_where_it_cannot_be_made_from_outside() {
        let spec = r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}}"#;
        let able = HostFacts { procfs_of_another: true, ..facts() };
        let lines = added_on(&able, spec, r#"[{"destination": "/p", "type": "proc"}]"#).unwrap();
        let made = "open-pid-namespace fd:0\ninit join-process fd:0 mount\ninit make-mount proc for /p pidns";
        assert!(lines.contains(made) && !lines.contains("fork"), "{lines}");
        let lines = added(spec, r#"[{"destination": "/p", "type": "proc"}]"#).unwrap();
        assert!(lines.contains("join-process fd:0 pid,mount\ninit fork"), "{lines}");
        let lines = added(spec, r#"[{"destination": "/p", "type": "tmpfs"}]"#).unwrap();
        assert!(lines.contains("join-process fd:0 mount\n") && !lines.contains("fork"), "{lines}");
    }

    #[test]
    fn they_are_looked_for_before_any_is_taken_away_the_last_first() {
        let spec = crate::plan::tests::spec_of(r#"{"linux": {"namespaces": [{"type": "mount"}]}}"#);
        let mounts = [("/a".into(), 1), ("/a/b".into(), 2)];
        let plan = crate::plan::remove_mounts("/bundle".as_ref(), &spec, &mounts, &facts()).unwrap();
        let lines = crate::plan::tests::text_of(&plan, "/");
        let all = "init find-mount /a 0x1\ninit find-mount /a/b 0x2\ninit unmount /a/b 0x2\ninit unmount /a 0x1";
        assert!(lines.ends_with(all), "{lines}");
    }

    #[test]
    fn without_privilege_no_source_of_the_hosts_reaches_a_running_container() {
        let user = HostFacts { euid: 1000, ..HostFacts::default() };
        let spec = crate::plan::tests::spec_of("{}");
        let mounts =
            crate::Bundle::mounts_from_slice(br#"[{"destination": "/a", "source": "/b", "options": ["bind"]}]"#);
        let error = crate::plan::add_mounts("/bundle".as_ref(), &spec, mounts.unwrap(), &user).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(error.to_string().contains("/0/source: to bring it into a container"), "{error}");
    }
}
