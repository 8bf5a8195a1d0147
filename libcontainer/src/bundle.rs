//! A directory with config.json.
use crate::Result;
use oci_spec::runtime::{Process, Spec};
use std::path::{Path, PathBuf};

/// A directory with a config.json that has been read.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub(crate) path: PathBuf,
    pub(crate) spec: Spec,
    pub(crate) config: Vec<u8>,
}

impl Bundle {
    /// Reads `config.json` in `directory`.
    pub fn open(directory: impl AsRef<Path>) -> Result<Bundle> {
        let _ = directory;
        todo!()
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What config.json says.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// config.json as it was read.
    pub fn config_bytes(&self) -> &[u8] {
        &self.config
    }

    /// Reads a `process` object (`exec --process FILE`).
    pub fn process_from_slice(json: &[u8]) -> Result<Process> {
        let _ = json;
        todo!()
    }
}
