//! Plays a plan: the host's lines in [`Host`], init's by init; [`dialogue`] keeps the two in step.
mod channel;
mod console;
pub(crate) mod descriptors;
mod dialogue;
mod encode;
mod entry;
mod failure;
pub(crate) mod folder;
mod hints;
mod hooks;
mod host;
mod id_mappings;
pub(crate) mod intel_rdt;
mod make_node;
pub(crate) mod net_devices;
mod note_mount;
mod open_mount;
mod process;
mod program;
mod seccomp_listener;
pub(crate) mod streams;
pub(crate) mod wait;

pub(crate) use channel::{Channel, Heard, last_words};
#[cfg(any(test, fuzzing))]
pub(crate) use encode::encode;
pub(crate) use failure::{deadline_range, explain, silent_death};
pub(crate) use hooks::Hooks;
pub(crate) use host::Host;
pub(crate) use id_mappings::helper as id_map_helper;
pub(crate) use note_mount::{Note, notes};
pub(crate) use process::Process;
pub use program::sealed;
pub use wait::ExitStatus;
pub(crate) use wait::reap;

use crate::plan::line::{Action, HostStep, Line};
use crate::{Bundle, Error, ErrorKind, Result};
use dialogue::Dialogue;
use entry::Entry;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process that has come as far as its plan goes without anybody else.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) console: Option<OwnedFd>,
}

/// Plays `lines` from the first to the last of the host's. If anything fails, init is gone afterwards.
pub(crate) fn play(lines: &[Line], host: &mut Host<'_>) -> Result<Launched> {
    match play_lines(lines, host) {
        Ok(()) => host.launched(),
        Err(error) => {
            host.undo();
            Err(error)
        }
    }
}

fn play_lines(lines: &[Line], host: &mut Host<'_>) -> Result<()> {
    let clone = lines.iter().enumerate().find_map(|(number, line)| match &line.action {
        Action::Host(step @ HostStep::Clone { .. }) => Some((number, step)),
        _ => None,
    });
    let (clone, step) = clone.ok_or_else(|| Error::new(ErrorKind::System, "the plan clones nothing"))?;
    for (number, line) in lines[..clone].iter().enumerate() {
        host.play(number, line, &mut None)?;
    }
    let (channel, socket) = Channel::pair()?;
    let streams = streams::seal(host.stdio)?;
    let entry = Entry { state: host.state, socket, stdio: streams.numbers, preserve: host.preserve };
    // Its end of the socket must be open nowhere else afterwards, or its death would not be heard.
    let (process, descriptors) = host.timed(clone, &lines[clone], |_| entry::start(entry, step))?;
    host.process = Some(process);
    Dialogue::new(lines, host, channel).run(clone + 1, descriptors)
}

/// Plays a plan that ends without a program, in a process that is gone afterwards; `init` is who it joins.
pub(crate) fn play_to_the_end(
    lines: &[Line],
    bundle: &Bundle,
    state: BorrowedFd<'_>,
    init: Option<OwnedFd>,
) -> Result<()> {
    let (describe, save) = (&|_: &str, _| Vec::new(), &mut |_: &Process| Ok(()));
    let mut host = Host::new(bundle, state, describe, save);
    host.init = init;
    let launched = play(lines, &mut host)?;
    reap(launched.pidfd.as_fd());
    Ok(())
}
