//! [Seccomp](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp): from
//! `linux.seccomp` to the program that the kernel runs before each system call.
//!
//! Pure: nothing is asked of this host but its architecture, and the same profile gives the same bytes.
//! The way of a profile: `rules` (what is asked for) → `verdicts` (what each number comes to, on each ABI) →
//! `emit` (instructions). What differs from libseccomp is in `docs/seccomp.md`.
#![forbid(unsafe_code)]
mod abi;
mod action;
mod emit;
mod multiplexed;
mod numbers;
mod rules;
mod table;
mod verdicts;

#[cfg(any(test, fuzzing, feature = "laws"))]
mod meaning;
mod simulate;
#[cfg(test)]
mod tests;

use abi::Abi;
use action::Action;
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};
use std::fmt;
use verdicts::{Range, Verdict};

/// What seccomp(2) is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// An array of `struct sock_filter`, as it lies in memory.
    pub filter: Vec<u8>,
    /// SECCOMP_FILTER_FLAG_*
    pub flags: u32,
    /// Some rule asks an agent, so that seccomp(2) returns a descriptor.
    pub listener: bool,
    /// What each number of this host's own ABI comes to.
    native: Vec<Range>,
}

/// What a filter says to a call, whatever its arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It happens.
    Allowed,
    /// It fails, or ends the process.
    Denied,
    /// Its arguments or an agent decide.
    Open,
}

impl Program {
    /// To the call of this name in this host's own ABI.
    pub fn answer(&self, name: &str) -> Answer {
        let Some(number) = native_number(name) else { return Answer::Open };
        match self.native.iter().rev().find(|range| range.start <= number).map(|range| range.verdict) {
            Some(Verdict::Always(action)) => action.answer(),
            Some(Verdict::Depends(_)) | None => Answer::Open,
        }
    }
}

/// Why a profile cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, beneath `/linux/seccomp`: `/syscalls/3/args/0/index`.
    pub pointer: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/linux/seccomp{}: {}", self.pointer, self.message)
    }
}

impl std::error::Error for Problem {}

// linux/seccomp.h
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// BPF_MAXINSNS
const MOST_INSTRUCTIONS: usize = 4096;

/// The program for this host's architecture and those which the profile lists.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program, Problem> {
    compile_on(Arch::ScmpArchNative, profile)
}

/// Whether a filter of ours lets a call of this host's own ABI pass, with these first two arguments.
pub fn allows(filter: &[u8], call: &str, arguments: [u64; 2]) -> bool {
    const RET_ALLOW: u32 = 0x7fff_0000;
    const RET_LOG: u32 = 0x7ffc_0000;
    let (Some(abi), Some(number)) = (abi::native().and_then(Abi::of), native_number(call)) else { return false };
    let [first, second] = arguments;
    let data = simulate::Data {
        number,
        architecture: abi.audit,
        arguments: [first, second, 0, 0, 0, 0],
        big_endian: abi.big_endian(),
    };
    matches!(simulate::run(&simulate::decode(filter), &data), RET_ALLOW | RET_LOG)
}

fn native_number(call: &str) -> Option<u32> {
    let abi = abi::native().and_then(Abi::of)?;
    Some(abi.base + u32::from(numbers::Call::named(call)?.cell(abi.column)?))
}

/// For the fuzzer: the compiled profile does what it means, or is refused for something that is in it.
#[cfg(any(test, fuzzing, feature = "laws"))]
pub fn check_meaning(profile: &LinuxSeccomp, seed: u64) -> Result<(), Problem> {
    let program = compile_on(Arch::ScmpArchX86_64, profile)?;
    assert!(simulate::is_accepted(&simulate::decode(&program.filter)), "{profile:?}");
    assert_eq!(compile_on(Arch::ScmpArchX86_64, profile).as_ref(), Ok(&program), "the same bytes each time");
    meaning::Reading::new(Arch::ScmpArchX86_64, profile).spot_check(&program, seed);
    Ok(())
}

fn compile_on(native: Arch, profile: &LinuxSeccomp) -> Result<Program, Problem> {
    let default = default_action(profile)?;
    let architectures = architectures(native, profile)?;
    let syscalls = profile.syscalls().as_deref().unwrap_or_default();
    let entries =
        (syscalls.iter().enumerate()).map(|(i, syscall)| rules::entry(syscall, i)).collect::<Result<Vec<_>, _>>()?;
    let multiplexed = multiplexed::Multiplexed::new();
    let rules = verdicts::Rules { entries: &entries, multiplexed: &multiplexed, default };

    let mut decisions = Vec::new();
    let trees: Vec<_> = (architectures.iter())
        .map(|abis| (abis[0].audit, verdicts::of_architecture(abis, &rules, &mut decisions)))
        .collect();
    let native = trees.first().map(|(_, ranges)| ranges.clone()).unwrap_or_default();
    let big_endian = architectures[0][0].big_endian();
    let instructions = emit::Writer::new(big_endian, default, &decisions).program(&trees);
    if instructions.len() > MOST_INSTRUCTIONS {
        let message =
            format!("the filter has {} instructions, the kernel takes {MOST_INSTRUCTIONS}", instructions.len());
        return Err(Problem { pointer: "/syscalls".to_owned(), message });
    }

    let listener = syscalls.iter().any(|syscall| syscall.action() == LinuxSeccompAction::ScmpActNotify);
    Ok(Program { filter: bytes(&instructions), flags: flags(profile, listener), listener, native })
}

/// A listener without anyone to talk to, or the other way round.
///
/// The path may be given without a rule that notifies; it is not used then.
pub fn check_listener(profile: &LinuxSeccomp) -> Result<(), Problem> {
    let problem =
        |pointer: &str, message: &str| Err(Problem { pointer: pointer.to_owned(), message: message.to_owned() });
    let path = profile.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    let notifies = |i: &LinuxSeccompAction| *i == LinuxSeccompAction::ScmpActNotify;
    let syscalls = profile.syscalls().as_deref().unwrap_or_default();
    match path {
        Some(_) => Ok(()),
        None if profile.listener_metadata().as_deref().is_some_and(|metadata| !metadata.is_empty()) => {
            problem("/listenerMetadata", "given without listenerPath")
        }
        None if syscalls.iter().any(|syscall| notifies(&syscall.action())) => {
            problem("/listenerPath", "seccomp listenerPath is not set")
        }
        None => Ok(()),
    }
}

fn default_action(profile: &LinuxSeccomp) -> Result<Action, Problem> {
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        let message = "SCMP_ACT_NOTIFY cannot be used as default action".to_owned();
        return Err(Problem { pointer: "/defaultAction".to_owned(), message });
    }
    Action::new(profile.default_action(), profile.default_errno_ret(), &|| "/defaultErrnoRet".to_owned())
}

/// The native architecture comes first and is always there. ABIs that the kernel does not tell apart are together.
fn architectures(native: Arch, profile: &LinuxSeccomp) -> Result<Vec<Vec<Abi>>, Problem> {
    let unsupported = |pointer: String, arch: Arch| Problem { pointer, message: format!("{arch} is not supported") };
    let native = Abi::of(native).ok_or_else(|| unsupported("/architectures".to_owned(), native))?;
    let mut all = vec![vec![native]];
    for (i, arch) in profile.architectures().iter().flatten().enumerate() {
        let pointer = || format!("/architectures/{i}");
        let abi = match arch {
            Arch::ScmpArchNative => native,
            _ => Abi::of(*arch).ok_or_else(|| unsupported(pointer(), *arch))?,
        };
        if abi.big_endian() != native.big_endian() {
            return Err(Problem { pointer: pointer(), message: format!("{arch} has not the byte order of this host") });
        }
        match all.iter_mut().find(|abis| abis[0].audit == abi.audit) {
            Some(abis) if abis.contains(&abi) => {}
            Some(abis) => abis.push(abi),
            None => all.push(vec![abi]),
        }
    }
    // By number: x32's have the higher ones.
    all.iter_mut().for_each(|abis| abis.sort_by_key(|abi| abi.base));
    Ok(all)
}

fn flags(profile: &LinuxSeccomp, listener: bool) -> u32 {
    use LinuxSeccompFilterFlag::*;
    // As runc has it: no list is not the same as an empty one.
    let Some(flags) = profile.flags() else {
        return FLAG_SPEC_ALLOW | if listener { FLAG_NEW_LISTENER } else { 0 };
    };
    let bit = |flag: &LinuxSeccompFilterFlag| match flag {
        SeccompFilterFlagLog => FLAG_LOG,
        SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
        // The kernel refuses it for a filter that never notifies.
        SeccompFilterFlagWaitKillableRecv if listener => FLAG_WAIT_KILLABLE_RECV,
        SeccompFilterFlagWaitKillableRecv => 0,
        // The filter is loaded by a process of one thread, and TSYNC excludes a listener.
        SeccompFilterFlagTsync => 0,
    };
    flags.iter().fold(if listener { FLAG_NEW_LISTENER } else { 0 }, |all, flag| all | bit(flag))
}

fn bytes(instructions: &[emit::Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * instructions.len());
    for one in instructions {
        bytes.extend(one.code.to_ne_bytes());
        bytes.extend([one.jt, one.jf]);
        bytes.extend(one.k.to_ne_bytes());
    }
    bytes
}
