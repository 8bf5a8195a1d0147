//! `create`: from a bundle to a container whose init waits for `start`.
#![forbid(unsafe_code)]
use super::{Child, Container, CreateOptions, Planned};
use crate::store::Store;
use crate::{Bundle, Error, ErrorKind, Result, launch};

impl Store {
    /// Makes a container from `bundle`, up to the point where [`Container::start`] runs its program. Its init is a child of the caller.
    /// After a failure nothing of it is left.
    ///
    /// # Errors
    /// As [`Store::plan`]; [`ErrorKind::Exists`] if there is a container of this name; [`ErrorKind::Busy`] if there are processes in
    /// its cgroup; [`ErrorKind::ProgramNotFound`], [`ErrorKind::ProgramNotExecutable`]; [`ErrorKind::Hook`];
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::NoSpace`], [`ErrorKind::OutOfMemory`] and [`ErrorKind::System`] if the kernel
    /// refuses something.
    pub fn create(&self, id: &str, bundle: &Bundle, options: CreateOptions) -> Result<(Container, Child)> {
        self.create_planned(self.plan(id, bundle, options)?)
    }

    /// The same from a plan that has been looked at.
    ///
    /// # Errors
    /// As [`Store::create`]; [`ErrorKind::InvalidConfig`] if it is a plan of another store.
    pub fn create_planned(&self, planned: Planned) -> Result<(Container, Child)> {
        if planned.store.root != self.root {
            return Err(Error::new(ErrorKind::InvalidConfig, "the plan was made for a container of another store"));
        }
        self.make(&planned, |_, host| launch::play(&planned.plan.lines, host))
    }
}
