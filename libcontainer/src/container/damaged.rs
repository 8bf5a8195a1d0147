//! `delete --force` of a container whose record cannot be read: after a power failure, or a hand that has slipped.
//!
//! What still tells of it is its name, config.json, a link that says who its init is, and who is in the groups that a container of
//! this config has. Somebody else's processes are not killed for it: then the groups stay, and it is said.
use super::Container;
use crate::plan::{self, Plan, PlanOptions, asked_namespace};
use crate::store::{CONFIG, Folder, Found, Life, ProcessId, Record, Store};
use crate::{Bundle, CgroupManager, Error, ErrorKind, HostFacts, OCI_VERSION, Result, cgroup};
use oci_spec::runtime::LinuxNamespaceType;
use std::path::Path;

/// What has become of a container that was to be deleted with its record damaged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Its record can be read after all.
    None,
    /// It is gone, or somebody else has removed it.
    Cleared,
}

impl Store {
    pub(super) fn delete_damaged(&self, id: &str) -> Result<Damage> {
        match self.try_delete_damaged(id) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Damage::Cleared),
            deleted => deleted,
        }
    }

    fn try_delete_damaged(&self, id: &str) -> Result<Damage> {
        let folder = self.folder(id)?;
        let lock = folder.lock()?;
        let error = match folder.find_record()? {
            Found::Record(_) => return Ok(Damage::None),
            Found::Missing => Error::new(ErrorKind::System, "its record is lost"),
            Found::Damaged(error) => error,
        };
        if let Some(name) = folder.foreign_file()? {
            return Err(error.detail(format!("{name:?} in its folder is not of plimsoll, which leaves it alone")));
        }
        log::warn!("{error}; removing what else is known of the container");
        let init = folder.noted_init()?;
        let plan = plan_again(&folder).inspect_err(|error| log::warn!("which cgroups it had is not known: {error}"));
        // may fail: as was just said.
        let mut record = salvaged(&folder, init, plan.ok());
        self.drop_foreign_groups(&mut record)?;
        let container = Container::found(folder, record);
        container.end()?;
        container.destroy(&lock, None)?;
        Ok(Damage::Cleared)
    }

    /// Takes groups with somebody in them out of the record, unless who is there is the container.
    fn drop_foreign_groups(&self, record: &mut Record) -> Result<()> {
        let mut occupied = Vec::new();
        for group in &record.cgroups {
            let members = cgroup::pids(std::slice::from_ref(group))?;
            if !members.is_empty() {
                occupied.push((group.directory.clone(), members));
            }
        }
        let alive = matches!(record.life()?, Life::Alive(_));
        let noted = record.init.is_some();
        let named = self.are_called_after_it(record)?;
        for (directory, members) in occupied {
            let is_its = match alive {
                true => members.contains(&record.pid()),
                // With its pid 1 a namespace has ended.
                false if noted && record.private_pid_namespace => false,
                false => named && members.into_iter().all(has_another_root),
            };
            if !is_its {
                log::warn!("the cgroup {} holds processes that may be others': it stays", directory.display());
                record.cgroups.retain(|group| group.directory != directory);
            }
        }
        Ok(())
    }

    /// Its groups have its name, and no other container claims them.
    fn are_called_after_it(&self, record: &Record) -> Result<bool> {
        let is_its =
            |directory: &Path| directory.file_name().is_some_and(|name| name.to_string_lossy().contains(&*record.id));
        Ok(record.cgroups.iter().all(|group| is_its(&group.directory)) && !self.is_claimed(record)?)
    }

    fn is_claimed(&self, record: &Record) -> Result<bool> {
        let others = self.list()?.into_iter().filter(|(id, _)| *id != record.id);
        for (id, _) in others {
            // may fail: a record that cannot be read claims nothing.
            let Ok(other) = self.load(&id) else { continue };
            let shares =
                |group: &plan::cgroup::Group| record.cgroups.iter().any(|mine| mine.directory == group.directory);
            if other.record.cgroups.iter().any(shares) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn has_another_root(pid: i32) -> bool {
    let root = |path: String| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    // may fail: who cannot be looked at is taken for a stranger.
    matches!((root("/".to_owned()), root(format!("/proc/{pid}/root/"))), (Ok(own), Ok(its)) if own != its)
}

fn plan_again(folder: &Folder) -> Result<(Bundle, Plan)> {
    let lost = || Error::new(ErrorKind::System, "there is no config.json in the store");
    let bundle = Bundle::from_parts(folder.path().to_owned(), folder.read(CONFIG)?.ok_or_else(lost)?)?;
    let cgroup_manager = if folder.has_asked_for_scope()? { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
    let planned = PlanOptions { id: folder.id().to_owned(), cgroup_manager, ..PlanOptions::default() };
    let facts = HostFacts::probe_for(cgroup_manager)?;
    let plan = plan::create(bundle.path(), bundle.spec(), &facts, &planned)?;
    Ok((bundle, plan))
}

fn salvaged(folder: &Folder, init: Option<ProcessId>, known: Option<(Bundle, Plan)>) -> Record {
    let mut record = Record {
        id: folder.id().to_owned(),
        oci_version: OCI_VERSION.to_owned(),
        bundle: folder.path().to_owned(),
        rootfs: folder.path().to_owned(),
        created: String::new(),
        owner: rustix::process::geteuid().as_raw(),
        annotations: std::collections::BTreeMap::new(),
        cgroup_manager: CgroupManager::default(),
        cgroups: Vec::new(),
        kept_cgroups: Vec::new(),
        unit: None,
        intel_rdt: Vec::new(),
        private_pid_namespace: false,
        has_process: false,
        has_poststart: false,
        has_poststop: false,
        planned: PlanOptions::default(),
        plan_lines: 0,
        streams: Vec::new(),
        time_namespace: false,
        opened_images: Vec::new(),
        init,
    };
    if let Some((bundle, plan)) = known {
        record.private_pid_namespace = asked_namespace(bundle.spec(), LinuxNamespaceType::Pid) == Some(None);
        (record.cgroups, record.unit, record.intel_rdt) = (plan.cgroups, plan.unit, plan.intel_rdt);
    }
    record
}
