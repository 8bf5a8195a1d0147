//! x86_64: System V ABI, "Process Initialization"; syscall(2).
use core::arch::asm;

/// Defines `_start`, which calls `main` with the stack as the kernel has left it: argc on top, argv above.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        core::arch::global_asm!(
            ".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2",
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
    // SAFETY: the kernel takes rax and these six, and changes rax, rcx and r11. Memory is clobbered by default.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
             in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// The stack pointer. (The address of a local would not do: in a large frame others lie below it.)
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: only reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// `struct kernel_sigaction` of a handler that never returns; 0 for the default action. x86_64 wants a restorer to be there.
pub(crate) fn signal_action(handler: usize) -> [usize; 4] {
    const SA_RESTORER: usize = 0x0400_0000;
    if handler == 0 { [0; 4] } else { [handler, SA_RESTORER, handler, 0] }
}

/// Ends the process with SIGILL. Its action is the default one (`reset_signals`), which for a signal that the kernel forces upon
/// a process ends the first of a pid namespace too.
pub(crate) fn fault() -> ! {
    // SAFETY: an undefined instruction by definition: execution does not get past it.
    unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
}
