//! `pause` and `resume`: the cgroup freezer.
use super::{Container, Status, not_running};
use crate::{Error, Result, cgroup};

impl Container {
    /// Freezes every process of the container.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`](crate::ErrorKind::NotRunning); [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if a
    /// process does not freeze within ten seconds: then none is frozen.
    pub fn pause(&self) -> Result<()> {
        // Who ends it meanwhile would wait for what we have frozen after he has thawed it.
        self.locked_while_running(|| match self.status()? {
            Status::Running | Status::Created => cgroup::freeze(&self.record.cgroups),
            // runc's words for a paused one too.
            _ => Err(not_running()),
        })
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// The kind that says what it is instead, if it is not paused.
    pub fn resume(&self) -> Result<()> {
        let check = || match self.status()? {
            Status::Paused => Ok(()),
            status => Err(Error::new(status.in_the_way(), "container not paused")),
        };
        check()?;
        self.locked_while_running(|| check().and_then(|()| cgroup::thaw(&self.record.cgroups)))
    }
}
