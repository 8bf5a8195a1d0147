//! riscv64: "RISC-V ELF psABI"; syscall(2).
use crate::sys::{Child, CloneArgs};
use std::arch::asm;
use std::ffi::{c_long, c_void};

/// clone3(2) whose child calls `enter(with)`: its number, or minus errno.
///
/// # Safety
/// `args` names a stack for the child; that stack and `with` stay valid until the child is gone from this memory.
pub(in crate::sys) unsafe fn clone3(args: &CloneArgs, enter: Child, with: *mut c_void) -> i64 {
    let result: i64;
    // SAFETY: the parent goes on after `ecall` as after any other; the child, for which a0 is 0, is on the new, aligned stack
    // and never leaves `enter`.
    unsafe {
        asm!(
            "ecall", "bnez a0, 2f", "li s0, 0", "mv a0, a2", "jalr a3", "unimp", "2:",
            in("a7") libc::SYS_clone3, inlateout("a0") std::ptr::from_ref(args) => result,
            in("a1") size_of::<CloneArgs>(), in("a2") with, in("a3") enter,
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
    // SAFETY: the kernel takes a7 and these five, and changes a0 only. Memory is clobbered by default.
    unsafe {
        asm!("ecall", in("a7") number, inlateout("a0") a => result, in("a1") b, in("a2") c, in("a3") d, in("a4") e,
             options(nostack));
    }
    result
}

/// Ends the process with SIGILL.
pub(in crate::sys) fn fault() -> ! {
    // SAFETY: an undefined instruction by definition: execution does not get past it.
    unsafe { asm!("unimp", options(noreturn, nomem, nostack)) }
}
