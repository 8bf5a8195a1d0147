//! From ranges to instructions.
//!
//! The program is written from its end, so that the distance of each jump is known when it is written:
//! classic BPF jumps only forwards. A conditional jump reaches 255 instructions; beyond that a `ja` goes the rest of the way, or
//! the returned action is written once more.
#![forbid(unsafe_code)]
use super::action::{Action, KILL_THREAD};
use super::rules::{Compare, Condition, Rule};
use super::verdicts::{Decision, Range, Verdict};

/// `struct sock_filter`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) jt: u8,
    pub(super) jf: u8,
    pub(super) k: u32,
}

// linux/bpf_common.h
pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// struct seccomp_data
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Return(Action),
    /// How many instructions precede it when counted from the end of the program.
    At(usize),
}

#[derive(Debug)]
pub(super) struct Writer<'a> {
    big_endian: bool,
    default: Action,
    decisions: &'a [Decision],
    /// Where each decision was written.
    written: Vec<Option<usize>>,
    /// Where each action was last returned.
    returns: Vec<(Action, usize)>,
    /// Last instruction first.
    reversed: Vec<Instruction>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(big_endian: bool, default: Action, decisions: &'a [Decision]) -> Self {
        let written = vec![None; decisions.len()];
        Writer { big_endian, default, decisions, written, returns: Vec::new(), reversed: Vec::with_capacity(512) }
    }

    /// An architecture that is not listed gets what libseccomp gives it.
    pub(super) fn program(mut self, architectures: &[(u32, Vec<Range>)]) -> Vec<Instruction> {
        let mut target = Target::Return(KILL_THREAD);
        for (audit, ranges) in architectures.iter().rev() {
            let tree = self.tree(&units(ranges));
            let tree = self.load(NUMBER, tree);
            target = self.branch(EQUAL, *audit, tree, target);
        }
        let start = self.load(ARCHITECTURE, target);
        self.go(start);
        self.reversed.reverse();
        self.reversed
    }

    /// Expects the number in the accumulator.
    fn tree(&mut self, units: &[Unit]) -> Target {
        match units {
            [] => Target::Return(self.default),
            [unit] => {
                let mut target = self.verdict(unit.verdict);
                for (number, verdict) in unit.exceptions.iter().rev().flatten() {
                    let exception = self.verdict(*verdict);
                    target = self.branch(EQUAL, *number, exception, target);
                }
                target
            }
            _ => {
                let (left, right) = units.split_at(units.len() / 2);
                let start = right.first().map_or(0, |unit| unit.start);
                let (right, left) = (self.tree(right), self.tree(left));
                self.branch(GREATER_OR_EQUAL, start, right, left)
            }
        }
    }

    fn verdict(&mut self, verdict: Verdict) -> Target {
        match verdict {
            Verdict::Always(action) => Target::Return(action),
            Verdict::Depends(i) => {
                if let Some(at) = self.written[i] {
                    return Target::At(at);
                }
                let target = self.decision(&self.decisions[i]);
                if let Target::At(at) = target {
                    self.written[i] = Some(at);
                }
                target
            }
        }
    }

    fn decision(&mut self, decision: &Decision) -> Target {
        let mut otherwise = Target::Return(self.default);
        let mut rules = &decision.rules[..];
        while let Some((last, before)) = rules.split_last() {
            // Values of one argument that only differ in their low half are compared after one load.
            let group = rules.iter().rev().take_while(|rule| are_siblings(rule, last)).count().max(1);
            if let (true, [condition]) = (group > 1, &last.conditions[..]) {
                let (before, values) = rules.split_at(rules.len() - group);
                let mut low = otherwise;
                for value in values.iter().rev().filter_map(|rule| rule.conditions.first()) {
                    low = self.branch(EQUAL, low_half(value.value), Target::Return(last.action), low);
                }
                let low = self.load(self.low(condition.index), low);
                otherwise = self.high_equal(*condition, low, otherwise);
                rules = before;
                continue;
            }
            let mut then = Target::Return(last.action);
            for condition in last.conditions.iter().rev() {
                then = self.condition(*condition, then, otherwise, decision.wide);
            }
            otherwise = then;
            rules = before;
        }
        otherwise
    }

    fn condition(&mut self, condition: Condition, then: Target, otherwise: Target, wide: bool) -> Target {
        let (then, otherwise) = if condition.negated { (otherwise, then) } else { (then, otherwise) };
        let (index, value, mask) = (condition.index, condition.value, condition.mask);
        let (low, high) = (self.low(index), self.high(index));
        let compare = match condition.compare {
            Compare::Equal => {
                let target = self.masked_equal(low, low_half(mask), low_half(value), then, otherwise);
                return self.high_equal(condition, target, otherwise);
            }
            Compare::GreaterOrEqual => GREATER_OR_EQUAL,
            Compare::Greater => GREATER,
        };
        let target = self.branch(compare, low_half(value), then, otherwise);
        let target = self.load(low, target);
        if !wide {
            return target;
        }
        let target = match high_half(value) {
            // Nothing is less than 0, so what is not equal is greater.
            0 => self.branch(EQUAL, 0, target, then),
            k => {
                let target = self.branch(EQUAL, k, target, otherwise);
                self.branch(GREATER, k, then, target)
            }
        };
        self.load(high, target)
    }

    fn high_equal(&mut self, condition: Condition, then: Target, otherwise: Target) -> Target {
        let (mask, value) = (high_half(condition.mask), high_half(condition.value));
        self.masked_equal(self.high(condition.index), mask, value, then, otherwise)
    }

    fn masked_equal(&mut self, offset: u32, mask: u32, value: u32, then: Target, otherwise: Target) -> Target {
        if mask == 0 {
            return then;
        }
        let mut target = self.branch(EQUAL, value, then, otherwise);
        if mask != u32::MAX {
            target = self.before(AND, mask, target);
        }
        self.load(offset, target)
    }

    fn low(&self, index: u8) -> u32 {
        ARGUMENTS + 8 * u32::from(index) + if self.big_endian { 4 } else { 0 }
    }

    fn high(&self, index: u8) -> u32 {
        ARGUMENTS + 8 * u32::from(index) + if self.big_endian { 0 } else { 4 }
    }

    fn load(&mut self, offset: u32, next: Target) -> Target {
        match next {
            // Nothing left to look at.
            Target::Return(_) => next,
            Target::At(_) => self.before(LOAD, offset, next),
        }
    }

    /// An instruction that is followed by `next`.
    fn before(&mut self, code: u16, k: u32, next: Target) -> Target {
        self.go(next);
        self.push(code, 0, 0, k)
    }

    /// Make `target` what comes next.
    fn go(&mut self, target: Target) {
        match target {
            Target::At(at) if at + 1 == self.reversed.len() => {}
            Target::At(at) => {
                self.push(JUMP, 0, 0, distance(self.reversed.len() - at - 1));
            }
            Target::Return(action) => {
                self.push(RETURN, 0, 0, action.0);
            }
        }
    }

    fn branch(&mut self, code: u16, k: u32, then: Target, otherwise: Target) -> Target {
        if then == otherwise {
            return then;
        }
        // Reaching the second may put one instruction between here and the first.
        let then = self.within(then, 254);
        let otherwise = self.within(otherwise, 255);
        let jump = |at: usize| u8::try_from(self.reversed.len() - at - 1).unwrap_or(u8::MAX);
        let (jt, jf) = (jump(then), jump(otherwise));
        self.push(code, jt, jf, k)
    }

    /// A place that leads to `target` and that a jump from here can reach.
    fn within(&mut self, target: Target, reach: usize) -> usize {
        let here = self.reversed.len();
        match target {
            Target::At(at) if here - at - 1 <= reach => at,
            Target::At(at) => {
                self.push(JUMP, 0, 0, distance(here - at - 1));
                here
            }
            Target::Return(action) => {
                let last = self.returns.iter_mut().find(|(returned, _)| *returned == action);
                match last {
                    Some((_, at)) if here - *at - 1 <= reach => return *at,
                    Some((_, at)) => *at = here,
                    None => self.returns.push((action, here)),
                }
                self.push(RETURN, 0, 0, action.0);
                here
            }
        }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Target {
        self.reversed.push(Instruction { code, jt, jf, k });
        Target::At(self.reversed.len() - 1)
    }
}

/// A range and the single numbers within it that differ.
#[derive(Debug)]
struct Unit {
    start: u32,
    verdict: Verdict,
    exceptions: [Option<(u32, Verdict)>; EXCEPTIONS],
}

/// More would save no instruction and cost time: they are tried one after the other.
const EXCEPTIONS: usize = 3;

/// A single number that differs costs one comparison this way, and two as a range of its own.
fn units(ranges: &[Range]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(ranges.len());
    let mut rest = ranges;
    while let [first, after @ ..] = rest {
        let mut unit = Unit { start: first.start, verdict: first.verdict, exceptions: [None; EXCEPTIONS] };
        rest = after;
        for exception in &mut unit.exceptions {
            match rest {
                [one, same, after @ ..] if same.verdict == unit.verdict && same.start - one.start == 1 => {
                    *exception = Some((one.start, one.verdict));
                    rest = after;
                }
                _ => break,
            }
        }
        units.push(unit);
    }
    units
}

fn are_siblings(rule: &Rule, last: &Rule) -> bool {
    let plain = |rule: &Rule| match rule.conditions[..] {
        [one] if one.compare == Compare::Equal && !one.negated && low_half(one.mask) == u32::MAX => {
            Some((one.index, one.mask, high_half(one.value)))
        }
        _ => None,
    };
    rule.action == last.action && plain(rule).is_some() && plain(rule) == plain(last)
}

fn distance(instructions: usize) -> u32 {
    u32::try_from(instructions).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a half is what is asked for")]
fn low_half(value: u64) -> u32 {
    value as u32
}

fn high_half(value: u64) -> u32 {
    low_half(value >> 32)
}
