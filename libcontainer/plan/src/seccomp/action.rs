//! Actions, as the kernel spells them.
#![forbid(unsafe_code)]
use super::{Answer, Problem};
use oci_spec::runtime::LinuxSeccompAction;

pub(super) const KILL_THREAD: Action = Action(0);
pub(super) const ENOSYS: Action = Action(ERRNO | 38);

const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// A SECCOMP_RET_* with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Action(pub(super) u32);

impl Action {
    pub(super) fn new(
        action: LinuxSeccompAction,
        errno: Option<u32>,
        pointer: &dyn Fn() -> String,
    ) -> Result<Action, Problem> {
        use LinuxSeccompAction::*;
        let takes_data = match action {
            ScmpActErrno => ERRNO,
            ScmpActTrace => TRACE,
            _ if errno.is_some() => {
                return Err(Problem { pointer: pointer(), message: format!("{action} takes no errno") });
            }
            ScmpActKill | ScmpActKillThread => return Ok(KILL_THREAD),
            ScmpActKillProcess => return Ok(Action(KILL_PROCESS)),
            ScmpActTrap => return Ok(Action(TRAP)),
            ScmpActNotify => return Ok(Action(USER_NOTIF)),
            ScmpActLog => return Ok(Action(LOG)),
            ScmpActAllow => return Ok(Action(ALLOW)),
        };
        const EPERM: u32 = 1;
        match errno.unwrap_or(EPERM) {
            data @ 0..=0xffff => Ok(Action(takes_data | data)),
            data => Err(Problem {
                pointer: pointer(),
                message: format!("{data} is more than the 16 bits which {action} can carry"),
            }),
        }
    }

    /// Ascending from the most restrictive to the most permissive, as the kernel compares the
    /// results of several filters.
    pub(super) fn permissiveness(self) -> i32 {
        (self.0 & 0xffff_0000) as i32
    }

    /// Whether it lets a call of init's happen. Nobody traces init, and without a tracer `TRACE` is ENOSYS.
    pub(super) fn answer(self) -> Answer {
        match self.0 & 0xffff_0000 {
            ALLOW | LOG => Answer::Allowed,
            USER_NOTIF => Answer::Open,
            _ => Answer::Denied,
        }
    }

    /// The call may happen: ENOSYS for an unknown one would not be in the profile's spirit. A tracer
    /// can answer ENOSYS by itself.
    pub(super) fn is_permissive(self) -> bool {
        matches!(self.0 & 0xffff_0000, ALLOW | LOG | TRACE)
    }
}
