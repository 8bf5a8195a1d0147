//! `state` and `ps`: what a container is doing, asked of the kernel each time.
use super::{Container, State, Status};
use crate::store::{Life, Lock, Record};
use crate::{Result, cgroup};

impl Container {
    /// Its status and what else `state` prints.
    ///
    /// # Errors
    /// A system call failed, so that it is not known whether the container lives: that is never taken for its end.
    pub fn state(&self) -> Result<State> {
        let status = self.status()?;
        let pid = if status == Status::Stopped { 0 } else { self.record.pid() };
        let record = &self.record;
        Ok(State {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            pid,
            status,
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created.clone(),
            annotations: record.annotations.clone(),
            owner: String::new(),
        })
    }

    /// Every process of the container, by its pid in the caller's pid namespace, in ascending order.
    ///
    /// # Errors
    /// A group cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        if self.record.cgroups.is_empty() {
            let alive = matches!(self.record.life()?, Life::Alive(_));
            return Ok(alive.then(|| self.record.pid()).into_iter().collect());
        }
        cgroup::pids(&self.record.cgroups)
    }

    /// What the container is at.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) if the kernel does not say: an error is no answer.
    pub fn status(&self) -> Result<Status> {
        // Somebody is at it, or died at it.
        if self.record.init.is_none() && self.folder.is_locked()? {
            return Ok(Status::Creating);
        }
        self.status_of_its_init()
    }

    /// The same for who holds the lock: nobody else is at it.
    pub(super) fn status_under(&self, _lock: &Lock) -> Result<Status> {
        self.status_of_its_init()
    }

    fn status_of_its_init(&self) -> Result<Status> {
        Ok(match self.record.life()? {
            Life::Ended => Status::Stopped,
            Life::Alive(_) if cgroup::is_frozen(&self.record.cgroups)? => Status::Paused,
            Life::Alive(_) if self.folder.awaits_start()? => Status::Created,
            Life::Alive(_) => Status::Running,
        })
    }
}

/// The state that a hook reads (runtime-spec, "State").
pub(crate) fn for_hooks(record: &Record, status: &str, pid: i32) -> Vec<u8> {
    let mut state = serde_json::json!({
        "ociVersion": record.oci_version,
        "id": record.id,
        "status": status,
        "bundle": record.bundle,
        "annotations": record.annotations,
    });
    if pid != 0 {
        state["pid"] = pid.into();
    }
    state.to_string().into_bytes()
}
