//! What there is to know of ABIs, said once more, in other words than `super::super::abi`.
#![forbid(unsafe_code)]
use super::super::{abi::Abi, numbers::Call};
use oci_spec::runtime::Arch;

/// As the kernel counts: with base and bit.
pub(in crate::seccomp) fn number(arch: Arch, name: &str) -> Option<u32> {
    let abi = Abi::of(arch)?;
    let cell = u32::from(Call::named(name)?.cell(abi.column)?);
    Some(if cell >= 0x4000 { 0xf_0000 + cell - 0x4000 } else { abi.base + cell })
}

pub(in crate::seccomp) fn audit(arch: Arch) -> u32 {
    if arch == Arch::ScmpArchX32 { Arch::ScmpArchX86_64 as u32 } else { arch as u32 }
}

pub(in crate::seccomp) fn is_wide(arch: Arch) -> bool {
    let n32 = matches!(arch, Arch::ScmpArchMips64n32 | Arch::ScmpArchMipsel64n32);
    arch as u32 & 0x8000_0000 != 0 && !n32
}

pub(in crate::seccomp) fn base(arch: Arch) -> u32 {
    match arch {
        Arch::ScmpArchX32 => 0x4000_0000,
        Arch::ScmpArchMips | Arch::ScmpArchMipsel => 4000,
        Arch::ScmpArchMips64 | Arch::ScmpArchMipsel64 => 5000,
        Arch::ScmpArchMips64n32 | Arch::ScmpArchMipsel64n32 => 6000,
        _ => 0,
    }
}

pub(in crate::seccomp) fn multiplexed(name: &str) -> Option<(&'static str, u32)> {
    // From include/uapi/linux/net.h and ipc.h, in their order.
    const NET: &str = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom \
        shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
    const IPC: &str =
        "semop semget semctl semtimedop - - - - - - msgsnd msgrcv msgget msgctl - - - - - - shmat shmdt shmget shmctl";
    let place = |list: &str| list.split_whitespace().position(|one| one == name).map(|i| u32::try_from(i).unwrap() + 1);
    place(NET).map(|i| ("socketcall", i)).or(place(IPC).map(|i| ("ipc", i)))
}
