//! A bundle: a directory with a config.json, read from the disk.
#![forbid(unsafe_code)]

use crate::{Error, ErrorKind, Result, plan};
use oci_spec::runtime::{LinuxResources, Mount, Process};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A bundle whose config.json has been read. What it says is the plan's [`Bundle`](plimsoll_plan::Bundle).
#[derive(Debug, Clone)]
pub struct Bundle(plan::Bundle);

impl Deref for Bundle {
    type Target = plan::Bundle;

    fn deref(&self) -> &plan::Bundle {
        &self.0
    }
}

impl Bundle {
    /// Read `config.json` of the bundle at `directory`.
    pub fn open(directory: impl AsRef<Path>) -> Result<Bundle> {
        Bundle::open_with(directory, "config.json")
    }

    /// The same with another name (or an absolute path) for the file.
    pub fn open_with(directory: impl AsRef<Path>, config_name: impl AsRef<Path>) -> Result<Bundle> {
        let (path, config) = read(directory.as_ref(), config_name.as_ref())?;
        plan::Bundle::from_config(path, config).map(Bundle)
    }

    /// A bundle from the parts that were kept of one: its directory and the bytes of its config.json.
    pub(crate) fn from_parts(path: PathBuf, config: Vec<u8>) -> Result<Bundle> {
        plan::Bundle::from_parts(path, config).map(Bundle)
    }

    /// Reads a `process` object (`exec --process FILE`).
    pub fn process_from_slice(json: &[u8]) -> Result<Process> {
        plan::Bundle::process_from_slice(json)
    }

    /// Reads an array of mounts (`mounts add ID FILE`).
    pub fn mounts_from_slice(json: &[u8]) -> Result<Vec<Mount>> {
        plan::Bundle::mounts_from_slice(json)
    }

    /// Reads a `linux.resources` object (`update --resources FILE`).
    pub fn resources_from_slice(json: &[u8]) -> Result<LinuxResources> {
        plan::Bundle::resources_from_slice(json)
    }
}

/// The absolute path of a bundle's directory, and what is in the file.
pub(crate) fn read(directory: &Path, config_name: &Path) -> Result<(PathBuf, Vec<u8>)> {
    // Made absolute, but not resolved: engines compare the path with the one that they gave.
    let path = std::path::absolute(directory)
        .map_err(|error| Error::io(format!("bundle {}", directory.display()), "getcwd", &error))?;
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
