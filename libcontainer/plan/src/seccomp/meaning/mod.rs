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
        if !action::Action(default).is_permissive() && self.is_newer(data.number) {
            return ENOSYS.0;
        }
        let mut weights = Weights::default();
        for (_, inner, syscall) in self.entries(data) {
            let action = value(syscall.action(), syscall.errno_ret());
            let args = syscall.args().as_deref().unwrap_or_default();
            if action == default {
                continue;
            }
            if inner {
                weights.weigh_inner(self, action, args, default);
            } else {
                weights.weigh(self, action, args, data);
            }
        }
        weights.outcome().unwrap_or(default)
    }

    /// Newer than all calls that the profile knows, on an ABI of which it knows any.
    fn is_newer(&self, number: u32) -> bool {
        let private = self.arch == Arch::ScmpArchArm && (0xf_0000..0xf_0008).contains(&number);
        let setup = number == 0 && matches!(self.arch, Arch::ScmpArchS390 | Arch::ScmpArchS390x);
        let base = abis::base(self.arch);
        self.newest.is_some_and(|newest| newest != base && (setup || number > newest && !private))
    }

    /// The entries about a call, in the profile's order; `true` for those about a call that this one multiplexes.
    fn entries(&self, data: &Data) -> Vec<(usize, bool, &'a LinuxSyscall)> {
        let direct = self.direct.get(&data.number).into_iter().flatten();
        let mut entries: Vec<_> = direct.map(|(i, syscall)| (*i, false, *syscall)).collect();
        let ipc = abis::number(self.arch, "ipc") == Some(data.number);
        let selector = if ipc { data.arguments[0] & 0xffff } else { self.seen(data.arguments[0]) };
        if let Ok(selector) = u32::try_from(selector) {
            let inner = self.multiplexed.get(&(data.number, selector)).into_iter().flatten();
            entries.extend(inner.map(|(i, syscall)| (*i, true, *syscall)));
        }
        entries.sort_by_key(|(i, ..)| *i);
        entries
    }

    /// What a filter sees of an argument.
    fn seen(&self, argument: u64) -> u64 {
        if abis::is_wide(self.arch) { argument } else { argument & 0xffff_ffff }
    }

    /// It holds for each value.
    fn is_idle(&self, arg: &LinuxSeccompArg) -> bool {
        arg.op() == LinuxSeccompOperator::ScmpCmpMaskedEq && self.seen(arg.value()) == 0
    }

    fn holds(&self, arg: &LinuxSeccompArg, data: &Data) -> bool {
        let [argument, value, two] =
            [data.arguments[arg.index()], arg.value(), arg.value_two().unwrap_or_default()].map(|part| self.seen(part));
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
}

/// The actions of the rules that apply to a call: those without a condition, and those whose conditions hold.
#[derive(Default)]
struct Weights {
    always: Vec<u32>,
    holding: Vec<u32>,
}

impl Weights {
    fn weigh(&mut self, meaning: &Meaning<'_>, action: u32, args: &[LinuxSeccompArg], data: &Data) {
        let idle = |arg: &LinuxSeccompArg| meaning.is_idle(arg);
        let holds = |arg: &LinuxSeccompArg| meaning.holds(arg, data);
        // Several conditions on one argument are rules of their own.
        let (always, holding) = match repeated(args) {
            true => (args.iter().any(idle), args.iter().any(holds)),
            false => (args.iter().all(idle), args.iter().all(holds)),
        };
        if always {
            self.always.push(action);
        } else if holding {
            self.holding.push(action);
        }
    }

    /// A rule about a call that another one multiplexes: its arguments are behind a pointer.
    fn weigh_inner(&mut self, meaning: &Meaning<'_>, action: u32, args: &[LinuxSeccompArg], default: u32) {
        let idle = |arg: &LinuxSeccompArg| meaning.is_idle(arg);
        let certain = args.iter().all(idle) || repeated(args) && args.iter().any(idle);
        if certain || rank(action) < rank(default) {
            self.holding.push(action);
        }
    }

    fn outcome(&self) -> Option<u32> {
        let most_restrictive =
            self.holding.iter().copied().reduce(|best, next| if rank(next) < rank(best) { next } else { best });
        self.always.first().copied().or(most_restrictive)
    }
}

fn rank(action: u32) -> i32 {
    (action & 0xffff_0000) as i32
}

fn repeated(args: &[LinuxSeccompArg]) -> bool {
    (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1)
}

pub(in crate::seccomp) fn value(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    action.as_u32(errno)
}
