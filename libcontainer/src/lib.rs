//! The library.
#[allow(dead_code, reason = "plan will call it")]
pub(crate) mod seccomp;
