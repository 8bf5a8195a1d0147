//! [Mounts](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#mounts)
#![forbid(unsafe_code)]

use super::cgroup::CgroupPlan;
use super::line::{Action, HostStep, InitStep, Line};
use super::mount_options::{ATIME, Options, RDONLY, parse};
use super::{Context, Slots, given, host, init, z};
use crate::{Error, ErrorKind, Result};
use held::Held;
use oci_spec::runtime::Mount;
use std::path::{Component, Path, PathBuf};
use step::{Attributes, Link, Source, Target};

mod bind;
mod cgroup;
mod filesystem;
mod held;
#[cfg(test)]
mod tests;

/// The lines of all mounts, by when they are due.
#[derive(Default)]
pub(super) struct Mounts {
    /// The mounts, in the order of config.json. A source that the host opens is opened just before: a descriptor is
    /// open no longer than it has to be, however many mounts there are.
    pub(super) lines: Vec<Line>,
    /// What has to wait until everything is in its place.
    pub(super) finally: Vec<Line>,
}

pub(super) fn plan(context: &Context, cgroup: &CgroupPlan, slots: &mut Slots) -> Result<Mounts> {
    let entries = context.spec.mounts().iter().flatten().enumerate();
    let entries = entries.map(|(index, mount)| Entry::new(context, mount, format!("/mounts/{index}")));
    let entries = entries.collect::<Result<Vec<_>>>()?;
    let (mut mounts, mut held) = (Mounts::default(), Held::default());
    for (index, entry) in entries.iter().enumerate() {
        held.look_ahead(&entries[index..]);
        if entry.options.remount {
            mounts.remount(entry, &mut held, slots)?;
        } else if entry.is_bind() {
            mounts.bind(entry, &mut held, slots)?;
        } else if entry.fstype() == "cgroup" || entry.fstype() == "cgroup2" {
            mounts.cgroup(entry, cgroup, &mut held, slots)?;
        } else {
            mounts.filesystem(entry, &mut held, slots)?;
        }
    }
    mounts.finally = held.finally();
    Ok(mounts)
}

/// `settled` brings init into the container's group: before the first mount that shows the group, or has its pages charged to
/// it. The ones before are made while systemd is at it.
pub(super) fn once_settled(mut mounts: Vec<Line>, settled: Vec<Line>) -> Vec<Line> {
    let waits = |line: &Line| match &line.action {
        Action::Init(InitStep::MountCgroup2 { .. }) => true,
        Action::Init(InitStep::Mount { fstype, copy_up, .. }) => *copy_up || fstype.0.as_bytes().starts_with(b"cgroup"),
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
            |what: &str| entry.wrong("", format!("{what} of a container that runs")).with_kind(ErrorKind::Unsupported);
        if entry.options.remount {
            return Err(refused("there is no remount of the mounts"));
        } else if !entry.is_bind() && matches!(entry.fstype(), "cgroup" | "cgroup2") {
            return Err(refused("no view of the control groups becomes a mount"));
        } else if entry.options.copy_symlink {
            return Err(refused("copy-symlink makes no mount, and so none"));
        }
        lines.extend(entry.add(slots)?);
    }
    Ok(lines)
}

/// `path` without `.`, `..` and doubled slashes, as Go's `filepath.Clean` has it: no link is looked at, a relative path is
/// relative to `/`, and `..` stops there.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
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
pub fn is_bind(mount: &Mount) -> bool {
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
        entry.options_fit()?;
        Ok(entry)
    }

    /// What is asked for is done, or refused: none of it is left out.
    fn options_fit(&self) -> Result<()> {
        let (options, bind) = (&self.options, self.is_bind() && !self.options.remount);
        let wrong = |message: &str| Err(self.wrong("/options", message));
        if options.copy_up && (bind || options.remount || self.fstype() != "tmpfs") {
            return wrong("tmpcopyup is for a tmpfs");
        }
        if !bind && (options.copy_symlink || options.source_nofollow || options.target_nofollow) {
            return wrong("copy-symlink, src-nofollow and dest-nofollow are for bind mounts");
        }
        if options.copy_symlink && (options.source_nofollow || options.target_nofollow) {
            return wrong("copy-symlink excludes src-nofollow and dest-nofollow");
        }
        if options.remount && self.id_mapped().is_some() {
            return wrong("a mount that is there already cannot be id-mapped");
        }
        Ok(())
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
        self.options.id_map.map(|map| map.recursive).or(mapped.then_some(false))
    }

    fn fstype_z(&self) -> Result<step::ZString> {
        z(self.fstype(), &format!("{}/type", self.origin))
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
            Err(_) if self.options.target_nofollow => Ok(Target::Link),
            Err(_) => Ok(Target::Any),
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
            let (recursive, link) = (self.options.bind == Some(true), self.link());
            let show = match source {
                Source::Slot(slot) => InitStep::ShowMount { slot },
                Source::Inside(path) | Source::Path(path) => InitStep::OpenSource { path, recursive, link },
            };
            lines.push(init(show, &*self.origin));
            self.options.bind_attributes(self.context.in_user_namespace())
        } else {
            // The filesystem, not only this view of it, as at create; of a tmpfs, which may have to be filled, the view.
            let readonly = attributes.set & RDONLY != 0 && self.fstype() != "tmpfs";
            let namespaces = &self.context.namespaces;
            let another =
                self.is_procfs() && namespaces.has(super::namespaces::PID) && self.context.facts.procfs_of_another;
            let of_another = another.then_some(PID_NAMESPACE);
            let make = InitStep::MakeMount {
                fstype: self.fstype_z()?,
                source: z(self.filesystem_source(), &format!("{}/source", self.origin))?,
                target: self.target_z()?,
                options: self.filesystem_options(readonly, attributes, of_another)?,
                copy_up: self.options.copy_up,
            };
            lines.push(init(make, &*self.origin));
            only_set(attributes)
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
            link: Link::Follow,
            keep: false,
        };
        lines.push(init(attach, &*self.origin));
        Ok(lines)
    }
}

/// A new mount has nothing below it: `rro` is `ro`.
fn all(options: &Options) -> Attributes {
    let (own, recursive) = (options.attributes, options.recursive_attributes);
    Attributes { set: own.set | recursive.set, clear: own.clear | recursive.clear }
}

/// What is set, and of what is cleared only the field of access times, without which none of them can be set.
fn only_set(attributes: Attributes) -> Attributes {
    Attributes { set: attributes.set, clear: attributes.clear & ATIME }
}
