//! A bundle: a directory and a config.json, from the disk or not.
#![forbid(unsafe_code)]

use crate::{Error, ErrorKind, Result, plan};
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A bundle whose config.json has been read. What it says is the plan's [`Bundle`](plimsoll_plan::Bundle). Clones share it.
#[derive(Debug, Clone)]
pub struct Bundle(Arc<plan::Bundle>);

impl Deref for Bundle {
    type Target = plan::Bundle;

    fn deref(&self) -> &plan::Bundle {
        &self.0
    }
}

impl Bundle {
    /// Read `config.json` of the bundle at `directory`.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read; [`ErrorKind::InvalidConfig`], with the entry at fault.
    pub fn open(directory: impl AsRef<Path>) -> Result<Bundle> {
        Bundle::open_with(directory, "config.json")
    }

    /// The same with another name (or an absolute path) for the file.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(directory: impl AsRef<Path>, config_name: impl AsRef<Path>) -> Result<Bundle> {
        let (path, config) = read(directory.as_ref(), config_name.as_ref())?;
        plan::Bundle::from_config(path, config).map(Bundle::from)
    }

    /// A bundle without a config.json on a disk. Paths in `spec` that are relative are so to `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if a string in it holds a NUL.
    pub fn new(directory: impl AsRef<Path>, spec: &Spec) -> Result<Bundle> {
        let config = serde_json::to_vec(spec)
            .map_err(|error| Error::new(ErrorKind::InvalidConfig, format!("write the configuration: {error}")))?;
        Bundle::from_json(directory, config)
    }

    /// The same from the bytes of a config.json.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], with the entry at fault.
    pub fn from_json(directory: impl AsRef<Path>, config: impl Into<Vec<u8>>) -> Result<Bundle> {
        plan::Bundle::from_config(absolute(directory.as_ref())?, config.into()).map(Bundle::from)
    }

    /// A bundle from the parts that were kept of one: its directory and the bytes of its config.json.
    pub(crate) fn from_parts(path: PathBuf, config: Vec<u8>) -> Result<Bundle> {
        plan::Bundle::from_parts(path, config).map(Bundle::from)
    }

    /// Reads a `process` object (`exec --process FILE`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], with the entry at fault.
    pub fn process_from_slice(json: &[u8]) -> Result<Process> {
        plan::Bundle::process_from_slice(json)
    }

    /// Reads an array of mounts (`mounts add ID FILE`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], with the entry at fault.
    pub fn mounts_from_slice(json: &[u8]) -> Result<Vec<Mount>> {
        plan::Bundle::mounts_from_slice(json)
    }

    /// Reads a `linux.resources` object (`update --resources FILE`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], with the entry at fault.
    pub fn resources_from_slice(json: &[u8]) -> Result<LinuxResources> {
        plan::Bundle::resources_from_slice(json)
    }
}

impl From<plan::Bundle> for Bundle {
    fn from(bundle: plan::Bundle) -> Bundle {
        Bundle(Arc::new(bundle))
    }
}

/// Made absolute, but not resolved: engines compare the path with the one that they gave.
fn absolute(directory: &Path) -> Result<PathBuf> {
    std::path::absolute(directory)
        .map_err(|error| Error::io(format!("bundle {}", directory.display()), "getcwd", &error))
}

/// The absolute path of a bundle's directory, and what is in the file.
pub(crate) fn read(directory: &Path, config_name: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let path = absolute(directory)?;
    let config = crate::read_file(path.join(config_name)).map_err(|error| match error.kind() {
        // may fail: it only chooses the words of an error.
        std::io::ErrorKind::NotFound if !path.is_dir() => {
            Error::io(format!("bundle {}", path.display()), "open", &error)
        }
        std::io::ErrorKind::NotFound => {
            let message = format!("JSON specification file {} not found", config_name.display());
            Error::new(ErrorKind::InvalidConfig, message)
        }
        _ => Error::io(format!("read {}", path.join(config_name).display()), "open", &error),
    })?;
    Ok((path, config))
}
