//! The end of init and the beginning of the container's program.
use crate::fault::{Fault, Result};
use crate::{Init, sys};
use step::Call;

#[inline(never)]
pub(super) fn run(init: &mut Init, argv: &[u8], env: &[u8]) -> Result {
    rustix::process::umask(init.umask);
    let program = init.program.as_c_str();
    let errno = sys::execve(program, argv, [env, init.home.as_bytes()]);
    init.detail.say(program.to_bytes());
    Err(Fault::new(Call::Execve, errno))
}
