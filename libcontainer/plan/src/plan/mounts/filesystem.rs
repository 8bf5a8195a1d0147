//! Mounts of a filesystem, and changes of what is mounted.
use super::super::line::InitStep;
use super::super::mount_options::{MOUNT_FLAGS, RDONLY};
use super::super::{Slots, block, given, init, namespaces, z};
use super::held::{Held, Keep};
use super::{Entry, Mounts, PID_NAMESPACE, all, only_set};
use crate::{Error, Result};
use std::path::Path;
use step::{Attributes, Link, Mounted, Options, Target};

/// An annotation of crun's: which of the options of mount(8), "SELinux", carries the label. `context` labels every file for good;
/// Podman asks for `rootcontext` where the container may label files itself.
const CONTEXT_TYPE: &str = "run.oci.mount_context_type";

/// Longer strings fsconfig(2) does not take (SYSCALL_DEFINE5(fsconfig): 256 with the NUL).
const LONGEST: usize = 255;
/// mount(2) takes a page of options, with a NUL.
const PAGE: usize = 4096;

const SYSFS: &str = "/sys";

impl Mounts {
    pub(super) fn filesystem(&mut self, entry: &Entry, held: &mut Held, slots: &mut Slots) -> Result<()> {
        if entry.is_hosts_sysfs() {
            return self.hosts_sysfs(entry, held, slots);
        }
        let mut attributes = all(&entry.options);
        let mut keep = Keep::default();
        if attributes.set & RDONLY != 0 {
            // Targets of later mounts and device nodes have to be made inside first.
            if entry.fstype() == "tmpfs" || entry.target == Path::new("/dev") {
                attributes.set &= !RDONLY;
                keep.readonly_finally = true;
            } else {
                // The filesystem, not only this view of it, as mount(2) does.
                keep.readonly_filesystem = true;
            }
        }
        let of_another = (entry.is_procfs() && entry.context.forks_late()).then_some(PID_NAMESPACE);
        let step = InitStep::Mount {
            fstype: entry.fstype_z()?,
            source: z(entry.filesystem_source(), &format!("{}/source", entry.origin))?,
            target: entry.target_z()?,
            kind: entry.target_kind()?,
            options: entry.filesystem_options(keep.readonly_filesystem, attributes, of_another)?,
            attributes: Attributes { set: attributes.set, clear: 0 },
            propagation: entry.options.propagation,
            copy_up: entry.options.copy_up,
            or_bind: entry.may_be_hosts_sysfs().then(|| z(SYSFS, &entry.origin)).transpose()?,
            keep: held.keep(entry, slots, keep)?,
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }

    /// Where no new one can be had: the host's with all that is mounted below, of which nothing can be changed.
    fn hosts_sysfs(&mut self, entry: &Entry, held: &mut Held, slots: &mut Slots) -> Result<()> {
        let (opened, source) = entry.open_path(Path::new(SYSFS), true, None, slots, false)?;
        self.lines.extend(opened);
        let step = InitStep::BindMount {
            source,
            target: entry.target_z()?,
            kind: Target::OrdinaryDirectory,
            recursive: true,
            attributes: Attributes::default(),
            recursive_attributes: only_set(all(&entry.options)),
            propagation: entry.options.propagation,
            link: Link::Follow,
            keep: held.keep(entry, slots, Keep::default())?,
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }

    pub(super) fn remount(&mut self, entry: &Entry, held: &mut Held, slots: &mut Slots) -> Result<()> {
        let found = held.find(entry, slots)?;
        let attributes = entry.options.attributes;
        let mut options = entry.filesystem_options(false, attributes, None)?;
        // What is to be writable again is read-only twice.
        let writable = attributes.clear & RDONLY != 0 && found.as_ref().is_some_and(|found| found.readonly_filesystem);
        if let (Options::Each(options), true) = (&mut options, writable) {
            options.extend(block(["rw"], &entry.origin)?);
        }
        let step = InitStep::Remount {
            keep: found.as_ref().is_some_and(|found| found.keep),
            mount: match found {
                Some(found) => Mounted::Held(found.mount),
                None => Mounted::At(entry.target_z()?),
            },
            attributes,
            recursive_attributes: entry.options.recursive_attributes,
            propagation: entry.options.propagation,
            options,
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }
}

impl Entry<'_> {
    /// A sysfs shows the devices of a network namespace, and belongs to that one's user namespace: root of another may not mount it.
    /// A user namespace that is made now owns no network namespace that has been there before.
    fn is_hosts_sysfs(&self) -> bool {
        let namespaces = &self.context.namespaces;
        self.may_be_hosts_sysfs() && namespaces.is_new(namespaces::USER) && !namespaces.is_new(namespaces::NETWORK)
    }

    /// Who owns a namespace that is joined, and whether something covers a part of the host's `/sys` (`mount_too_revealing()`), only
    /// the kernel knows. What is to be writable is not the host's.
    fn may_be_hosts_sysfs(&self) -> bool {
        let readonly = all(&self.options).set & RDONLY != 0;
        self.fstype() == "sysfs" && readonly && self.context.in_user_namespace()
    }

    /// What the filesystem gets to hear. A new one is `readonly` itself, not only this view of it; `attributes` are those of its mount.
    pub(super) fn filesystem_options(
        &self,
        readonly: bool,
        attributes: Attributes,
        more: Option<&'static str>,
    ) -> Result<Options<Vec<u8>>> {
        let new = !self.options.remount;
        let mut flags = self.options.filesystem.clone();
        flags.extend(readonly.then_some("ro"));
        flags.extend(more);
        let label = self.label()?.filter(|_| new);
        let data = || self.options.data.iter().map(|(_, option)| *option);
        let is_long = |option: &str| unquoted(option).split_once('=').is_some_and(|(_, value)| value.len() > LONGEST);
        let long_source = new && self.filesystem_source().as_os_str().len() > LONGEST;
        if long_source || label.as_ref().is_some_and(|(_, label)| label.len() > LONGEST) || data().any(is_long) {
            // Here quotes hold a value together.
            let label = label.map(|(key, label)| format!("{key}=\"{label}\""));
            let data = data().chain(label.as_deref()).collect::<Vec<_>>().join(",");
            if data.len() >= PAGE {
                let message = format!("{} bytes of options: mount(2) takes {}", data.len(), PAGE - 1);
                return Err(self.wrong("/options", message));
            }
            let attributes = Attributes { set: if new { attributes.set } else { 0 }, clear: 0 };
            return Ok(Options::Whole { flags: mount_flags(&flags, attributes), data: block([data], &self.origin)? });
        }
        if !new {
            flags.extend(&self.options.filesystem_off);
        }
        let mut options = block(flags, &self.origin)?;
        options.extend(block(label.map(|(key, label)| format!("{key}={label}")), &self.origin)?);
        // mount(2) cuts it from the type for itself.
        let subtype = self.fstype().split_once('.').filter(|_| new).map(|(_, subtype)| format!("subtype={subtype}"));
        options.extend(block(subtype, &self.origin)?);
        for (index, option) in &self.options.data {
            options.extend(block([unquoted(option)], &format!("{}/options/{index}", self.origin))?);
        }
        Ok(Options::Each(options))
    }

    /// What `/proc/self/mountinfo` shows as the source.
    pub(super) fn filesystem_source(&self) -> &Path {
        let source = self.mount.source().as_deref().filter(|source| !source.as_os_str().is_empty());
        source.unwrap_or(Path::new(self.fstype()))
    }

    /// `linux.mountLabel`, for filesystems whose files have labels of their own to give. Those of proc, sysfs, cgroup
    /// and mqueue come from the policy.
    fn label(&self) -> Result<Option<(&str, &str)>> {
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
        Ok(Some((kind, label)))
    }
}

/// Quotes hold a value together for mount(2), which takes all options as one string; fsconfig(2) takes one.
fn unquoted(option: &str) -> String {
    let unquoted = option.split_once("=\"").and_then(|(key, value)| Some((key, value.strip_suffix('"')?)));
    unquoted.map_or_else(|| option.to_owned(), |(key, value)| format!("{key}={value}"))
}

/// `MS_*`, of the filesystem's flags and the mount's.
fn mount_flags(filesystem: &[&str], attributes: Attributes) -> u32 {
    let of_attributes = MOUNT_FLAGS.iter().filter(|(_, bit, _)| attributes.set & bit != 0);
    let of_names = MOUNT_FLAGS.iter().filter(|(name, ..)| filesystem.contains(name));
    of_attributes.chain(of_names).fold(0, |flags, (_, _, flag)| flags | flag)
}
