//! What differs between processors: how the kernel is called, and how a child of clone3(2) gets onto a stack of its own.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")), path = "unsupported.rs")]
mod this;

pub(super) use this::{clone3, fault, raw};
