//! Profiles that nobody would write.
#![forbid(unsafe_code)]
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};
use proptest::prelude::*;

const NAMES: [&str; 24] = [
    "read",
    "write_",
    "open",
    "stat",
    "readv",
    "writev",
    "ioctl",
    "socket",
    "connect",
    "accept4",
    "sendmsg",
    "shmat",
    "semop",
    "msgget",
    "socketcall",
    "ipc",
    "personality",
    "clone",
    "clone3",
    "openat2",
    "recvmmsg",
    "waitid",
    "preadv2",
    "mount",
];

pub(super) const X86: [Arch; 3] = [Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32];

/// Of these architectures some are listed.
pub(super) fn profile(archs: &[Arch]) -> impl Strategy<Value = LinuxSeccomp> + use<> {
    let archs = proptest::sample::subsequence(archs.to_vec(), 0..=archs.len());
    (action(), archs, proptest::collection::vec(syscall(), 0..24)).prop_map(|((default, errno), archs, syscalls)| {
        let mut profile = LinuxSeccomp::default();
        profile
            .set_default_action(default)
            .set_default_errno_ret(errno)
            .set_architectures(Some(archs))
            .set_syscalls(Some(syscalls));
        profile
    })
}

fn action() -> impl Strategy<Value = (LinuxSeccompAction, Option<u32>)> {
    use LinuxSeccompAction::*;
    prop_oneof![
        Just((ScmpActAllow, None)),
        Just((ScmpActErrno, None)),
        (1..99_u32).prop_map(|errno| (ScmpActErrno, Some(errno))),
        (1..99_u32).prop_map(|errno| (ScmpActTrace, Some(errno))),
        Just((ScmpActLog, None)),
        Just((ScmpActTrap, None)),
        Just((ScmpActKill, None)),
        Just((ScmpActKillProcess, None)),
    ]
}

fn syscall() -> impl Strategy<Value = LinuxSyscall> {
    let names = proptest::sample::subsequence(NAMES.to_vec(), 1..4);
    (names, action(), proptest::collection::vec(arg(), 0..3)).prop_map(|(names, (action, errno), args)| {
        let mut syscall = LinuxSyscall::default();
        let names = names.into_iter().map(str::to_owned).collect();
        syscall.set_names(names).set_action(action).set_errno_ret(errno).set_args(Some(args));
        syscall
    })
}

fn arg() -> impl Strategy<Value = LinuxSeccompArg> {
    use LinuxSeccompOperator::*;
    let op = prop_oneof![
        Just(ScmpCmpNe),
        Just(ScmpCmpLt),
        Just(ScmpCmpLe),
        Just(ScmpCmpEq),
        Just(ScmpCmpGe),
        Just(ScmpCmpGt),
        Just(ScmpCmpMaskedEq)
    ];
    let value = || {
        prop_oneof![
            0..25_u64,
            Just(0xffff_ffff),
            Just(0x1_0000_0000),
            Just(0x7e02_0000),
            Just(0x3_0000_0007),
            any::<u64>()
        ]
    };
    (prop_oneof![0..2_usize, 0..6_usize], op, value(), value()).prop_map(|(index, op, value, two)| {
        LinuxSeccompArgBuilder::default().index(index).op(op).value(value).value_two(two).build().unwrap()
    })
}
