//! Numbers from elsewhere: the `syscalls` crate and libseccomp.
#![forbid(unsafe_code)]
use super::super::meaning::abis::number;
use super::super::{numbers::Call, table::TABLE};
use libseccomp::{ScmpArch, ScmpSyscall};
use oci_spec::runtime::Arch;

const ARCHS: [Arch; 14] = [
    Arch::ScmpArchX86_64,
    Arch::ScmpArchX86,
    Arch::ScmpArchX32,
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchRiscv64,
    Arch::ScmpArchS390x,
    Arch::ScmpArchS390,
    Arch::ScmpArchPpc64,
    Arch::ScmpArchPpc,
    Arch::ScmpArchMips,
    Arch::ScmpArchMips64,
    Arch::ScmpArchMips64n32,
    Arch::ScmpArchLoongarch64,
];

/// Where the crate has a table. It calls newfstatat `fstatat` on the two newest ABIs and gives
/// them the calls with 64-bit time that only 32-bit ABIs have.
#[cfg(feature = "syscalls")]
fn in_crate(arch: Arch, name: &str) -> Option<i32> {
    use ::syscalls::*;
    let name = match name {
        "break" => "r#break",
        "newfstatat" if matches!(arch, Arch::ScmpArchAarch64 | Arch::ScmpArchLoongarch64) => "fstatat",
        name => name,
    };
    match arch {
        Arch::ScmpArchX86_64 => name.parse().ok().map(|call: x86_64::Sysno| call.id()),
        Arch::ScmpArchX86 => name.parse().ok().map(|call: x86::Sysno| call.id()),
        Arch::ScmpArchAarch64 => name.parse().ok().map(|call: aarch64::Sysno| call.id()),
        Arch::ScmpArchArm => name.parse().ok().map(|call: arm::Sysno| call.id()),
        Arch::ScmpArchRiscv64 => name.parse().ok().map(|call: riscv64::Sysno| call.id()),
        Arch::ScmpArchS390x => name.parse().ok().map(|call: s390x::Sysno| call.id()),
        Arch::ScmpArchPpc64 => name.parse().ok().map(|call: powerpc64::Sysno| call.id()),
        Arch::ScmpArchPpc => name.parse().ok().map(|call: powerpc::Sysno| call.id()),
        Arch::ScmpArchMips => name.parse().ok().map(|call: mips::Sysno| call.id()),
        Arch::ScmpArchMips64 => name.parse().ok().map(|call: mips64::Sysno| call.id()),
        Arch::ScmpArchLoongarch64 => name.parse().ok().map(|call: loongarch64::Sysno| call.id()),
        _ => None,
    }
}

#[cfg(not(feature = "syscalls"))]
fn in_crate(_: Arch, _: &str) -> Option<i32> {
    None
}

#[test]
fn our_numbers_are_those_of_the_syscalls_crate_and_of_libseccomp() {
    let mut compared = 0;
    for arch in ARCHS {
        let theirs: ScmpArch = format!("{arch}").parse().unwrap();
        for (name, _) in TABLE {
            let Some(ours) = number(arch, name) else {
                continue;
            };
            if let Some(id) = in_crate(arch, name) {
                assert_eq!(ours, u32::try_from(id).unwrap(), "{name} on {arch}");
                compared += 1;
            }
            let id = ScmpSyscall::from_name_by_arch(name, theirs).ok().map(i32::from);
            // A negative number stands for a call that libseccomp also reaches through socketcall or ipc.
            if let Some(id) = id.filter(|id| *id >= 0) {
                assert_eq!(ours, u32::try_from(id).unwrap(), "{name} on {arch}, says libseccomp");
                compared += 1;
            }
        }
    }
    assert!(compared > if cfg!(feature = "syscalls") { 8000 } else { 4000 }, "{compared}");
}

#[cfg(feature = "syscalls")]
#[test]
fn no_call_of_a_plain_host_is_missing() {
    for (arch, last) in [(Arch::ScmpArchX86_64, 335), (Arch::ScmpArchX86_64, 469), (Arch::ScmpArchX86, 469)] {
        for id in 0..=last {
            let name = match arch {
                Arch::ScmpArchX86 => ::syscalls::x86::Sysno::new(id).map(|call| call.name()),
                _ => ::syscalls::x86_64::Sysno::new(id).map(|call| call.name()),
            };
            if let Some(name) = name {
                let name = name.trim_start_matches("r#");
                assert_eq!(number(arch, name), Some(u32::try_from(id).unwrap()), "{name} on {arch}");
            }
        }
    }
}

#[test]
fn a_name_is_found_whatever_its_place_in_the_table() {
    for (name, cells) in TABLE {
        let call = Call::named(name).unwrap();
        let found: Vec<_> = (0..cells.len()).map(|column| call.cell(column)).collect();
        assert_eq!(found, cells.map(|cell| u16::try_from(cell).ok()), "{name}");
    }
    assert_eq!(Call::named("quantum_leap"), None);
}
