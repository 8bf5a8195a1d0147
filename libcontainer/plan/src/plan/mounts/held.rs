//! Mounts that a later line changes. Init keeps the descriptor of each from line to line: a path would be looked up again, and who
//! has renamed directories of a shared volume meanwhile would have another mount changed instead.
use super::super::line::{InitStep, Line};
use super::super::mount_options::RDONLY;
use super::super::{Slots, block, init, namespaces};
use super::Entry;
use crate::Result;
use std::path::PathBuf;
use step::{Attributes, Mounted, Options, Slot};

#[derive(Default)]
pub(super) struct Held {
    mounts: Vec<Mount>,
    /// How often the mount at hand is still remounted.
    remounts: usize,
}

struct Mount {
    target: PathBuf,
    slot: Slot,
    remounts: usize,
    /// The filesystem itself is read-only, not only this view of it.
    readonly_filesystem: bool,
    /// What is changed when everything is in its place, and because of what.
    finally: Option<(Attributes, Options<Vec<u8>>, String)>,
}

/// What a remount is of.
pub(super) struct Found {
    pub(super) mount: Slot,
    pub(super) keep: bool,
    pub(super) readonly_filesystem: bool,
}

impl Held {
    /// Counts the remounts of the first entry, until something else is mounted over it.
    pub(super) fn look_ahead(&mut self, entries: &[Entry]) {
        let Some((entry, rest)) = entries.split_first() else { return };
        let there = rest.iter().filter(|other| other.target == entry.target);
        self.remounts = there.take_while(|other| other.options.remount).count();
    }

    /// Whether init has to keep the mount of this entry, for its remounts or to make it read-only in the end.
    pub(super) fn keep(&mut self, entry: &Entry, slots: &mut Slots, more: Keep) -> Result<bool> {
        let Keep { readonly_filesystem, readonly_finally } = more;
        let finally = readonly_finally.then(|| entry.read_only()).transpose()?;
        if self.remounts == 0 && finally.is_none() {
            return Ok(false);
        }
        // Some room is for what the host sends.
        if self.mounts.len() == step::HELD - step::DESCRIPTORS {
            return Err(entry.wrong("", "too many mounts are read-only or remounted"));
        }
        let (target, slot, remounts) = (entry.target.clone(), slots.take()?, self.remounts);
        self.mounts.push(Mount { target, slot, remounts, readonly_filesystem, finally });
        Ok(true)
    }

    /// The mount that a remount is of, if it is one of config.json's.
    pub(super) fn find(&mut self, remount: &Entry, slots: &mut Slots) -> Result<Option<Found>> {
        let mut of = self.mounts.iter_mut().rev();
        let Some(held) = of.find(|held| held.target == remount.target && held.remounts > 0) else { return Ok(None) };
        held.remounts -= 1;
        let keep = held.remounts > 0 || held.finally.is_some();
        let mount = held.slot;
        if keep {
            held.slot = slots.take()?;
        }
        Ok(Some(Found { mount, keep, readonly_filesystem: held.readonly_filesystem }))
    }

    pub(super) fn finally(self) -> Vec<Line> {
        let due = self.mounts.into_iter().filter_map(|held| held.finally.map(|finally| (held.slot, finally)));
        due.map(|(slot, (attributes, options, origin))| {
            let step = InitStep::Remount {
                mount: Mounted::Held(slot),
                attributes,
                recursive_attributes: Attributes::default(),
                propagation: 0,
                options,
                keep: false,
            };
            init(step, origin)
        })
        .collect()
    }
}

/// Why else a mount is kept, and what is to be known of it.
#[derive(Default)]
pub(super) struct Keep {
    pub(super) readonly_filesystem: bool,
    pub(super) readonly_finally: bool,
}

impl Entry<'_> {
    fn read_only(&self) -> Result<(Attributes, Options<Vec<u8>>, String)> {
        // Without a mount namespace the mounts are attached nowhere, and only their filesystems can be changed.
        let (attributes, options) = if self.context.namespaces.has(namespaces::MOUNT) {
            (Attributes { set: RDONLY, clear: 0 }, Vec::new())
        } else {
            (Attributes::default(), block(["ro"], &self.origin)?)
        };
        Ok((attributes, Options::Each(options), self.origin.clone()))
    }
}
