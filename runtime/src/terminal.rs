//! Who gets the master of a terminal.
#![forbid(unsafe_code)]
use crate::failure::Failure;
use std::path::Path;

/// Somebody has to: a caller of ours through a socket if we do not stay, we ourselves if we do.
pub(crate) fn check(has_terminal: bool, detach: bool, console_socket: Option<&Path>) -> Result<(), Failure> {
    match console_socket {
        None if has_terminal && detach => {
            Err(Failure::new("cannot allocate tty if runc will detach without setting console socket"))
        }
        Some(_) if !has_terminal || !detach => {
            Err(Failure::new("cannot use console socket if runc will not detach or allocate tty"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_socket_is_needed_exactly_for_a_detached_terminal() {
        let socket = Some(Path::new("/run/socket"));
        for (has_terminal, detach, console_socket, fine) in [
            (true, true, socket, true),
            (true, true, None, false),
            (true, false, None, true),
            (true, false, socket, false),
            (false, true, None, true),
            (false, true, socket, false),
            (false, false, None, true),
            (false, false, socket, false),
        ] {
            assert_eq!(
                check(has_terminal, detach, console_socket).is_ok(),
                fine,
                "{has_terminal} {detach} {console_socket:?}"
            );
        }
    }
}
