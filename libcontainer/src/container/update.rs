//! `update`: other limits for a container.
use super::{Container, Status};
use crate::plan::cgroup::{Write, limits, merge};
use crate::store::CONFIG;
use crate::{Error, ErrorKind, Result, cgroup, systemd};
use oci_spec::runtime::LinuxResources;
use serde_json::Value;

impl Container {
    /// Writes what `change` asks for, and keeps it for later updates. What it does not name stays as it is; device rules always
    /// do. If a value is refused, those before it are taken back.
    pub fn update(&self, change: &LinuxResources) -> Result<()> {
        // One that is being made would keep us waiting.
        if matches!(self.status()?, Status::Stopped | Status::Creating) {
            return Err(Error::new(ErrorKind::NotRunning, "container not running"));
        }
        // Two updates at a time would each forget the other.
        self.folder.lock()?;
        let updated = self.update_locked(change);
        self.folder.unlock();
        updated
    }

    fn update_locked(&self, change: &LinuxResources) -> Result<()> {
        let failed = |what: String| Error::new(ErrorKind::System, format!("read the container's config: {what}"));
        let bytes = self.folder.read(CONFIG).map_err(|errno| failed(crate::error::describe(errno)))?;
        let mut config: Value = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let resources = merge(&config["linux"]["resources"], change)?;
        // Read as strictly as at create.
        config["linux"]["resources"] = resources;
        let config = config.to_string().into_bytes();
        let bundle = crate::Bundle::from_parts(self.record.bundle.clone(), config)?;
        let merged = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
        let groups = &self.record.cgroups;
        let told = |writes: &[Write]| match &self.record.unit {
            Some(unit) => systemd::Manager::of(unit.user).set_properties(unit, &limits(writes, groups)),
            None => Ok(()),
        };
        cgroup::update(groups, &merged, told)?;
        self.folder.write(CONFIG, bundle.config_bytes())
    }

    /// Other shares of the processor's cache and of the memory bandwidth (Intel RDT), of a container that has some.
    pub fn update_intel_rdt(&self, l3_cache_schema: Option<&str>, mem_bw_schema: Option<&str>) -> Result<()> {
        let message = match (l3_cache_schema, mem_bw_schema) {
            (Some(_), _) => "Intel RDT/CAT: l3 cache schema is not enabled",
            (_, Some(_)) => "Intel RDT/MBA: memory bandwidth schema is not enabled",
            (None, None) => return Ok(()),
        };
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}
