//! x86_64: System V ABI; syscall(2).
use crate::sys::{Child, CloneArgs};
use std::arch::asm;
use std::ffi::{c_long, c_void};

/// clone3(2) whose child calls `enter(with)`: its number, or minus errno.
///
/// # Safety
/// `args` names a stack for the child; that stack and `with` stay valid until the child is gone from this memory.
pub(in crate::sys) unsafe fn clone3(args: &CloneArgs, enter: Child, with: *mut c_void) -> i64 {
    let result: i64;
    // SAFETY: the parent goes on after `syscall` as after any other; the child, for which rax is 0, is on the new, aligned
    // stack and never leaves `enter`.
    unsafe {
        asm!(
            "syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2", "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") std::ptr::from_ref(args), in("rsi") size_of::<CloneArgs>(), in("r12") with, in("r13") enter,
            lateout("rcx") _, lateout("r11") _,
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
    // SAFETY: the kernel takes rax and these five, and changes rax, rcx and r11. Memory is clobbered by default.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Ends the process with SIGILL.
pub(in crate::sys) fn fault() -> ! {
    // SAFETY: an undefined instruction by definition: execution does not get past it.
    unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
}
