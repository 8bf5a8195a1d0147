//! riscv64: "RISC-V ELF psABI"; syscall(2).
use core::arch::asm;

/// Defines `_start`, which calls `main` with the stack as the kernel has left it: argc on top, argv above.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        core::arch::global_asm!(
            ".globl _start", "_start:", ".option push", ".option norelax", "lla gp, __global_pointer$", ".option pop",
            "li s0, 0", "li ra, 0", "mv a0, sp", "andi sp, sp, -16", "call {main}", "unimp",
            main = sym $main
        );
    };
}

/// What the kernel answers: a number, or an errno between -4095 and -1.
///
/// # Safety
/// The arguments have to be what call `number` asks for: every pointer among them valid for what the kernel reads or writes there.
#[inline(always)]
pub(crate) unsafe fn syscall(number: usize, a: [usize; 6]) -> isize {
    let result;
    // SAFETY: the kernel takes a7 and these six, and changes a0 only. Memory is clobbered by default.
    unsafe {
        asm!("ecall", in("a7") number, inlateout("a0") a[0] => result, in("a1") a[1], in("a2") a[2], in("a3") a[3],
             in("a4") a[4], in("a5") a[5], options(nostack));
    }
    result
}

/// The stack pointer. (The address of a local would not do: in a large frame others lie below it.)
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: only reads a register.
    unsafe { asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// `struct kernel_sigaction` of a handler that never returns; 0 for the default action. There is no restorer: the third word is
/// the mask.
pub(crate) fn signal_action(handler: usize) -> [usize; 4] {
    [handler, 0, 0, 0]
}

/// Ends the process with SIGILL. Its action is the default one (`reset_signals`), which for a signal that the kernel forces upon
/// a process ends the first of a pid namespace too.
pub(crate) fn fault() -> ! {
    // SAFETY: an undefined instruction by definition: execution does not get past it.
    unsafe { asm!("unimp", options(noreturn, nomem, nostack)) }
}
