//! What profiles come to: each action, operator and flag, the profiles of engines, and random ones.
#![forbid(unsafe_code)]
mod libseccomp;
mod random;
mod tables;

use super::meaning::{Reading, abis};
use super::simulate::{Data, decode, run};
use super::table::TABLE;
use super::*;
use serde_json::json;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILLED: u32 = 0;
const ARCH_X86_64: u32 = 0xc000_003e;
const ARCH_X86: u32 = 0x4000_0003;

fn profile(json: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

fn docker_default() -> LinuxSeccomp {
    serde_json::from_str(include_str!("../../../../../oci-bundles/docker-default/seccomp.json")).unwrap()
}

/// Compiles for x86-64, whatever this is.
fn compiled(json: serde_json::Value) -> Result<Program, Problem> {
    compile_on(Arch::ScmpArchX86_64, &profile(json))
}

/// What becomes of a system call of x86-64 that has these first arguments.
fn outcome(json: serde_json::Value, number: u32, arguments: &[u64]) -> u32 {
    let mut data = Data { number, architecture: ARCH_X86_64, ..Data::default() };
    data.arguments[..arguments.len()].copy_from_slice(arguments);
    run(&decode(&compiled(json).unwrap().filter), &data)
}

#[track_caller]
fn refused(json: serde_json::Value, pointer: &str, message: &str) {
    let problem = compiled(json).unwrap_err();
    assert_eq!((problem.pointer.as_str(), problem.message.as_str()), (pointer, message));
}

// Numbers of x86-64.
const READ: u32 = 0;
const SOCKET: u32 = 41;
const CLONE: u32 = 56;
const KEYCTL: u32 = 250;

#[test]
fn each_action_returns_its_number_to_the_kernel() {
    for (action, errno, expected) in [
        ("SCMP_ACT_KILL", None, 0),
        ("SCMP_ACT_KILL_THREAD", None, 0),
        ("SCMP_ACT_KILL_PROCESS", None, 0x8000_0000),
        ("SCMP_ACT_TRAP", None, 0x0003_0000),
        ("SCMP_ACT_ERRNO", None, EPERM),
        ("SCMP_ACT_ERRNO", Some(38), ENOSYS),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(7), 0x7ff0_0007),
        ("SCMP_ACT_NOTIFY", None, 0x7fc0_0000),
        ("SCMP_ACT_LOG", None, 0x7ffc_0000),
    ] {
        let rule = json!({"names": ["keyctl"], "action": action, "errnoRet": errno});
        assert_eq!(
            outcome(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}), KEYCTL, &[]),
            expected,
            "{action}"
        );
    }
    for (default, errno, expected) in [
        ("SCMP_ACT_ALLOW", None, ALLOW),
        ("SCMP_ACT_ERRNO", Some(2), 0x0005_0002),
        ("SCMP_ACT_TRACE", Some(9), 0x7ff0_0009),
    ] {
        assert_eq!(
            outcome(json!({"defaultAction": default, "defaultErrnoRet": errno}), READ, &[]),
            expected,
            "{default}"
        );
    }
}

#[test]
fn each_operator_compares_all_64_bits() {
    const BIG: u64 = 0x1_0000_0005;
    let values =
        [0, 4, 5, 6, 0xffff_ffff, 0x1_0000_0000, BIG - 1, BIG, BIG + 1, 0x2_0000_0004, 0x2_0000_0005, u64::MAX];
    for limit in [0, 5, 0xffff_ffff, 0x1_0000_0000, BIG, u64::MAX] {
        for (op, holds) in [
            ("SCMP_CMP_NE", u64::ne as fn(&u64, &u64) -> bool),
            ("SCMP_CMP_LT", u64::lt),
            ("SCMP_CMP_LE", u64::le),
            ("SCMP_CMP_EQ", u64::eq),
            ("SCMP_CMP_GE", u64::ge),
            ("SCMP_CMP_GT", u64::gt),
        ] {
            for value in values {
                let rule = json!({"names": ["keyctl"], "action": "SCMP_ACT_LOG", "args": [{"index": 5, "value": limit, "op": op}]});
                let outcome = outcome(
                    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
                    KEYCTL,
                    &[0, 0, 0, 0, 0, value],
                );
                assert_eq!(outcome != ALLOW, holds(&value, &limit), "{value:#x} {op} {limit:#x}");
            }
        }
    }
}

#[test]
fn a_masked_comparison_has_its_mask_in_value_and_its_datum_in_value_two() {
    // CLONE_NEWUSER of all CLONE_NEW*. With the two swapped, 0x7e020000 & 0x10000000 would have to be 0x7e020000.
    let rule = json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 0x7e02_0000_u64, "valueTwo": 0x1000_0000, "op": "SCMP_CMP_MASKED_EQ"}]});
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule, {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW"}]});
    assert_eq!(outcome(profile.clone(), CLONE, &[0x1000_0011]), ALLOW);
    assert_eq!(outcome(profile.clone(), CLONE, &[0xffff_ffff_1000_0011]), ALLOW);
    assert_eq!(outcome(profile.clone(), CLONE, &[0x7e02_0011]), EPERM);
    assert_eq!(outcome(profile, CLONE, &[0x0000_0011]), EPERM);
}

#[test]
fn conditions_on_different_arguments_must_all_hold() {
    let args = json!([{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}, {"index": 2, "value": 9, "op": "SCMP_CMP_EQ"}]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": args}]});
    assert_eq!(outcome(profile.clone(), SOCKET, &[16, 3, 9]), EPERM);
    assert_eq!(outcome(profile.clone(), SOCKET, &[16, 3, 8]), ALLOW);
    assert_eq!(outcome(profile, SOCKET, &[2, 3, 9]), ALLOW);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives_and_so_are_all_others_beside_them() {
    let args = json!([
        {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 3, "op": "SCMP_CMP_EQ"},
    ]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": args}]});
    for (arguments, expected) in [([1, 0], EPERM), ([2, 0], EPERM), ([0, 3], EPERM), ([3, 1], ALLOW)] {
        assert_eq!(outcome(profile.clone(), SOCKET, &arguments), expected);
    }
}

#[test]
fn an_unconditional_rule_beats_conditional_ones_and_the_first_of_several_counts() {
    let when = |action: &str| json!({"names": ["socket"], "action": action, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]});
    let always = |action: &str| json!({"names": ["socket"], "action": action});
    for rules in [
        json!([when("SCMP_ACT_KILL"), always("SCMP_ACT_LOG")]),
        json!([always("SCMP_ACT_LOG"), when("SCMP_ACT_KILL")]),
        json!([always("SCMP_ACT_LOG"), always("SCMP_ACT_KILL")]),
    ] {
        assert_eq!(outcome(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}), SOCKET, &[1]), 0x7ffc_0000);
    }
}

#[test]
fn of_conditional_rules_that_hold_the_most_restrictive_wins() {
    let when = |action: &str, value: u64| json!({"names": ["socket"], "action": action, "args": [{"index": 0, "value": value, "op": "SCMP_CMP_GE"}]});
    for rules in [
        json!([when("SCMP_ACT_ERRNO", 5), when("SCMP_ACT_LOG", 3)]),
        json!([when("SCMP_ACT_LOG", 3), when("SCMP_ACT_ERRNO", 5)]),
    ] {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
        assert_eq!([2, 4, 6].map(|value| outcome(profile.clone(), SOCKET, &[value])), [ALLOW, 0x7ffc_0000, EPERM]);
    }
}

#[test]
fn a_rule_with_the_default_action_counts_for_nothing() {
    // ERRNO without a number is EPERM, and so is the default here.
    let rules = json!([
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
        {"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]);
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": rules});
    assert_eq!(outcome(profile.clone(), SOCKET, &[1]), ALLOW);
    assert_eq!(outcome(profile.clone(), SOCKET, &[2]), EPERM);
    assert_eq!(outcome(profile, KEYCTL, &[]), ENOSYS);
}

#[test]
fn names_that_no_kernel_has_are_ignored() {
    let rules = json!([{"names": ["quantum_leap", "keyctl"], "action": "SCMP_ACT_LOG"}]);
    assert_eq!(outcome(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}), KEYCTL, &[]), 0x7ffc_0000);
}

#[test]
fn a_system_call_newer_than_the_profile_does_not_exist() {
    // openat2 is 437.
    let rules = json!([{"names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW"}]);
    let with = |default: &str| json!({"defaultAction": default, "syscalls": rules});
    assert_eq!(
        [0, 436, 437, 438, 9999].map(|number| outcome(with("SCMP_ACT_ERRNO"), number, &[])),
        [ALLOW, EPERM, ALLOW, ENOSYS, ENOSYS]
    );
    assert_eq!(outcome(with("SCMP_ACT_KILL_PROCESS"), 438, &[]), ENOSYS);
    assert_eq!(outcome(with("SCMP_ACT_LOG"), 438, &[]), 0x7ffc_0000, "permitted anyway");
    assert_eq!(outcome(with("SCMP_ACT_TRACE"), 438, &[]), 0x7ff0_0001, "for the tracer to say");
}

#[test]
fn x32_is_an_architecture_of_its_own() {
    let with = |archs: &[&str]| {
        json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": archs,
        "syscalls": [{"names": ["readv", "openat2"], "action": "SCMP_ACT_ALLOW"}]})
    };
    const READV_X32: u32 = 0x4000_0000 + 515;
    assert_eq!(outcome(with(&["SCMP_ARCH_X32"]), READV_X32, &[]), ALLOW);
    assert_eq!(outcome(with(&["SCMP_ARCH_X32"]), 0x4000_0000 + 19, &[]), EPERM, "readv's number on x86-64");
    assert_eq!(outcome(with(&["SCMP_ARCH_X32"]), READV_X32 + 1, &[]), ENOSYS);
    assert_eq!(outcome(with(&[]), READV_X32, &[]), KILLED);
    assert_eq!(outcome(with(&[]), u32::MAX, &[]), EPERM, "-1: a tracer has the call skipped");
}

#[test]
fn an_architecture_that_is_not_listed_is_killed_and_the_native_one_is_always_listed() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"]})).unwrap();
    for (architecture, expected) in [(ARCH_X86_64, ALLOW), (ARCH_X86, ALLOW), (0xc000_00b7, KILLED), (0, KILLED)] {
        assert_eq!(run(&decode(&program.filter), &Data { architecture, number: 1, ..Data::default() }), expected);
    }
}

#[test]
fn a_rule_about_a_socket_call_holds_for_socketcall_too() {
    let on_x86 = |json: serde_json::Value, number: u32, arguments: [u64; 3]| {
        let [a, b, c] = arguments;
        let data = Data { architecture: ARCH_X86, number, arguments: [a, b, c, 0, 0, 0], ..Data::default() };
        run(&decode(&compiled(json).unwrap().filter), &data)
    };
    const SOCKETCALL: u32 = 102;
    const IPC: u32 = 117;
    let with = |default: &str, rule: serde_json::Value| json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86"], "syscalls": [rule, {"names": ["openat2"], "action": "SCMP_ACT_LOG"}]});
    let connect = with("SCMP_ACT_ALLOW", json!({"names": ["connect", "shmat"], "action": "SCMP_ACT_ERRNO"}));
    assert_eq!(on_x86(connect.clone(), SOCKETCALL, [3, 0, 0]), EPERM);
    assert_eq!(on_x86(connect.clone(), SOCKETCALL, [4, 0, 0]), ALLOW);
    assert_eq!(on_x86(connect.clone(), IPC, [21, 0, 0]), EPERM);
    assert_eq!(on_x86(connect, IPC, [0x1_0015, 0, 0]), EPERM, "whatever the version in the upper half");

    // Its arguments are in memory: forbidden altogether, or not permitted.
    let args = json!([{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]);
    let alg = with("SCMP_ACT_ALLOW", json!({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": args}));
    assert_eq!(on_x86(alg, SOCKETCALL, [1, 0, 0]), EPERM);
    let alg = with("SCMP_ACT_ERRNO", json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args}));
    assert_eq!(on_x86(alg.clone(), SOCKETCALL, [1, 0, 0]), EPERM);
    assert_eq!(on_x86(alg, 359, [38, 0, 0]), ALLOW);
}

#[test]
fn flags_default_to_spec_allow_but_an_empty_list_is_none() {
    let flags = |flags: serde_json::Value, action: &str| {
        let rules = json!([{"names": ["keyctl"], "action": action}]);
        let program = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags, "syscalls": rules})).unwrap();
        assert_eq!(program.listener, action == "SCMP_ACT_NOTIFY");
        program.flags
    };
    let (log, spec_allow, wait) =
        ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
    assert_eq!(flags(json!(null), "SCMP_ACT_KILL"), 4);
    assert_eq!(flags(json!([]), "SCMP_ACT_KILL"), 0);
    assert_eq!(flags(json!([log, spec_allow, "SECCOMP_FILTER_FLAG_TSYNC"]), "SCMP_ACT_KILL"), 2 | 4);
    assert_eq!(flags(json!([wait]), "SCMP_ACT_KILL"), 0, "nothing to wait for");
    assert_eq!(flags(json!([wait]), "SCMP_ACT_NOTIFY"), 8 | 32);
    assert_eq!(flags(json!(null), "SCMP_ACT_NOTIFY"), 4 | 8);
}

#[test]
fn what_cannot_be_right_is_refused_with_its_place() {
    let with = |rule: serde_json::Value| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, rule]});
    refused(
        json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
        "/defaultAction",
        "SCMP_ACT_NOTIFY cannot be used as default action",
    );
    refused(
        json!({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1}),
        "/defaultErrnoRet",
        "SCMP_ACT_KILL takes no errno",
    );
    refused(
        with(json!({"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"})),
        "/syscalls/1/names/1",
        "SCMP_ACT_NOTIFY cannot be used for the write syscall",
    );
    refused(
        with(json!({"names": [""], "action": "SCMP_ACT_ALLOW"})),
        "/syscalls/1/names/0",
        "empty string is not a valid syscall",
    );
    refused(
        with(json!({"names": ["open"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1})),
        "/syscalls/1/errnoRet",
        "SCMP_ACT_ALLOW takes no errno",
    );
    refused(
        with(json!({"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65536})),
        "/syscalls/1/errnoRet",
        "65536 is more than the 16 bits which SCMP_ACT_ERRNO can carry",
    );
    refused(
        with(
            json!({"names": ["open"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}),
        ),
        "/syscalls/1/args/0/index",
        "a system call has six arguments, 0 to 5",
    );
    let archs = |arch: &str| json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", arch]});
    refused(archs("SCMP_ARCH_PARISC64"), "/architectures/1", "SCMP_ARCH_PARISC64 is not supported");
    refused(archs("SCMP_ARCH_S390X"), "/architectures/1", "SCMP_ARCH_S390X has not the byte order of this host");
}

#[test]
fn a_filter_that_the_kernel_would_not_take_is_refused() {
    let values = (0..600_u64).map(|value| json!({"index": 0, "value": value << 32 | value, "op": "SCMP_CMP_NE"}));
    let rule =
        json!({"names": ["ioctl", "fcntl"], "action": "SCMP_ACT_LOG", "args": values.clone().collect::<Vec<_>>()});
    assert!(compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})).is_ok());
    let rule =
        json!({"names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": values.clone().chain(values).collect::<Vec<_>>()});
    let problem = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})).unwrap_err();
    assert!(
        problem.message.ends_with("instructions, the kernel takes 4096") && problem.pointer == "/syscalls",
        "{problem}"
    );
}

#[test]
fn a_listener_needs_a_path_and_metadata_too() {
    let check = |json: serde_json::Value| check_listener(&profile(json)).map_err(|problem| problem.to_string());
    let notify = json!([{"names": ["keyctl"], "action": "SCMP_ACT_NOTIFY"}]);
    assert_eq!(
        check(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": notify, "listenerPath": "/run/agent"})),
        Ok(())
    );
    assert_eq!(
        check(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "listenerMetadata": "x"})),
        Ok(())
    );
    let problem = check(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": notify}));
    assert_eq!(problem, Err("/linux/seccomp/listenerPath: seccomp listenerPath is not set".to_owned()));
    let problem = check(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}));
    assert_eq!(problem, Err("/linux/seccomp/listenerMetadata: given without listenerPath".to_owned()));
}

#[test]
fn dockers_default_profile_is_small_and_means_what_it_says() {
    let profile = docker_default();
    let program = compile_on(Arch::ScmpArchX86_64, &profile).unwrap();
    assert_eq!(program, compile_on(Arch::ScmpArchX86_64, &profile).unwrap(), "the same bytes each time");
    assert!(program.filter.len() / 8 <= 300, "{} instructions", program.filter.len() / 8);
    Reading::new(Arch::ScmpArchX86_64, &profile).sweep(&program);
}

#[test]
fn profiles_of_other_hosts_mean_what_they_say() {
    for (native, listed) in [
        ("SCMP_ARCH_AARCH64", vec!["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        ("SCMP_ARCH_S390X", vec!["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]),
        ("SCMP_ARCH_PPC64LE", vec![]),
        ("SCMP_ARCH_RISCV64", vec!["SCMP_ARCH_RISCV64"]),
        ("SCMP_ARCH_LOONGARCH64", vec!["SCMP_ARCH_LOONGARCH64"]),
        ("SCMP_ARCH_MIPS64", vec!["SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"]),
        ("SCMP_ARCH_X86", vec![]),
    ] {
        let mut profile = docker_default();
        profile.set_architectures(Some(listed.iter().map(|arch| arch.parse().unwrap()).collect()));
        let native = native.parse().unwrap();
        Reading::new(native, &profile).sweep(&compile_on(native, &profile).unwrap());
    }
}

#[test]
fn long_filters_jump_as_far_as_they_must() {
    let names = TABLE.iter().map(|(name, _)| name).filter(|name| abis::number(Arch::ScmpArchX86_64, name).is_some());
    let rules = names.take(120).zip(0_u64..).map(|(name, i)| {
        let args = json!([{"index": 0, "value": i << 32 | i, "op": "SCMP_CMP_GT"}, {"index": 3, "value": i, "op": "SCMP_CMP_NE"}]);
        json!({"names": [name], "action": "SCMP_ACT_LOG", "args": args})
    });
    let profile = profile(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules.collect::<Vec<_>>()}));
    let program = compile_on(Arch::ScmpArchX86_64, &profile).unwrap();
    assert!(program.filter.len() / 8 > 1000);
    Reading::new(Arch::ScmpArchX86_64, &profile).sweep(&program);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_profile_means_what_it_says(profile in random::profile(&random::X86)) {
        let program = compile_on(Arch::ScmpArchX86_64, &profile).unwrap();
        Reading::new(Arch::ScmpArchX86_64, &profile).sweep(&program);
    }
}

/// `cargo test --release -p plimsoll-libcontainer cost -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stderr, reason = "figures for people")]
fn the_cost_of_dockers_default_profile() {
    let profile = docker_default();
    let instructions = compile(&profile).unwrap().filter.len() / 8;
    let mut times: Vec<_> = (0..2001)
        .map(|_| {
            let start = std::time::Instant::now();
            std::hint::black_box(compile(std::hint::black_box(&profile)).unwrap());
            start.elapsed()
        })
        .collect();
    let first = times[0];
    times.sort();
    eprintln!("{instructions} instructions, compiled in {:?} (median; first {first:?})", times[1000]);
}
