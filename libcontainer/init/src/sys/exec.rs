//! `execve(2)` without an allocator.
use super::{fd, nr, syscall};
use core::ffi::CStr;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

const AT_EMPTY_PATH: usize = 0x1000;

/// The strings of a block, each with its NUL.
fn texts(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    <[u8]>::split_inclusive(block, |byte| *byte == 0).filter(|text| text.ends_with(&[0]))
}

/// How many pointers `execve` takes for these lists, each of which ends with NULL.
pub fn pointers(argv: &[u8], env: [&[u8]; 2]) -> usize {
    texts(argv).count() + 1 + env.into_iter().flat_map(texts).count() + 1
}

/// `execve(2)`, or `execveat(2)` of a program that is held: returns only on failure. Both lists are NUL-terminated strings, one after
/// another; `pointers` is as long as the function of this name says, or longer, and all zero.
pub fn execve(
    program: Option<BorrowedFd<'_>>,
    path: &CStr,
    argv: &[u8],
    env: [&[u8]; 2],
    pointers: &mut [usize],
) -> Errno {
    let env_at = texts(argv).count() + 1;
    if pointers.len() < self::pointers(argv, env) {
        return Errno::TOOBIG;
    }
    for (pointer, text) in pointers.iter_mut().zip(texts(argv)) {
        *pointer = text.as_ptr() as usize;
    }
    for (pointer, text) in pointers[env_at..].iter_mut().zip(env.into_iter().flat_map(texts)) {
        *pointer = text.as_ptr() as usize;
    }
    let (argv, envp) = (pointers.as_ptr() as usize, pointers[env_at..].as_ptr() as usize);
    let path = path.as_ptr() as usize;
    let held = program.map(fd);
    // SAFETY: both arrays end with a zero, for which there is room, and point at strings that end with a NUL.
    let failed = unsafe {
        match held {
            Some(held) => syscall(nr::__NR_execveat, [held, c"".as_ptr() as usize, argv, envp, AT_EMPTY_PATH]),
            None => syscall(nr::__NR_execve, [path, argv, envp, 0, 0]),
        }
    };
    match failed {
        Err(errno) => errno,
        Ok(_) => Errno::IO,
    }
}
