//! Views of the control groups.
use super::super::cgroup::CgroupPlan;
use super::super::line::InitStep;
use super::super::mount_options::RDONLY;
use super::super::{Slots, block, init, namespaces, z};
use super::held::{Held, Keep};
use super::{Entry, Mounts, all};
use crate::facts::Hierarchy;
use crate::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use step::{Attributes, Link, Options, Source, Target};

/// cgroups(7), "Mounting" and Documentation/admin-guide/cgroup-v2.rst: options of the hierarchy, of which there is one.
const OPTIONS: [&str; 6] = [
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
];

impl Mounts {
    /// A view of the container's own groups; of cgroup v2 without a cgroup namespace one of all.
    pub(super) fn cgroup(
        &mut self,
        entry: &Entry,
        cgroup: &CgroupPlan,
        held: &mut Held,
        slots: &mut Slots,
    ) -> Result<()> {
        let hierarchies = &entry.context.facts.hierarchies;
        let all: Vec<_> = hierarchies.iter().zip(&cgroup.mount_view).collect();
        let unified = all.iter().find(|(hierarchy, _)| hierarchy.unified);
        let known = |option: &str| OPTIONS.contains(&option) && unified.is_some();
        if let Some((index, option)) = entry.options.data.iter().find(|(_, option)| !known(option)) {
            return Err(entry.wrong(&format!("/options/{index}"), format!("a cgroup mount has no option \"{option}\"")));
        }
        let v1 = all.iter().any(|(hierarchy, _)| !hierarchy.unified);
        match unified {
            _ if v1 && entry.fstype() == "cgroup" => self.cgroup_v1(entry, &all, held, slots),
            Some((hierarchy, own)) => {
                let step = entry.cgroup_v2(hierarchy, own, held.keep(entry, slots, Keep::default())?)?;
                self.lines.push(init(step, &*entry.origin));
                Ok(())
            }
            None => {
                let message = "no such cgroup hierarchy is mounted on this host";
                Err(entry.wrong("", message).with_kind(ErrorKind::Unsupported))
            }
        }
    }

    /// A tmpfs with a mount for each hierarchy, and a link for each controller that shares one: what every host has.
    fn cgroup_v1(
        &mut self,
        entry: &Entry,
        own: &[(&Hierarchy, &PathBuf)],
        held: &mut Held,
        slots: &mut Slots,
    ) -> Result<()> {
        if let Some((index, option)) = entry.options.data.first() {
            let message = format!("\"{option}\" is for cgroup v2, and this host has v1");
            return Err(entry.wrong(&format!("/options/{index}"), message));
        }
        let origin = &*entry.origin;
        let readonly = all(&entry.options).set & RDONLY != 0;
        let tmpfs = InitStep::Mount {
            fstype: z("tmpfs", origin)?,
            source: z("tmpfs", origin)?,
            target: entry.target_z()?,
            kind: entry.target_kind()?,
            options: Options::Each(block(["mode=755"], origin)?),
            attributes: Attributes { set: all(&entry.options).set & !RDONLY, clear: 0 },
            propagation: entry.options.propagation,
            copy_up: false,
            or_bind: None,
            keep: held.keep(entry, slots, Keep { readonly_finally: readonly, ..Keep::default() })?,
        };
        self.lines.push(init(tmpfs, origin));
        for (hierarchy, own) in own {
            let joined = hierarchy.controllers.join(",");
            // As the host calls it: `name=systemd` is mounted at `systemd`, the v2 side of a hybrid host at `unified`.
            let name = if hierarchy.unified { "unified" } else { joined.trim_start_matches("name=") };
            self.lines.push(init(entry.cgroup_in_tmpfs(hierarchy, own, &entry.target.join(name))?, origin));
            let shared = !hierarchy.unified && hierarchy.controllers.len() > 1;
            for controller in hierarchy.controllers.iter().filter(|_| shared) {
                let (path, target) = (z(entry.target.join(controller), origin)?, z(name, origin)?);
                self.lines.push(init(InitStep::Symlink { target, path, replace: false }, origin));
            }
        }
        Ok(())
    }
}

impl Entry<'_> {
    /// One of the hierarchies of a host with v1.
    fn cgroup_in_tmpfs(&self, hierarchy: &Hierarchy, own: &Path, target: &Path) -> Result<InitStep> {
        let origin = &*self.origin;
        let attributes = Attributes { set: all(&self.options).set, clear: 0 };
        let propagation = self.options.propagation;
        if !self.context.namespaces.has(namespaces::CGROUP) {
            return self.bound_group(own, target, attributes, false);
        }
        let (target, keep) = (z(target, origin)?, false);
        if hierarchy.unified {
            let (options, fallback) = (Vec::new(), z(own, origin)?);
            return Ok(InitStep::MountCgroup2 { target, options, attributes, propagation, fallback, keep });
        }
        // Its root is the container's group.
        let controllers = hierarchy.controllers.iter().map(String::as_str);
        let named = controllers.clone().any(|name| name.starts_with("name=")).then_some("none");
        Ok(InitStep::Mount {
            fstype: z("cgroup", origin)?,
            source: z("cgroup", origin)?,
            target,
            kind: Target::Any,
            options: Options::Each(block(named.into_iter().chain(controllers), origin)?),
            attributes,
            propagation,
            copy_up: false,
            or_bind: None,
            keep,
        })
    }

    fn cgroup_v2(&self, hierarchy: &Hierarchy, own: &Path, keep: bool) -> Result<InitStep> {
        let namespaces = &self.context.namespaces;
        let attributes = all(&self.options);
        if namespaces.is_new(namespaces::USER) && !namespaces.has(namespaces::CGROUP) {
            // A new mount is for the owner of the cgroup namespace. (And what is bound, a checkpoint leaves to the host.)
            return self.bound_group(own, &self.target, attributes, keep);
        }
        if !namespaces.has(namespaces::CGROUP) && !self.context.in_user_namespace() {
            // All of the hierarchy. A new mount would set its options anew for the whole host: in the first cgroup namespace they
            // are those of the last mount (`cgroup_get_tree()`). Bound, it has those that the host gave it.
            let writable = Attributes { set: attributes.set, clear: attributes.clear | RDONLY & !attributes.set };
            return self.bound_group(&hierarchy.mount, &self.target, writable, keep);
        }
        // Its own group and nothing above it, whatever a new mount would show (CVE-2023-25809). Options are those of the host
        // in a cgroup namespace too, and the kernel only looks whether it knows them.
        let options = block(self.options.data.iter().map(|(_, option)| *option), &self.origin)?;
        let (target, fallback, propagation) = (self.target_z()?, z(own, &self.origin)?, self.options.propagation);
        Ok(InitStep::MountCgroup2 { target, options, attributes, propagation, fallback, keep })
    }

    fn bound_group(&self, group: &Path, target: &Path, attributes: Attributes, keep: bool) -> Result<InitStep> {
        Ok(InitStep::BindMount {
            source: Source::Path(z(group, &self.origin)?),
            target: z(target, &self.origin)?,
            kind: Target::Any,
            recursive: false,
            attributes,
            recursive_attributes: Attributes::default(),
            propagation: self.options.propagation,
            link: Link::Follow,
            keep,
        })
    }
}
