//! Threads that end with what they were made for.
use rustix::io::Errno;

/// Does it on a thread of its own, for what changes the thread for good. Not one of std's: std gives each a second stack, for its
/// handler of stack overflows, and ends the process where there is no memory for it.
pub(crate) fn on_a_thread<T: Send, F: FnOnce() -> Result<T, Errno> + Send>(work: F) -> Result<T, Errno> {
    let mut task = Task { work: Some(work), result: Err(Errno::NOTRECOVERABLE) };
    let mut thread = std::mem::MaybeUninit::<libc::pthread_t>::uninit();
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the attributes are made before they are used, and used no more once they are destroyed. The thread alone uses `task`
    // until it has ended, which is waited for below.
    let created = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), THREAD_STACK);
        let task = (&raw mut task).cast();
        let created = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), perform::<T, F>, task);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        created
    };
    if created != 0 {
        return Err(Errno::from_raw_os_error(created));
    }
    // SAFETY: it was created, and nobody else waits for it.
    if unsafe { libc::pthread_join(thread.assume_init(), std::ptr::null_mut()) } != 0 {
        // It may still use what is on our stack.
        std::process::abort();
    }
    task.result
}

/// As much as std's have; musl's own 128 kB are little for what starts a program.
const THREAD_STACK: usize = 2 << 20;

/// What a thread does, and what comes of it.
struct Task<T, F> {
    work: Option<F>,
    result: Result<T, Errno>,
}

extern "C" fn perform<T, F: FnOnce() -> Result<T, Errno>>(task: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: a `Task` of these types, which `on_a_thread` leaves to us until we have ended.
    let task = unsafe { &mut *task.cast::<Task<T, F>>() };
    if let Some(work) = task.work.take() {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        task.result = done.unwrap_or(Err(Errno::NOTRECOVERABLE));
    }
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::on_a_thread;
    use rustix::io::Errno;

    #[test]
    fn a_thread_needs_no_second_stack() {
        let second = on_a_thread(|| {
            let mut stack = std::mem::MaybeUninit::<libc::stack_t>::uninit();
            // SAFETY: only writes the one that is there.
            assert_eq!(unsafe { libc::sigaltstack(std::ptr::null(), stack.as_mut_ptr()) }, 0);
            // SAFETY: written above.
            Ok(unsafe { stack.assume_init() }.ss_flags)
        });
        assert_eq!(second, Ok(libc::SS_DISABLE));
    }

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
}
