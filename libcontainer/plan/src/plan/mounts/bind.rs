//! Bind mounts: where the source is opened, and by whom.
use super::super::line::{HostStep, IdMap, IdMappedMount, InitStep, Line, ZString};
use super::super::mount_options::SHARED;
use super::super::{Slots, host, id_mappings, init, namespaces, root, z};
use super::held::{Held, Keep};
use super::{Entry, Mounts, below_root, clean};
use crate::{ErrorKind, Result};
use oci_spec::runtime::LinuxIdMapping;
use std::path::Path;
use step::{Link, Source};

impl Mounts {
    pub(super) fn bind(&mut self, entry: &Entry, held: &mut Held, slots: &mut Slots) -> Result<()> {
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
            link: entry.link(),
            // Where a link is copied nothing is mounted.
            keep: !options.copy_symlink && held.keep(entry, slots, Keep::default())?,
        };
        self.lines.push(init(step, &*entry.origin));
        Ok(())
    }
}

impl Entry<'_> {
    pub(super) fn link(&self) -> Link {
        match (self.options.copy_symlink, self.options.source_nofollow) {
            (true, _) => Link::Copy,
            (_, true) => Link::Bind,
            _ => Link::Follow,
        }
    }

    pub(super) fn warn_of_ignored(&self) {
        let data = self.options.data.iter().map(|(_, option)| *option);
        for option in self.options.filesystem.iter().copied().chain(data) {
            // As mount(2) does; but say so.
            log::warn!("{}: {option} is a matter of the filesystem, not of a bind mount: ignored", self.origin);
        }
    }

    /// The source of a bind mount, and the lines that open it. In a container that is `running` init does not see the host's.
    pub(super) fn open(&self, slots: &mut Slots, running: bool) -> Result<(Vec<Line>, Source<ZString>)> {
        let source = self.mount.source().as_deref().filter(|source| !source.as_os_str().is_empty());
        let source = source.ok_or_else(|| self.wrong("/source", "a bind mount needs a source"))?;
        let source = self.context.bundle.join(source);
        let id_map = self.id_mapped().map(|recursive| self.id_map(&source, recursive)).transpose()?;
        self.open_path(&source, self.options.bind == Some(true), id_map, slots, running)
    }

    pub(super) fn open_path(
        &self,
        path: &Path,
        recursive: bool,
        id_map: Option<IdMappedMount>,
        slots: &mut Slots,
        running: bool,
    ) -> Result<(Vec<Line>, Source<ZString>)> {
        let options = &self.options;
        let link = self.link();
        // Root of the container's user namespace may not pass a 0700 directory of the host; its own mount
        // namespace does not let it clone a mount alone that has others below either.
        let reachable = !self.context.namespaces.has(namespaces::USER);
        // Engines ask for both where the container's mounts are to reach the host; in the container's copy of the
        // tree nothing is shared with it any more.
        let shared = options.propagation & SHARED != 0 && root::is_shared(self.context)?;
        let privileged = self.context.facts.privileged;
        let by_host = running || id_map.is_some() || privileged && (shared || !reachable);
        let inside = below_root(self.context, &clean(path)).filter(|_| link != Link::Copy);
        let origin = format!("{}/source", self.origin);
        let mut lines = Vec::new();
        let source = match (inside, id_map) {
            // What the mounts before this one have put there is seen by nobody but init.
            (Some(inside), None) => Source::Inside(z(inside, &origin)?),
            (Some(inside), Some(id_map)) => {
                lines.push(init(InitStep::OpenSource { path: z(inside, &origin)?, recursive, link }, &*self.origin));
                lines.push(host(HostStep::IdMapMount { id_map }, &*self.origin));
                Source::Slot(slots.take()?)
            }
            (None, _) if running && !privileged => {
                let message = "to bring it into a container that runs needs CAP_SYS_ADMIN on the host";
                return Err(self.wrong("/source", message).with_kind(ErrorKind::Unsupported));
            }
            (None, id_map) if by_host && link != Link::Copy => {
                let open = HostStep::OpenMount { source: path.to_owned(), recursive, link, shared, id_map };
                lines.push(host(open, &*self.origin));
                Source::Slot(slots.take()?)
            }
            (None, _) => Source::Path(z(path, &origin)?),
        };
        Ok((lines, source))
    }

    fn id_map(&self, source: &Path, recursive: bool) -> Result<IdMappedMount> {
        if !self.context.facts.privileged {
            let message = "an id-mapped mount needs CAP_SYS_ADMIN on the host";
            return Err(self.wrong("", message).with_kind(ErrorKind::Unsupported));
        }
        if self.options.copy_symlink {
            return Err(self.wrong("/options", "copy-symlink and idmap exclude each other"));
        }
        let own = |maps: &Option<Vec<_>>| id_mappings::maps(maps.as_deref());
        let (mut uid, mut gid) = (own(self.mount.uid_mappings()), own(self.mount.gid_mappings()));
        if uid.is_empty() != gid.is_empty() {
            let missing = if uid.is_empty() { "/uidMappings" } else { "/gidMappings" };
            return Err(self.wrong(missing, "uidMappings and gidMappings come together"));
        }
        if let Some(maps) = self.option_maps()? {
            if !uid.is_empty() && (&uid, &gid) != (&maps.0, &maps.1) {
                return Err(self.wrong("/options", "idmap=… says something else than uidMappings and gidMappings"));
            }
            (uid, gid) = maps;
        }
        // "If none is given, the mappings of the container's user namespace" (config.md).
        if uid.is_empty() {
            (uid, gid) = id_mappings::of(self.context.spec);
        }
        let (source, target) = (source.to_owned(), self.target.clone());
        let joined = self.context.namespaces.joined(namespaces::USER).map(Path::to_owned);
        match (uid.is_empty(), gid.is_empty()) {
            (false, false) => Ok(IdMappedMount { uid, gid, of: None, recursive, source, target }),
            (true, true) if joined.is_some() => Ok(IdMappedMount { uid, gid, of: joined, recursive, source, target }),
            _ => Err(self.wrong("/options", "idmap without mappings, and the container has none")),
        }
    }

    /// Those of `idmap=uids=0-1-10#10-11-10;gids=0-100-10`, crun's.
    fn option_maps(&self) -> Result<Option<(Vec<IdMap>, Vec<IdMap>)>> {
        let Some(option) = self.options.id_map.filter(|option| !option.maps.is_empty()) else { return Ok(None) };
        let wrong = |what: String| self.wrong(&format!("/options/{}", option.index), what);
        let linux = self.context.linux();
        let (mut uid, mut gid) = (Vec::new(), Vec::new());
        for part in option.maps.split(';').filter(|part| !part.is_empty()) {
            let (maps, text, container) = match part.split_once('=') {
                Some(("uids", text)) => (&mut uid, text, linux.and_then(|linux| linux.uid_mappings().as_deref())),
                Some(("gids", text)) => (&mut gid, text, linux.and_then(|linux| linux.gid_mappings().as_deref())),
                _ => return Err(wrong(format!("{part:?} is neither uids=… nor gids=…"))),
            };
            for triplet in text.split('#').filter(|triplet| !triplet.is_empty()) {
                maps.push(id_map(triplet, container.unwrap_or_default()).map_err(wrong)?);
            }
        }
        if uid.is_empty() || gid.is_empty() {
            return Err(wrong("an id-mapped mount needs both uids=… and gids=…".to_owned()));
        }
        Ok(Some((uid, gid)))
    }
}

/// `0-1-10`: ten ids, from 0 of the filesystem on, are seen as 1 and so on. After an `@` the second number is one of the container's.
fn id_map(triplet: &str, container: &[LinuxIdMapping]) -> std::result::Result<IdMap, String> {
    let (relative, numbers) = triplet.strip_prefix('@').map_or((false, triplet), |numbers| (true, numbers));
    let numbers: Vec<u32> =
        numbers.split('-').map(str::parse).collect::<std::result::Result<_, _>>().unwrap_or_default();
    let [container_id, mut host_id, size] = numbers[..] else {
        return Err(format!("{triplet:?} is not three numbers, as 0-1000-1"));
    };
    if relative {
        let maps = id_mappings::maps(Some(container));
        let offset = |map: &IdMap| host_id.checked_sub(map.container_id).filter(|offset| *offset < map.size);
        let found = maps.iter().find_map(|map| map.host_id.checked_add(offset(map)?));
        host_id = found.ok_or_else(|| format!("{triplet:?} is relative to a mapping that the container has not"))?;
    }
    Ok(IdMap { container_id, host_id, size })
}
