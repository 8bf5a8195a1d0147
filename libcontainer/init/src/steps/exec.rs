//! The end of init and the beginning of the container's program.
use crate::fault::{At, Fault, Result};
use crate::{Init, sys};
use step::{Call, Slot};

/// What is needed before `execve` and what a filter need not allow.
pub(super) fn prepare(init: &mut Init, pointers: u32) -> Result {
    // Where a limit (RLIMIT_AS, RLIMIT_DATA) leaves no memory, `execve` would end in SIGSEGV, of which nobody could say why.
    sys::memory(1).at(Call::Mmap)?;
    init.pointers = init.room.words(pointers as usize).at(Call::Mmap)?;
    rustix::process::umask(init.umask);
    Ok(())
}

#[inline(never)]
pub(super) fn run(init: &mut Init, program: Option<Slot>, argv: &[u8], env: &[u8]) -> Result {
    let (descriptor, call) = match program {
        Some(slot) => (Some(init.slots.get(slot)?), Call::Execveat),
        None => (None, Call::Execve),
    };
    let errno = sys::execve(descriptor, init.program, argv, [env, init.home], init.pointers);
    init.detail.say(init.program.to_bytes());
    Err(Fault::new(call, errno))
}
