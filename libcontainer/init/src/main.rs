//! The program inside the container: a small static ELF without libc, executed from a sealed memfd.
//!
//! `init SOCKET`: the number of the descriptor that leads to the host.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

// The kernel enters with argc at the top of an aligned stack, argv above it.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(not(target_arch = "x86_64"))]
compile_error!("init's entry point and memory functions are written for x86_64 only");

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's initial stack (execve(2), System V ABI): argc, then argv with its NULL.
    let argument = unsafe { init::sys::argument(stack, 1) };
    init::main(argument)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    init::report_panic(info)
}

// What the compiler may call and no libc is there to provide.
// SAFETY (all four): the contract is the C standard's; `rep movsb` and `rep stosb` touch exactly `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: see above.
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags))
    };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: `to` does not lie inside `from..from+n`, so copying upwards is right.
        return unsafe { memcpy(to, from, n) };
    }
    // SAFETY: downwards, from the last byte, with the direction flag set and cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _, inout("rdi") to.wrapping_add(n).wrapping_sub(1) => _,
             inout("rsi") from.wrapping_add(n).wrapping_sub(1) => _, options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: see above.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags))
    };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: i < n, and both are readable for n bytes.
        let (x, y) = unsafe { (*a.add(i), *b.add(i)) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(a, b, n) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller's string has a NUL.
    while unsafe { *text.add(n) } != 0 {
        n += 1;
    }
    n
}
