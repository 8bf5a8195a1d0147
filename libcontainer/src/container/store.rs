//! The containers of a store.
use super::{Container, State};
use crate::store::{Folder, Store, user_name};
use crate::{ErrorKind, Result};

impl Store {
    /// The container with this id; [`ErrorKind::NotFound`] if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidId`]; [`ErrorKind::PermissionDenied`] if the store or the container
    /// belongs to somebody else.
    pub fn load(&self, id: &str) -> Result<Container> {
        Container::read(self.folder(id)?)
    }

    /// Every container's state, sorted by id; what cannot be read is an error of its own entry.
    ///
    /// # Errors
    /// The store cannot be read, or belongs to somebody else.
    pub fn list(&self) -> Result<Vec<(String, Result<State>)>> {
        // One user usually owns them all.
        let mut owners: Vec<(u32, String)> = Vec::new();
        let mut owner_name = |uid: u32| -> Result<String> {
            if let Some((_, name)) = owners.iter().find(|(owner, _)| *owner == uid) {
                return Ok(name.clone());
            }
            let name = user_name(uid)?.unwrap_or_else(|| format!("#{uid}"));
            owners.push((uid, name.clone()));
            Ok(name)
        };
        let mut state = |folder: Result<Folder>| -> Result<State> {
            let container = Container::read(folder?)?;
            let mut state = container.state()?;
            state.owner = owner_name(container.record.owner)?;
            Ok(state)
        };
        Ok(self
            .folders()?
            .map(|(id, folder)| (id, state(folder)))
            // Deleted since it was listed.
            .filter(|(_, state)| !matches!(state, Err(error) if error.kind() == ErrorKind::NotFound))
            .collect())
    }
}

impl Container {
    fn read(folder: Folder) -> Result<Container> {
        let record = folder.read_record()?;
        Ok(Container::found(folder, record))
    }
}
