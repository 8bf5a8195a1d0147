//! The program inside the container: a small static ELF without libc, executed from a sealed memfd.
//!
//! `init SOCKET`: the number of the descriptor that leads to the host.
#![no_std]
#![no_main]

mod memory;

use init::host::Slots;

init::entry!(main);

/// Beside other data, where those that are not used are on no page of their own: they are too many for the stack of a container that waits.
static mut SLOTS: Slots = Slots::EMPTY;

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's initial stack (execve(2), System V ABI): argc, then argv with its NULL.
    let argument = unsafe { init::sys::argument(stack, 1) };
    // SAFETY: nobody else names them, and this function is called once.
    init::main(argument, unsafe { &mut *(&raw mut SLOTS) })
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    init::report_panic(info)
}
