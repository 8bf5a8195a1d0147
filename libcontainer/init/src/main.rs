//! The program inside the container: a small static ELF without libc, executed from a sealed memfd.
//!
//! `init SOCKET`: the number of the descriptor that leads to the host.
#![no_std]
#![no_main]

mod memory;

init::entry!(main);

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's initial stack (execve(2), System V ABI): argc, then argv with its NULL.
    let argument = unsafe { init::sys::argument(stack, 1) };
    init::main(argument)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    init::report_panic(info)
}
