//! `create`: from a bundle to a container whose init waits for `start`.
#![forbid(unsafe_code)]
use super::{Container, CreateOptions, Planned};
use crate::store::Store;
use crate::{Bundle, Error, ErrorKind, Result, launch};

impl Store {
    /// Makes a container from `bundle`, up to the point where `start` runs its program.
    pub fn create(&self, id: &str, bundle: &Bundle, options: CreateOptions) -> Result<Container> {
        self.create_planned(self.plan(id, bundle, options)?)
    }

    /// The same from a plan that has been looked at.
    pub fn create_planned(&self, planned: Planned) -> Result<Container> {
        let options = &planned.options;
        if planned.store.root != self.root {
            return Err(Error::new(ErrorKind::InvalidConfig, "the plan was made for a container of another store"));
        }
        launch::descriptors::check_preserved(options.preserve_fds.saturating_add(options.listen_fds))?;
        self.make(&planned, |_, host| launch::play(&planned.plan.lines, host))
    }
}
