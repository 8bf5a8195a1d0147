//! The state directory: one folder per container under a root, every write atomic, a lock per container.
use crate::Result;
use crate::container::{Container, CreateOptions, State};
use std::path::{Path, PathBuf};

/// A root directory with a folder for each container.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) root: PathBuf,
}

impl Store {
    /// `/run/plimsoll`; `$XDG_RUNTIME_DIR/plimsoll` for an ordinary user.
    pub fn default_root() -> PathBuf {
        todo!()
    }

    /// Opens the store at `root`, which is made (0700) when the first container is.
    pub fn open(root: impl AsRef<Path>) -> Result<Store> {
        Ok(Store {
            root: root.as_ref().to_owned(),
        })
    }

    /// Makes a container from `bundle`, up to the point where `start` runs its program.
    pub fn create(
        &self,
        id: &str,
        bundle: &crate::Bundle,
        options: &CreateOptions,
    ) -> Result<Container> {
        let _ = (id, bundle, options, &self.root);
        todo!()
    }

    /// The container with this id; [`crate::ErrorKind::DoesNotExist`] if there is none.
    pub fn load(&self, id: &str) -> Result<Container> {
        let _ = id;
        todo!()
    }

    /// Every container's state, sorted by id; what cannot be read is an error of its own entry.
    pub fn list(&self) -> Result<Vec<(String, Result<State>)>> {
        todo!()
    }
}
