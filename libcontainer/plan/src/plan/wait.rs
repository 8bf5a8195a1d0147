//! The wait for `start`: through two FIFOs, which take no call but read(2) and write(2).
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line, Origin};
use super::namespaces::USER;
use super::seccomp::Filter;
use super::{Context, Slots, host, init};
use crate::Result;

/// Names in the state directory.
pub const START: &str = "start";
pub const SAID: &str = "said";
pub const DOOR: &str = "exec.sock";

/// The parts of a wait, by their places in the plan.
pub(super) struct Wait {
    pub(super) opened: Vec<Line>,
    pub(super) held: Option<Line>,
    pub(super) line: Line,
}

pub(super) fn plan(context: &Context, filter: &Filter, slots: &mut Slots) -> Result<Wait> {
    let line = |step| host(step, Origin::LIFECYCLE);
    let mut opened = vec![line(HostStep::ListenForStart), line(HostStep::AnswerStart)];
    let (start, said) = (slots.take()?, slots.take()?);
    let door = needs_door(context) && filter.can_hand_out_namespaces();
    let door = door.then(|| slots.take()).transpose()?;
    opened.extend(door.map(|_| line(HostStep::ListenForExec)));
    let held = door.map(|_| InitStep::HoldNamespaces { namespaces: context.namespaces.all() });
    let held = held.map(|step| init(step, Origin::LIFECYCLE));
    Ok(Wait { opened, held, line: init(InitStep::AwaitStart { start, said, door }, Origin::LIFECYCLE) })
}

/// Init is executed before it enters anything, so that its memory belongs to the caller's user namespace; and it is not dumpable.
/// Who has no privilege there may not join the namespaces of such a process (ptrace(2), "Ptrace access mode checking"), not even
/// if all of them are its own: it has to be given them.
fn needs_door(context: &Context) -> bool {
    context.namespaces.is_new(USER) && context.facts.euid != 0
}
