//! Threads that end with what they were made for, and what is beneath: a child on a stack of its own that shares our memory, and
//! for which the kernel makes us wait.
use super::{CLONE_VFORK, CLONE_VM, CloneArgs, arch, child_number, with_signals_blocked};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::os::raw::{c_long, c_void};

const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SYSVSEM: u64 = 0x4_0000;

/// Does it on a thread of its own, for what changes the thread for good. Its working directory, root and umask are copies.
///
/// Not one of the C library's: that ends the process, or waits for ever, where futex(2) is denied; and std gives each a second
/// stack, and ends the process where there is no memory for it. The kernel itself lets us wait (`CLONE_VFORK`), so that for the
/// C library it is ourselves who goes on: the thread has our thread-local storage.
pub(crate) fn on_a_thread<T: Send, F: FnOnce() -> Result<T, Errno> + Send>(work: F) -> Result<T, Errno> {
    let mut result = Err(Errno::NOTRECOVERABLE);
    let flags = CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    vfork(CloneArgs { flags, ..CloneArgs::default() }, libc::SYS_exit, || {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        result = done.unwrap_or(Err(Errno::NOTRECOVERABLE));
    })?;
    result
}

/// Does `work` in a child that shares this memory, and waits until it has executed a program or ended by the call `end`. The
/// child's number.
pub(super) fn vfork<F: FnOnce()>(args: CloneArgs, end: c_long, work: F) -> Result<i32, Errno> {
    let stack = Stack::new()?;
    let mut task = Task { work: Some(work), end };
    let flags = args.flags | CLONE_VM | CLONE_VFORK;
    let args = CloneArgs { flags, stack: stack.bottom as u64, stack_size: Stack::SIZE as u64, ..args };
    let born = with_signals_blocked(|| {
        // SAFETY: the child runs `perform` on `stack`, which with `task` outlives it: with CLONE_VFORK this thread is suspended
        // until the child is gone from this memory.
        unsafe { arch::clone3(&args, perform::<F>, (&raw mut task).cast()) }
    })?;
    child_number(born)
}

/// What a child does, and by which call it ends.
struct Task<F> {
    work: Option<F>,
    end: c_long,
}

/// # Safety
/// `task` is a `Task<F>` that nobody else uses.
unsafe extern "C" fn perform<F: FnOnce()>(task: *mut c_void) -> ! {
    // SAFETY: as the caller promises.
    let Task { work, end } = unsafe { &mut *task.cast::<Task<F>>() };
    if let Some(work) = work.take() {
        work();
    }
    // SAFETY: it ends this child only.
    unsafe { arch::raw(*end, 0, 0, 0, 0, 0) };
    // A filter around us may forbid even that.
    arch::fault()
}

/// As much as std's threads have. Who needs more meets a page that may not be touched.
struct Stack {
    bottom: *mut c_void,
}

impl Stack {
    const GUARD: usize = 64 << 10;
    /// So much above it is zero: who follows the callers of a panic finds the first of them there.
    const TOP: usize = 4 << 10;
    const SIZE: usize = 2 << 20;
    const ALL: usize = Stack::GUARD + Stack::SIZE + Stack::TOP;

    fn new() -> Result<Stack, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: at a place of the kernel's choice, where nothing was.
        let all = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), Stack::ALL, ProtFlags::empty(), flags) }?;
        let stack = Stack { bottom: all.wrapping_byte_add(Stack::GUARD) };
        let usable = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: mapped above, and used by nobody.
        unsafe { rustix::mm::mprotect(stack.bottom, Stack::SIZE + Stack::TOP, usable) }?;
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // may fail: then the address space stays, and nothing uses it.
        // SAFETY: whoever ran on it is gone.
        let _ = unsafe { rustix::mm::munmap(self.bottom.wrapping_byte_sub(Stack::GUARD), Stack::ALL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_it_is_told_and_a_panic_is_an_error() {
        let mut own = 1;
        let added = on_a_thread(|| {
            own += 1;
            Ok(own)
        });
        assert_eq!(added, Ok(2));
        assert_eq!(on_a_thread(|| Err::<(), _>(Errno::PERM)), Err(Errno::PERM));
        assert_eq!(on_a_thread::<(), _>(|| panic!("a test")), Err(Errno::NOTRECOVERABLE));
    }

    #[test]
    fn it_is_another_thread_of_the_same_process_with_a_directory_of_its_own() {
        let here = std::env::current_dir().unwrap();
        let thread = on_a_thread(|| {
            std::env::set_current_dir("/proc").unwrap();
            Ok((rustix::process::getpid(), rustix::thread::gettid()))
        });
        let (process, thread) = thread.unwrap();
        assert_eq!(process, rustix::process::getpid());
        assert_ne!(thread, rustix::thread::gettid());
        assert_eq!(std::env::current_dir().unwrap(), here);
    }

    #[test]
    fn what_it_opens_and_starts_is_ours() {
        let (file, mut child) = on_a_thread(|| {
            let file = std::fs::File::open("/dev/null").map_err(|_| Errno::IO)?;
            let child = std::process::Command::new("true").spawn().map_err(|_| Errno::IO)?;
            Ok((file, child))
        })
        .unwrap();
        assert!(file.metadata().is_ok());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn it_needs_no_futex() {
        // SAFETY: a filter for a thread that ends with the test; it only denies futex(2).
        let denied = std::thread::spawn(|| unsafe {
            let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
            let mut program = [
                op(0x20, 0, 0, 0),
                op(0x15, 0, 1, u32::try_from(libc::SYS_futex).unwrap()),
                op(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
                op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
            ];
            let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
            on_a_thread(|| Ok(libc::syscall(libc::SYS_futex, std::ptr::null::<u32>(), 1, 1)))
        });
        assert_eq!(denied.join().unwrap(), Ok(-1));
    }
}
