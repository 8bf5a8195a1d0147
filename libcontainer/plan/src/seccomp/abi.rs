//! The ABIs a profile can speak of, which it calls architectures.
#![forbid(unsafe_code)]
use oci_spec::runtime::Arch;

/// x32 shares the architecture of x86-64; this bit of the number tells its calls apart.
pub(super) const X32_BIT: u32 = 0x4000_0000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abi {
    /// What the kernel puts into `seccomp_data.arch`: AUDIT_ARCH_*.
    pub(super) audit: u32,
    /// Where `table.rs` has its numbers,
    pub(super) column: usize,
    /// and what is added to them.
    pub(super) base: u32,
    /// Arguments have 64 bits. On the other ABIs only the low half is compared, as libseccomp does:
    /// so -1, written as 2^64-1, means -1 there too.
    pub(super) wide: bool,
}

impl Abi {
    pub(super) fn of(arch: Arch) -> Option<Abi> {
        let (column, base, wide) = match arch {
            Arch::ScmpArchNative => return Abi::of(native()?),
            Arch::ScmpArchX86_64 => (0, 0, true),
            Arch::ScmpArchX86 => (1, 0, false),
            Arch::ScmpArchX32 => (2, X32_BIT, false),
            Arch::ScmpArchAarch64 => (3, 0, true),
            Arch::ScmpArchArm => (4, 0, false),
            Arch::ScmpArchRiscv64 => (5, 0, true),
            Arch::ScmpArchS390x => (6, 0, true),
            Arch::ScmpArchS390 => (7, 0, false),
            Arch::ScmpArchPpc64 | Arch::ScmpArchPpc64le => (8, 0, true),
            Arch::ScmpArchPpc => (9, 0, false),
            Arch::ScmpArchMips | Arch::ScmpArchMipsel => (10, 4000, false),
            Arch::ScmpArchMips64 | Arch::ScmpArchMipsel64 => (11, 5000, true),
            Arch::ScmpArchMips64n32 | Arch::ScmpArchMipsel64n32 => (12, 6000, false),
            Arch::ScmpArchLoongarch64 => (13, 0, true),
            _ => return None,
        };
        // oci-spec's values are AUDIT_ARCH_*, but for the two that the kernel does not tell apart.
        let audit = if arch == Arch::ScmpArchX32 { Arch::ScmpArchX86_64 } else { arch } as u32;
        Some(Abi { audit, column, base, wide })
    }

    pub(super) fn big_endian(self) -> bool {
        const AUDIT_ARCH_LE: u32 = 0x4000_0000;
        self.audit & AUDIT_ARCH_LE == 0
    }

    pub(super) fn is_x32(self) -> bool {
        self.base == X32_BIT
    }

    pub(super) fn is_x86_64(self) -> bool {
        self.audit == Arch::ScmpArchX86_64 as u32 && !self.is_x32()
    }

    pub(super) fn is_arm(self) -> bool {
        self.audit == Arch::ScmpArchArm as u32
    }

    pub(super) fn is_s390(self) -> bool {
        self.audit == Arch::ScmpArchS390 as u32 || self.audit == Arch::ScmpArchS390x as u32
    }
}

/// The architecture this program was built for.
pub(super) fn native() -> Option<Arch> {
    Some(match (std::env::consts::ARCH, cfg!(target_endian = "big")) {
        ("x86_64", _) if cfg!(target_pointer_width = "32") => Arch::ScmpArchX32,
        ("x86_64", _) => Arch::ScmpArchX86_64,
        ("x86", _) => Arch::ScmpArchX86,
        ("aarch64", _) => Arch::ScmpArchAarch64,
        ("arm", _) => Arch::ScmpArchArm,
        ("riscv64", _) => Arch::ScmpArchRiscv64,
        ("s390x", _) => Arch::ScmpArchS390x,
        ("powerpc64", true) => Arch::ScmpArchPpc64,
        ("powerpc64", false) => Arch::ScmpArchPpc64le,
        ("powerpc", true) => Arch::ScmpArchPpc,
        ("mips", true) => Arch::ScmpArchMips,
        ("mips", false) => Arch::ScmpArchMipsel,
        ("mips64", true) => Arch::ScmpArchMips64,
        ("mips64", false) => Arch::ScmpArchMipsel64,
        ("loongarch64", _) => Arch::ScmpArchLoongarch64,
        _ => return None,
    })
}
