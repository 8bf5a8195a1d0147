//! A profile read directly, rule by rule and number by number, to compare programs with.
#![forbid(unsafe_code)]
pub(in crate::seccomp) mod abis;

use super::action::{ENOSYS, KILL_THREAD};
use super::simulate::{Data, decode, run};
use super::{Program, abi, action};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(in crate::seccomp) struct Reading<'a> {
    profile: &'a LinuxSeccomp,
    abis: Vec<Meaning<'a>>,
}

/// What a profile says about one ABI.
#[derive(Debug)]
struct Meaning<'a> {
    arch: Arch,
    direct: BTreeMap<u32, Vec<(usize, &'a LinuxSyscall)>>,
    /// By what calls them: socketcall or ipc, and the number they have there.
    multiplexed: BTreeMap<(u32, u32), Vec<(usize, &'a LinuxSyscall)>>,
    newest: Option<u32>,
}

impl<'a> Reading<'a> {
    pub(in crate::seccomp) fn new(native: Arch, profile: &'a LinuxSeccomp) -> Self {
        let mut archs = vec![native];
        for arch in profile.architectures().iter().flatten().filter(|arch| **arch != Arch::ScmpArchNative) {
            if !archs.contains(arch) {
                archs.push(*arch);
            }
        }
        Reading { profile, abis: archs.iter().map(|arch| Meaning::new(*arch, profile)).collect() }
    }

    pub(in crate::seccomp) fn of(&self, data: &Data) -> u32 {
        let x32 = data.architecture == Arch::ScmpArchX86_64 as u32 && data.number >= abi::X32_BIT;
        let wanted =
            |abi: &&Meaning<'_>| abis::audit(abi.arch) == data.architecture && (abi.arch == Arch::ScmpArchX32) == x32;
        match self.abis.iter().find(wanted) {
            Some(abi) => abi.of(self.profile, data),
            None if data.number == u32::MAX && x32 && self.abis.iter().any(|abi| abi.arch == Arch::ScmpArchX86_64) => {
                value(self.profile.default_action(), self.profile.default_errno_ret())
            }
            None => KILL_THREAD.0,
        }
    }

    /// All numbers there are and some more, on each architecture, with telling arguments.
    #[cfg(test)]
    pub(in crate::seccomp) fn sweep(&self, program: &Program) {
        let instructions = decode(&program.filter);
        for data in self.calls() {
            let (expected, got) = (self.of(&data), run(&instructions, &data));
            assert_eq!(got, expected, "{got:#x} instead of {expected:#x} for {data:x?} of {:?}", self.profile);
        }
    }

    /// The same for some calls, mostly of those that a rule is about.
    pub(in crate::seccomp) fn spot_check(&self, program: &Program, mut seed: u64) {
        let instructions = decode(&program.filter);
        let vectors = self.vectors();
        let mut numbers: Vec<(u32, u32)> = Vec::new();
        for abi in &self.abis {
            let architecture = abis::audit(abi.arch);
            let about = abi.direct.keys().chain(abi.multiplexed.keys().map(|(outer, _)| outer)).chain(&abi.newest);
            numbers.extend(about.map(|number| (architecture, *number)));
            numbers.extend(self.numbers().step_by(97).map(|number| (architecture, number)));
        }
        let mut any = |count: usize| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap_or(0) % count
        };
        for _ in 0..256 {
            let (architecture, number) = numbers[any(numbers.len())];
            let number = number.wrapping_add([0, 0, 0, 1, u32::MAX][any(5)]);
            let architecture = if any(32) == 0 { 0 } else { architecture };
            let mut arguments = vectors[any(vectors.len())];
            // What socketcall and ipc multiplex.
            arguments[0] = if any(4) == 0 { any(30) as u64 } else { arguments[0] };
            let data = Data { number, architecture, arguments, big_endian: self.is_big_endian() };
            let (expected, got) = (self.of(&data), run(&instructions, &data));
            assert_eq!(got, expected, "{got:#x} instead of {expected:#x} for {data:x?} of {:?}", self.profile);
        }
    }

    fn is_big_endian(&self) -> bool {
        self.abis[0].arch as u32 & 0x4000_0000 == 0
    }

    #[cfg(test)]
    pub(in crate::seccomp) fn calls(&self) -> impl Iterator<Item = Data> {
        let big_endian = self.is_big_endian();
        let mut architectures: BTreeSet<u32> = self.abis.iter().map(|abi| abis::audit(abi.arch)).collect();
        architectures.extend([0, Arch::ScmpArchX86_64 as u32]);
        let vectors = self.vectors();
        let numbers: Vec<u32> = self.numbers().collect();
        let mut calls = Vec::new();
        for (architecture, number) in
            architectures.iter().flat_map(|architecture| numbers.iter().map(move |number| (*architecture, *number)))
        {
            let about = |abi: &Meaning<'_>| {
                abi.direct.contains_key(&number)
                    || abi.multiplexed.range((number, 0)..=(number, u32::MAX)).next().is_some()
            };
            // Where no rule could look at arguments, two of each.
            let vectors = if self.abis.iter().any(about) { &vectors[..] } else { &vectors[vectors.len() - 2..] };
            calls.extend(vectors.iter().map(|arguments| Data {
                number,
                architecture,
                arguments: *arguments,
                big_endian,
            }));
        }
        calls.into_iter()
    }

    /// Values at which some comparison changes its mind, in many combinations.
    fn vectors(&self) -> Vec<[u64; 6]> {
        let mut values = vec![0, 1, u64::from(u32::MAX), u64::MAX];
        for arg in self.profile.syscalls().iter().flatten().flat_map(|syscall| syscall.args().iter().flatten()) {
            let two = arg.value_two().unwrap_or_default();
            let value = arg.value();
            values.extend([
                value.wrapping_sub(1),
                value,
                value.wrapping_add(1),
                value ^ 1 << 32,
                two,
                two & value,
                !value | two,
            ]);
        }
        values.sort_unstable();
        values.dedup();
        let mut vectors: Vec<[u64; 6]> = values.iter().take(24).map(|value| [*value; 6]).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        vectors.extend((0..12).map(|_| {
            [(); 6].map(|()| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                values[usize::try_from(state >> 33).unwrap() % values.len()]
            })
        }));
        vectors
    }

    fn numbers(&self) -> impl Iterator<Item = u32> {
        let sides = [3999, 9999, 0xe_ffff, abi::X32_BIT - 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
        let mut bases: BTreeSet<u32> = self.abis.iter().map(|abi| abis::base(abi.arch)).collect();
        bases.extend([0, 0xf_0000, abi::X32_BIT]);
        bases.into_iter().flat_map(|base| base..base + 600).chain(sides)
    }
}

impl<'a> Meaning<'a> {
    fn new(arch: Arch, profile: &'a LinuxSeccomp) -> Self {
        let mut meaning = Meaning { arch, direct: BTreeMap::new(), multiplexed: BTreeMap::new(), newest: None };
        for (i, syscall) in profile.syscalls().iter().flatten().enumerate() {
            for name in syscall.names() {
                if let Some(number) = abis::number(arch, name) {
                    meaning.direct.entry(number).or_default().push((i, syscall));
                    meaning.newest =
                        meaning.newest.max(Some(number).filter(|number| !(0xf_0000..0x10_0000).contains(number)));
                }
                let multiplexed = abis::multiplexed(name);
                if let Some((outer, inner)) =
                    multiplexed.and_then(|(outer, inner)| Some((abis::number(arch, outer)?, inner)))
                {
                    meaning.newest = meaning.newest.max(Some(outer));
                    meaning.multiplexed.entry((outer, inner)).or_default().push((i, syscall));
                }
            }
        }
        meaning
    }

    fn of(&self, profile: &LinuxSeccomp, data: &Data) -> u32 {
        let default = value(profile.default_action(), profile.default_errno_ret());
        let wide = abis::is_wide(self.arch);
        let seen = |argument: u64| {
            if wide { argument } else { argument & 0xffff_ffff }
        };

        let base = abis::base(self.arch);
        let permissive = action::Action(default).is_permissive();
        let private = self.arch == Arch::ScmpArchArm && (0xf_0000..0xf_0008).contains(&data.number);
        if let Some(newest) = self.newest.filter(|newest| *newest != base && !permissive) {
            let setup = data.number == 0 && matches!(self.arch, Arch::ScmpArchS390 | Arch::ScmpArchS390x);
            if setup || data.number > newest && !private {
                return ENOSYS.0;
            }
        }

        let mut always = Vec::new();
        let mut holding = Vec::new();
        let mut weigh = |syscall: &LinuxSyscall, inner: bool| {
            let action = value(syscall.action(), syscall.errno_ret());
            if action == default {
                return;
            }
            let args = syscall.args().as_deref().unwrap_or_default();
            let idle =
                |arg: &LinuxSeccompArg| arg.op() == LinuxSeccompOperator::ScmpCmpMaskedEq && seen(arg.value()) == 0;
            if inner {
                let alternatives = repeated(args) && args.iter().any(idle);
                let certain = args.iter().all(idle) || alternatives;
                if certain || rank(action) < rank(default) {
                    holding.push(action);
                }
                return;
            }
            let holds = |arg: &LinuxSeccompArg| holds(arg, data.arguments[arg.index()], &seen);
            if repeated(args) {
                // Each a rule of its own.
                if args.iter().any(idle) {
                    always.push(action);
                } else if args.iter().any(holds) {
                    holding.push(action);
                }
            } else if args.iter().all(idle) {
                always.push(action);
            } else if args.iter().all(holds) {
                holding.push(action);
            }
        };
        let mut entries: Vec<(usize, bool, &LinuxSyscall)> = Vec::new();
        for (i, syscall) in self.direct.get(&data.number).into_iter().flatten() {
            entries.push((*i, false, syscall));
        }
        let first = data.arguments[0] & 0xffff_ffff;
        let ipc = abis::number(self.arch, "ipc") == Some(data.number);
        let selector = if ipc {
            first & 0xffff
        } else if wide {
            data.arguments[0]
        } else {
            first
        };
        if let Ok(selector) = u32::try_from(selector) {
            let inner = self.multiplexed.get(&(data.number, selector));
            entries.extend(inner.into_iter().flatten().map(|(i, syscall)| (*i, true, *syscall)));
        }
        entries.sort_by_key(|(i, ..)| *i);
        for (_, inner, syscall) in entries {
            weigh(syscall, inner);
        }
        let holding = || holding.iter().copied().reduce(|best, next| if rank(next) < rank(best) { next } else { best });
        always.first().copied().or_else(holding).unwrap_or(default)
    }
}

fn rank(action: u32) -> i32 {
    (action & 0xffff_0000) as i32
}

fn repeated(args: &[LinuxSeccompArg]) -> bool {
    (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1)
}

fn holds(arg: &LinuxSeccompArg, argument: u64, seen: &dyn Fn(u64) -> u64) -> bool {
    let (argument, value, two) = (seen(argument), seen(arg.value()), seen(arg.value_two().unwrap_or_default()));
    match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => argument != value,
        LinuxSeccompOperator::ScmpCmpLt => argument < value,
        LinuxSeccompOperator::ScmpCmpLe => argument <= value,
        LinuxSeccompOperator::ScmpCmpEq => argument == value,
        LinuxSeccompOperator::ScmpCmpGe => argument >= value,
        LinuxSeccompOperator::ScmpCmpGt => argument > value,
        LinuxSeccompOperator::ScmpCmpMaskedEq => argument & value == two & value,
    }
}

pub(in crate::seccomp) fn value(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    action.as_u32(errno)
}
