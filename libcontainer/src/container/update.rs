//! `update`: other limits for a container.
use super::Container;
use crate::launch::intel_rdt;
use crate::plan;
use crate::plan::cgroup::{Write, limits, merge};
use crate::store::CONFIG;
use crate::{Bundle, Error, ErrorKind, HostFacts, Result, cgroup, systemd};
use oci_spec::runtime::LinuxResources;
use serde_json::Value;
use std::path::PathBuf;

/// What [`Container::update`] changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update {
    /// Limits; what is not named stays as it is, and device rules always do.
    pub resources: LinuxResources,
    /// The share of the processor's L3 cache, for a container that has an Intel RDT class.
    pub l3_cache_schema: Option<String>,
    /// The share of the memory bandwidth, for a container that has an Intel RDT class.
    pub mem_bw_schema: Option<String>,
}

impl Update {
    /// Other limits.
    pub fn new(resources: LinuxResources) -> Update {
        Update { resources, ..Update::default() }
    }

    /// A line of resctrl's schemata for the L3 cache.
    #[must_use]
    pub fn l3_cache_schema(mut self, schema: impl Into<String>) -> Update {
        self.l3_cache_schema = Some(schema.into());
        self
    }

    /// A line of resctrl's schemata for the memory bandwidth.
    #[must_use]
    pub fn mem_bw_schema(mut self, schema: impl Into<String>) -> Update {
        self.mem_bw_schema = Some(schema.into());
        self
    }

    /// Keys of `linux.intelRdt` and their values.
    fn schemata(&self) -> Vec<(&str, &str)> {
        let asked = [("l3CacheSchema", &self.l3_cache_schema), ("memBwSchema", &self.mem_bw_schema)];
        asked.into_iter().filter_map(|(key, schema)| Some((key, schema.as_deref()?))).collect()
    }
}

impl From<LinuxResources> for Update {
    fn from(resources: LinuxResources) -> Update {
        Update::new(resources)
    }
}

impl Container {
    /// Writes what `change` asks for, and keeps it for later updates. If a value is refused, those before it are taken back. Threads
    /// and processes that update at the same time lose nothing of each other's.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if the container has ended; [`ErrorKind::InvalidConfig`] if a value is wrong;
    /// [`ErrorKind::Unsupported`] if this host, or this container, has no such limit; [`ErrorKind::System`] and its like if the
    /// kernel, or systemd, refuses one.
    pub fn update(&self, change: impl Into<Update>) -> Result<()> {
        let change = change.into();
        let asked = change.schemata();
        // Two updates at a time would each forget the other.
        self.locked_while_running(|| {
            if asked.is_empty() {
                return self.update_locked(&change.resources, &[]);
            }
            let (class, before) = self.replace_schemata(&asked)?;
            self.update_locked(&change.resources, &asked).inspect_err(|_| {
                // Either all of it, or nothing.
                if let Err(error) = intel_rdt::write_schemata(&class, &before) {
                    log::warn!("take back the schemata: {error}");
                }
            })
        })
    }

    /// `schemata` are keys of Intel RDT with their values, which are in place already.
    fn update_locked(&self, change: &LinuxResources, schemata: &[(&str, &str)]) -> Result<()> {
        let bundle = self.changed(&self.bundle()?, |linux| {
            linux["resources"] = merge(&linux["resources"], change)?;
            schemata.iter().for_each(|(key, schema)| linux["intelRdt"][*key] = (*schema).into());
            Ok(())
        })?;
        let merged = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
        let groups = &self.record.cgroups;
        let tell = |writes: &[Write]| match &self.record.unit {
            Some(unit) => systemd::Manager::of(unit.user).set_properties(unit, &limits(writes, groups)),
            None => Ok(()),
        };
        cgroup::update(groups, &merged, tell, || self.folder.write(CONFIG, bundle.config_bytes()))
    }

    /// Where they were written, and what was there before.
    fn replace_schemata(&self, asked: &[(&str, &str)]) -> Result<(PathBuf, Vec<String>)> {
        let mount = HostFacts::resctrl()?;
        intel_rdt::check_enabled(mount.as_deref(), asked)?;
        let bundle = self.bundle()?;
        let existing = bundle.spec().linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref());
        let (Some(existing), Some(mount)) = (existing, mount) else {
            let message = "updating a non-existent Intel RDT configuration is not supported";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let class = plan::rdt_class(existing, &mount, &self.record.id);
        let bundle = self.changed(&bundle, |linux| {
            asked.iter().for_each(|(key, schema)| linux["intelRdt"][*key] = (*schema).into());
            Ok(())
        })?;
        crate::plan::validate::spec(bundle.spec())?;
        let lines: Vec<_> = asked.iter().map(|(_, schema)| (*schema).to_owned()).collect();
        let before = intel_rdt::replace_schemata(&class, &lines)?;
        Ok((class, before))
    }

    /// The bundle with another `linux`, read as strictly as at create.
    fn changed(&self, bundle: &Bundle, change: impl FnOnce(&mut Value) -> Result<()>) -> Result<Bundle> {
        let mut config: Value = serde_json::from_slice(bundle.config_bytes())
            .map_err(|error| Error::new(ErrorKind::System, format!("read the container's config: {error}")))?;
        change(&mut config["linux"])?;
        Bundle::from_parts(self.record.bundle.clone(), config.to_string().into_bytes())
    }
}
