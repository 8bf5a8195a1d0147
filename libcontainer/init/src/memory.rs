//! What the compiler calls and no libc is there to provide: the C standard's functions, by plain means. Blocks are small, but for
//! paths: where the processor copies and fills by itself, it does.
//!
//! The empty `asm!` in each loop keeps the compiler from seeing in it the very function that it is in.
use core::arch::asm;

macro_rules! keep_loop {
    () => {
        // SAFETY: no instruction at all.
        unsafe { asm!("", options(nostack, preserves_flags)) }
    };
}

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's `to` is writable and `from` readable for n bytes. The direction is upwards (System V ABI).
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
    }
    to
}

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: i < n; the caller's `to` is writable and `from` readable for n bytes.
        unsafe { *to.add(i) = *from.add(i) };
        keep_loop!();
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: `to` does not lie inside `from..from+n`, so copying upwards is right.
        return unsafe { memcpy(to, from, n) };
    }
    for i in (0..n).rev() {
        // SAFETY: as in memcpy; downwards, each byte is read before it is written over.
        unsafe { *to.add(i) = *from.add(i) };
        keep_loop!();
    }
    to
}

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller's `to` is writable for n bytes. C takes the lowest byte of the number.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte.to_le_bytes()[0],
             options(nostack, preserves_flags));
    }
    to
}

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: i < n; the caller's `to` is writable for n bytes. C takes the lowest byte of the number.
        unsafe { *to.add(i) = byte.to_le_bytes()[0] };
        keep_loop!();
    }
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
        keep_loop!();
    }
    n
}
