//! The end of init and the beginning of the container's program.
use crate::fault::{At, Fault, Result};
use crate::{Init, sys};
use step::Call;

/// What is needed before `execve` and what a filter need not allow.
pub(super) fn prepare(init: &mut Init, pointers: u32) -> Result {
    init.pointers = sys::words(pointers as usize).at(Call::Mmap)?;
    rustix::process::umask(init.umask);
    Ok(())
}

#[inline(never)]
pub(super) fn run(init: &mut Init, argv: &[u8], env: &[u8]) -> Result {
    let program = init.program.as_c_str();
    let errno = sys::execve(program, argv, [env, init.home.as_bytes()], init.pointers);
    init.detail.say(program.to_bytes());
    Err(Fault::new(Call::Execve, errno))
}
