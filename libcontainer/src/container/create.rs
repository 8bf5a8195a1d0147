//! `create`: from a bundle to a container whose init waits for `start`.
#![forbid(unsafe_code)]
use super::{Container, CreateOptions};
use crate::store::Store;
use crate::{Bundle, Result, launch};

impl Store {
    /// Makes a container from `bundle`, up to the point where `start` runs its program.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        launch::descriptors::check_preserved(options.preserve_fds.saturating_add(options.listen_fds))?;
        let decided = self.decide(id, bundle, options)?;
        self.make(&decided, |_, host| launch::play(&decided.plan.lines, host))
    }
}
