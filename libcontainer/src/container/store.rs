//! The containers of a store.
use super::{Container, State};
use crate::store::{Store, user_name};
use crate::{ErrorKind, Result};

impl Store {
    /// The container with this id; [`ErrorKind::NotFound`] if there is none.
    pub fn load(&self, id: &str) -> Result<Container> {
        let folder = self.folder(id)?;
        let record = folder.read_record()?;
        Ok(Container::found(folder, record))
    }

    /// Every container's state, sorted by id; what cannot be read is an error of its own entry.
    pub fn list(&self) -> Result<Vec<(String, Result<State>)>> {
        let state = |id: &str| -> Result<State> {
            let container = self.load(id)?;
            let mut state = container.state()?;
            let owner = container.record.owner;
            state.owner = user_name(owner)?.unwrap_or_else(|| format!("#{owner}"));
            Ok(state)
        };
        Ok(self
            .ids()?
            .into_iter()
            .map(|id| {
                let state = state(&id);
                (id, state)
            })
            // Deleted since it was listed.
            .filter(|(_, state)| !matches!(state, Err(error) if error.kind() == ErrorKind::NotFound))
            .collect())
    }
}
