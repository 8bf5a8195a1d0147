//! aarch64: "Procedure Call Standard for the Arm 64-bit Architecture"; syscall(2).
use crate::sys::{Child, CloneArgs};
use std::arch::asm;
use std::ffi::{c_long, c_void};

/// clone3(2) whose child calls `enter(with)`: its number, or minus errno.
///
/// # Safety
/// `args` names a stack for the child; that stack and `with` stay valid until the child is gone from this memory.
pub(in crate::sys) unsafe fn clone3(args: &CloneArgs, enter: Child, with: *mut c_void) -> i64 {
    let result: i64;
    // SAFETY: the parent goes on after `svc` as after any other; the child, for which x0 is 0, is on the new, aligned stack and
    // never leaves `enter`.
    unsafe {
        asm!(
            "svc #0", "cbnz x0, 2f", "mov x29, xzr", "mov x0, x2", "blr x3", "udf #0", "2:",
            in("x8") libc::SYS_clone3, inlateout("x0") std::ptr::from_ref(args) => result,
            in("x1") size_of::<CloneArgs>(), in("x2") with, in("x3") enter,
        );
    }
    result
}

/// What the kernel answers: a number, or an errno between -4095 and -1.
///
/// # Safety
/// As for the system call.
pub(in crate::sys) unsafe fn raw(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> i64 {
    let result: i64;
    // SAFETY: the kernel takes x8 and these five, and changes x0 only. Memory is clobbered by default.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
             options(nostack));
    }
    result
}

/// Ends the process with SIGILL.
pub(in crate::sys) fn fault() -> ! {
    // SAFETY: an undefined instruction by definition: execution does not get past it.
    unsafe { asm!("udf #0", options(noreturn, nomem, nostack)) }
}
