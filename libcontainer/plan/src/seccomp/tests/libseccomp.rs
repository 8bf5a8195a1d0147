//! The same profile by libseccomp, used as runc uses it.
#![forbid(unsafe_code)]
use super::super::compile_on;
use super::super::meaning::{Reading, abis, value};
use super::super::simulate::{Data, decode, run};
use super::{ENOSYS, docker_default, random};
use ::libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};
use proptest::prelude::{Just, Strategy};

/// The kinds of hosts: first the native architecture, then the others that its kernel may know. None has the other byte
/// order: for those libseccomp turns round the words of some instructions only.
const HOSTS: [&[Arch]; 6] = [
    &random::X86,
    &[Arch::ScmpArchAarch64, Arch::ScmpArchArm],
    &[Arch::ScmpArchRiscv64],
    &[Arch::ScmpArchPpc64le],
    &[Arch::ScmpArchMipsel64, Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64n32],
    &[Arch::ScmpArchLoongarch64],
];

/// `None` if libseccomp refuses the profile.
fn theirs(native: Arch, profile: &LinuxSeccomp) -> Option<Vec<u8>> {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let mut filter = ScmpFilterContext::new(default).unwrap();
    // It begins with what this test runs on.
    filter.remove_arch(ScmpArch::Native).unwrap();
    for arch in archs(native, profile) {
        filter.add_arch(arch.to_string().parse::<ScmpArch>().unwrap()).ok()?;
    }
    for syscall in profile.syscalls().iter().flatten() {
        let action = action(syscall.action(), syscall.errno_ret());
        let args: Vec<_> = syscall.args().iter().flatten().map(condition).collect();
        for name in syscall.names().iter().filter(|_| action != default) {
            let Ok(call) = ScmpSyscall::from_name(name) else {
                continue;
            };
            if repeats(syscall) {
                for arg in &args {
                    filter.add_rule_conditional(action, call, &[*arg]).ok()?;
                }
            } else {
                filter.add_rule_conditional(action, call, &args).ok()?;
            }
        }
    }
    Some(filter.export_bpf_mem_or_file())
}

trait Export {
    fn export_bpf_mem_or_file(&self) -> Vec<u8>;
}

impl Export for ScmpFilterContext {
    /// seccomp_export_bpf_mem came with 2.6.
    fn export_bpf_mem_or_file(&self) -> Vec<u8> {
        use std::io::{Read, Seek};
        let mut file = tempfile();
        self.export_bpf(&file).unwrap();
        file.rewind().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

fn tempfile() -> std::fs::File {
    rustix::fs::memfd_create("bpf", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into()
}

fn repeats(syscall: &LinuxSyscall) -> bool {
    (0..6).any(|index| syscall.args().iter().flatten().filter(|arg| arg.index() == index).count() > 1)
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> ScmpAction {
    use LinuxSeccompAction::*;
    let errno = errno.unwrap_or(1);
    match action {
        ScmpActKill | ScmpActKillThread => ScmpAction::KillThread,
        ScmpActKillProcess => ScmpAction::KillProcess,
        ScmpActTrap => ScmpAction::Trap,
        ScmpActErrno => ScmpAction::Errno(errno.try_into().unwrap()),
        ScmpActNotify => ScmpAction::Notify,
        ScmpActTrace => ScmpAction::Trace(errno.try_into().unwrap()),
        ScmpActLog => ScmpAction::Log,
        ScmpActAllow => ScmpAction::Allow,
    }
}

fn condition(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    use LinuxSeccompOperator::*;
    let index = u32::try_from(arg.index()).unwrap();
    let op = match arg.op() {
        ScmpCmpNe => ScmpCompareOp::NotEqual,
        ScmpCmpLt => ScmpCompareOp::Less,
        ScmpCmpLe => ScmpCompareOp::LessOrEqual,
        ScmpCmpEq => ScmpCompareOp::Equal,
        ScmpCmpGe => ScmpCompareOp::GreaterEqual,
        ScmpCmpGt => ScmpCompareOp::Greater,
        // runc hands over value and valueTwo; the crate's variant carries libseccomp's first.
        ScmpCmpMaskedEq => {
            return ScmpArgCompare::new(
                index,
                ScmpCompareOp::MaskedEqual(arg.value()),
                arg.value_two().unwrap_or_default(),
            );
        }
    };
    ScmpArgCompare::new(index, op, arg.value())
}

/// Of a host, with what a profile lists.
fn archs(native: Arch, profile: &LinuxSeccomp) -> Vec<Arch> {
    let mut archs = profile.architectures().clone().unwrap_or_default();
    archs.push(native);
    archs
}

fn is_of(arch: Arch, data: &Data) -> bool {
    let x32 = data.architecture == Arch::ScmpArchX86_64 as u32 && data.number >= 0x4000_0000;
    abis::audit(arch) == data.architecture && (arch == Arch::ScmpArchX32) == x32
}

/// As in runc's patchbpf, but a call that libseccomp would rather see as socketcall counts too.
fn newest(profile: &LinuxSeccomp, arch: Arch) -> Option<u32> {
    let names = (profile.syscalls().iter().flatten()).flat_map(LinuxSyscall::names);
    let outer = |name: &str| abis::number(arch, abis::multiplexed(name)?.0);
    let numbers = names.flat_map(|name| [abis::number(arch, name), outer(name)]);
    let permissive = matches!(
        profile.default_action(),
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog | LinuxSeccompAction::ScmpActTrace
    );
    let newest = numbers.flatten().max();
    newest.filter(|newest| !permissive && *newest != abis::base(arch))
}

/// False if libseccomp refuses the profile.
#[track_caller]
fn compare(native: Arch, profile: &LinuxSeccomp, except: impl Fn(&Data) -> bool) -> bool {
    let Some(theirs) = theirs(native, profile) else {
        return false;
    };
    let ours = compile_on(native, profile).unwrap();
    let (ours, theirs) = (decode(&ours.filter), decode(&theirs));
    let archs = archs(native, profile);
    let newest: Vec<_> = (archs.iter()).filter_map(|arch| Some((*arch, newest(profile, *arch)?))).collect();
    let unknown: Vec<_> = (archs.iter()).flat_map(|arch| unknown(profile, *arch)).collect();
    for data in Reading::new(native, profile).calls() {
        let Data { architecture, number, .. } = data;
        if except(&data) || unknown.contains(&(architecture, number)) {
            continue;
        }
        let private = |arch: Arch| arch == Arch::ScmpArchArm && (0xf_0000..0xf_0008).contains(&number);
        let enosys = |(arch, newest): &(Arch, u32)| is_of(*arch, &data) && number > *newest && !private(*arch);
        let expected = if newest.iter().any(enosys) { ENOSYS } else { run(&theirs, &data) };
        let got = run(&ours, &data);
        assert_eq!(got, expected, "{got:#x} instead of {expected:#x} for {data:x?} on {native} of {profile:?}");
    }
    true
}

/// Calls that it knows, but not on each ABI.
fn unknown(profile: &LinuxSeccomp, arch: Arch) -> Vec<(u32, u32)> {
    let theirs = arch.to_string().parse::<ScmpArch>().unwrap();
    let known = |name: &str| ScmpSyscall::from_name_by_arch(name, theirs).is_ok_and(|call| i32::from(call) >= -999);
    let names = (profile.syscalls().iter().flatten()).flat_map(LinuxSyscall::names);
    let numbers = names.filter(|name| !known(name)).filter_map(|name| abis::number(arch, name));
    numbers.map(|number| (abis::audit(arch), number)).collect()
}

/// Debian's libseccomp is of 2022.
fn without_unknown_names(mut profile: LinuxSeccomp) -> LinuxSeccomp {
    let known = |name: &String| ScmpSyscall::from_name(name).is_ok();
    let mut syscalls = profile.syscalls().clone().unwrap_or_default();
    for syscall in &mut syscalls {
        syscall.set_names(syscall.names().iter().filter(|name| known(name)).cloned().collect());
    }
    profile.set_syscalls(Some(syscalls));
    profile
}

#[test]
fn dockers_default_profile_does_what_libseccomp_makes_of_it() {
    let mut profile = without_unknown_names(docker_default());
    let mut compared = 0;
    for archs in HOSTS {
        profile.set_architectures(Some(archs.to_vec()));
        compared += usize::from(compare(archs[0], &profile, |_| false));
    }
    // loongarch64 came with 2.6.
    assert!(compared >= HOSTS.len() - 1, "{compared}");
}

/// Rules that we mean to treat differently: see docs/seccomp.md.
fn without_disagreement(native: Arch, mut profile: LinuxSeccomp) -> LinuxSeccomp {
    use LinuxSeccompOperator::*;
    let default = value(profile.default_action(), profile.default_errno_ret());
    let mut actions = std::collections::BTreeMap::new();
    let mut syscalls = profile.syscalls().clone().unwrap_or_default();
    let mut conditional = std::collections::BTreeMap::new();
    // It also forgets to load the number if the rule it puts first has no number on an ABI.
    let archs = archs(native, &profile);
    for syscall in &mut syscalls {
        let everywhere = |name: &&String| archs.iter().all(|arch| abis::number(*arch, name).is_some());
        syscall.set_names(syscall.names().iter().filter(everywhere).cloned().collect());
        // libseccomp 2.5 merges the trees of `>= 0x300000007` and `< 0` wrongly: its filter refuses 0xffffffff.
        // So for NE. Only equalities may share a call.
        let equality = |arg: &LinuxSeccompArg| matches!(arg.op(), ScmpCmpEq | ScmpCmpMaskedEq);
        let args = syscall.args().clone().unwrap_or_default();
        if !args.is_empty() {
            let equalities = args.iter().all(equality);
            if !equalities && repeats(syscall) {
                syscall.set_args(Some(args[..1].to_vec()));
            }
            let mut may = |name: &String| match conditional.get(name) {
                Some(before) => *before && equalities,
                None => conditional.insert(name.clone(), equalities).is_none(),
            };
            let kept = syscall.names().iter().filter(|name| may(name)).cloned().collect();
            syscall.set_names(kept);
        }
        let action = value(syscall.action(), syscall.errno_ret());
        let conditional = syscall.args().as_ref().is_some_and(|args| !args.is_empty());
        // Actions that differ while their conditions may overlap.
        let agrees = |name: &&String| {
            let muxed = abis::multiplexed(name).map(|(outer, _)| outer.to_owned());
            action == default
                || !conditional && muxed.is_none()
                || *actions.entry(muxed.unwrap_or_else(|| name.to_string())).or_insert(action) == action
        };
        syscall.set_names(syscall.names().iter().filter(agrees).cloned().collect());
    }
    profile.set_syscalls(Some(syscalls));
    profile
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_profile_does_what_libseccomp_makes_of_it((native, profile) in (0..HOSTS.len()).prop_flat_map(of_host)) {
        let profile = without_disagreement(native, profile);
        let archs = archs(native, &profile);
        let multiplexer = |data: &Data| {
            let calls = ["socketcall", "ipc"];
            let is_one = |arch: Arch| calls.iter().any(|name| abis::number(arch, name) == Some(data.number));
            archs.iter().any(|arch| is_of(*arch, data) && is_one(*arch))
        };
        compare(native, &profile, multiplexer);
    }
}

fn of_host(host: usize) -> impl Strategy<Value = (Arch, LinuxSeccomp)> {
    (Just(HOSTS[host][0]), random::profile(HOSTS[host]))
}
