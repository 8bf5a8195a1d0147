//! The seccomp listener goes to its agent: [The Container Process State](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#containerprocessstate).
use super::descriptors;
use crate::plan::OCI_VERSION;
use crate::{Error, Result};
use rustix::fd::BorrowedFd;
use serde_json::{Value, json};
use std::path::Path;

/// One message over one connection, which is closed then.
pub(super) fn forward(listener: BorrowedFd<'_>, path: &Path, metadata: &str, pid: i32, state: &[u8]) -> Result<()> {
    let what = "failed to connect with seccomp agent";
    descriptors::send(path, listener, &process_state(metadata, pid, state)?, what)
}

fn process_state(metadata: &str, pid: i32, state: &[u8]) -> Result<Vec<u8>> {
    let state: Value = serde_json::from_slice(state)
        .map_err(|error| Error::new(crate::ErrorKind::System, format!("tell the seccomp agent: {error}")))?;
    let mut told = json!({"ociVersion": OCI_VERSION, "fds": ["seccompFd"], "pid": pid, "state": state});
    if !metadata.is_empty() {
        told["metadata"] = metadata.into();
    }
    Ok(told.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_hears_what_the_spec_promises() {
        let told = process_state("opaque", 7, br#"{"id": "web", "status": "creating"}"#).unwrap();
        let expected = json!({"ociVersion": "1.3.0", "fds": ["seccompFd"], "pid": 7, "metadata": "opaque",
            "state": {"id": "web", "status": "creating"}});
        assert_eq!(serde_json::from_slice::<Value>(&told).unwrap(), expected);
    }
}
