//! `pause` and `resume`: the cgroup freezer.
use super::{Container, Status, not_running};
use crate::{Error, ErrorKind, Result, cgroup};

impl Container {
    /// Freezes every process of the container.
    pub fn pause(&self) -> Result<()> {
        match self.status()? {
            Status::Running | Status::Created => cgroup::freeze(&self.record.cgroups),
            // runc's words for a paused one too.
            _ => Err(not_running()),
        }
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<()> {
        match self.status()? {
            Status::Paused => cgroup::thaw(&self.record.cgroups),
            _ => Err(Error::new(ErrorKind::WrongStatus, "container not paused")),
        }
    }
}
