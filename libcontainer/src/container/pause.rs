//! `pause` and `resume`: the cgroup freezer.
use super::{Container, Status};
use crate::{Error, ErrorKind, Result, cgroup};

impl Container {
    /// Freezes every process of the container.
    pub fn pause(&self) -> Result<()> {
        match self.status()? {
            Status::Running | Status::Created => cgroup::freeze(&self.record.cgroups),
            // runc's word for a paused one too.
            _ => Err(Error::new(ErrorKind::NotRunning, "container not running")),
        }
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<()> {
        match self.status()? {
            Status::Paused => cgroup::thaw(&self.record.cgroups),
            _ => Err(Error::new(ErrorKind::WrongStatus, "container not paused")),
        }
    }

    /// Every process of the container, by its pid in the caller's pid namespace, in ascending order.
    pub fn processes(&self) -> Result<Vec<i32>> {
        if self.record.cgroups.is_empty() {
            return Ok(self.record.init.filter(|init| init.is_alive()).map(|init| init.pid).into_iter().collect());
        }
        cgroup::pids(&self.record.cgroups)
    }
}
