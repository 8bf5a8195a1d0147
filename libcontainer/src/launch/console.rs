//! The master of a container's terminal.
#![forbid(unsafe_code)]
use crate::{Error, Result};
use rustix::fd::OwnedFd;
use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr};

/// Who takes the master itself shows it on a terminal of its own, which already makes `\r\n` of `\n`, or in a file, which
/// wants neither. While init waits for this line nothing has been written yet.
pub(super) fn leave_line_ends_alone(master: &OwnedFd) -> Result<()> {
    let fail = |errno| Error::system("set up the console", "ioctl(TCSETS)", errno);
    let mut attributes = tcgetattr(master).map_err(fail)?;
    attributes.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(master, OptionalActions::Now, &attributes).map_err(fail)
}
