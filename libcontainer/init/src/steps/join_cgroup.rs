//! Join cgroup v1 groups without waiting for an RCU grace period.
use crate::Init;
use crate::fault::{At, Result};
use step::{Call, Slot};

/// Writes `0` to the `tasks` file in each slot. The kernel takes the global `cgroup_threadgroup_rwsem`, and with
/// it 10 to 30 ms, for everything but a thread that moves itself.
pub(super) fn run(init: &mut Init, first: Slot, count: u16) -> Result {
    for slot in first..first + count {
        let tasks = init.slots.take(slot)?;
        rustix::io::write(&tasks, b"0").at(Call::Write)?;
    }
    Ok(())
}
