//! What each number of an ABI comes to, when all rules are weighed.
#![forbid(unsafe_code)]
use super::abi::{Abi, X32_BIT};
use super::action::{Action, ENOSYS};
use super::multiplexed::Multiplexed;
use super::rules::{Compare, Condition, Entry, Rule};
use super::table::ARM_PRIVATE;

/// From `start` up to the next range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Always(Action),
    /// The arguments decide: an index into `Decisions`.
    Depends(usize),
}

/// Rules about one call, in the order in which they are tried; none holding, the default action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) wide: bool,
    pub(super) rules: Vec<Rule>,
}

/// Equal decisions of different calls and ABIs are one.
pub(super) type Decisions = Vec<Decision>;

/// The parts of a profile that are the same for each ABI.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) multiplexed: &'a Multiplexed,
    pub(super) default: Action,
}

const ORDINARY: usize = 1024;
const PRIVATE: usize = 8;
const ARM_BASE: u32 = 0xf_0000;

/// What the calls of one ABI come to, each in its cell, and the newest call that the profile knows.
struct Weighed {
    cells: Vec<Verdict>,
    newest: Option<u16>,
}

fn weigh(abi: Abi, rules: &Rules<'_>, decisions: &mut Decisions) -> Weighed {
    let mut slots: Vec<Slot> = vec![Slot::Untouched; ORDINARY + PRIVATE];
    let mut pending: Vec<Vec<Rule>> = Vec::new();
    let mut newest = None;
    for entry in rules.entries {
        for call in &entry.calls {
            let direct = call.cell(abi.column);
            // Known to the profile's author, therefore not newer than the profile.
            newest = newest.max(direct.filter(|cell| usize::from(*cell) < ORDINARY));
            let through =
                rules.multiplexed.through(*call).and_then(|through| Some((through, through.call.cell(abi.column)?)));
            newest = newest.max(through.map(|(_, cell)| cell));
            for rule in entry.rules.iter().filter(|rule| rule.action != rules.default) {
                if let Some(slot) = direct.and_then(|cell| slots.get_mut(place(cell))) {
                    slot.add(rule, abi.wide, &mut pending);
                }
                let Some((through, cell)) = through else { continue };
                let Some(rule) = through.carry(rule, rules.default, abi.wide) else { continue };
                if let Some(slot) = slots.get_mut(place(cell)) {
                    slot.add(&rule, abi.wide, &mut pending);
                }
            }
        }
    }
    let verdicts: Vec<Verdict> = pending.into_iter().map(|rules| decide(rules, abi.wide, decisions)).collect();
    let verdict = |slot: Slot| match slot {
        Slot::Untouched => Verdict::Always(rules.default),
        Slot::Always(action) => Verdict::Always(action),
        Slot::Pending(i) => verdicts[i],
    };
    Weighed { cells: slots.into_iter().map(verdict).collect(), newest }
}

/// Ranges of rising start that cover all numbers; for x32, those that have its bit.
fn ranges(abi: Abi, rules: &Rules<'_>, decisions: &mut Decisions) -> Vec<Range> {
    let weighed = weigh(abi, rules, decisions);
    let (ordinary, private) = weighed.cells.split_at(ORDINARY);
    let mut ranges = Ranges(Vec::new());
    if abi.base != 0 && !abi.is_x32() {
        ranges.push(0, Verdict::Always(rules.default));
    }
    let mut number = abi.base;
    for verdict in ordinary {
        ranges.push(number, *verdict);
        number += 1;
    }
    ranges.push(number, Verdict::Always(rules.default));
    let newest = weighed.newest.map(u32::from).filter(|newest| *newest != 0 && !rules.default.is_permissive());
    if let Some(newest) = newest {
        ranges.cut(abi.base + newest + 1);
        ranges.push(abi.base + newest + 1, Verdict::Always(ENOSYS));
        if abi.is_s390() {
            ranges.replace_first(Verdict::Always(ENOSYS));
        }
    }
    if abi.is_arm() {
        ranges.push(ARM_BASE, Verdict::Always(rules.default));
        let mut number = ARM_BASE;
        for verdict in private {
            ranges.push(number, *verdict);
            number += 1;
        }
        ranges.push(number, Verdict::Always(if newest.is_some() { ENOSYS } else { rules.default }));
    }
    ranges.0
}

fn place(cell: u16) -> usize {
    let cell = usize::from(cell);
    let private = usize::from(ARM_PRIVATE.unsigned_abs());
    if cell >= private { cell - private + ORDINARY } else { cell }
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Untouched,
    Always(Action),
    Pending(usize),
}

impl Slot {
    /// As libseccomp weighs rules: an unconditional one beats all others, the first of several counts.
    fn add(&mut self, rule: &Rule, wide: bool, pending: &mut Vec<Vec<Rule>>) {
        let conditional = rule.conditions.iter().any(|condition| !condition.is_idle(wide));
        match *self {
            Slot::Always(_) => {}
            _ if !conditional => *self = Slot::Always(rule.action),
            Slot::Pending(i) => pending[i].push(rule.clone()),
            Slot::Untouched => {
                *self = Slot::Pending(pending.len());
                pending.push(vec![rule.clone()]);
            }
        }
    }
}

impl Condition {
    /// It holds for each value.
    pub(super) fn is_idle(self, wide: bool) -> bool {
        self.compare == Compare::Equal && !self.negated && self.seen_by(wide).mask == 0
    }

    fn seen_by(self, wide: bool) -> Condition {
        let visible = if wide { u64::MAX } else { u64::from(u32::MAX) };
        Condition { mask: self.mask & visible, value: self.value & visible, ..self }
    }
}

/// Where several hold, the most restrictive shall win, as with several filters in the kernel.
/// libseccomp takes the one that comes first in its own tree, or refuses.
fn decide(mut rules: Vec<Rule>, wide: bool, decisions: &mut Decisions) -> Verdict {
    rules.sort_by_key(|rule| rule.action.permissiveness());
    for rule in &mut rules {
        rule.conditions.retain(|condition| !condition.is_idle(wide));
        rule.conditions.iter_mut().for_each(|condition| *condition = condition.seen_by(wide));
    }
    let decision = Decision { wide, rules };
    let known = decisions.iter().position(|other| *other == decision);
    Verdict::Depends(known.unwrap_or_else(|| {
        decisions.push(decision);
        decisions.len() - 1
    }))
}

struct Ranges(Vec<Range>);

impl Ranges {
    fn push(&mut self, start: u32, verdict: Verdict) {
        if self.0.last().is_none_or(|last| last.verdict != verdict) {
            self.0.push(Range { start, verdict });
        }
    }

    /// Forget what starts at `end` or later.
    fn cut(&mut self, end: u32) {
        self.0.retain(|range| range.start < end);
    }

    /// s390's calls that are too new for its 8-bit number come as 0, `setup`; nobody calls that.
    fn replace_first(&mut self, verdict: Verdict) {
        let Some(first) = self.0.first_mut() else {
            return;
        };
        let was = std::mem::replace(&mut first.verdict, verdict);
        if self.0.get(1).is_none_or(|second| second.start != 1) {
            self.0.insert(1, Range { start: 1, verdict: was });
        }
    }
}

/// One architecture of the kernel may have two ABIs: x86-64 and x32, told apart by a bit of the number.
pub(super) fn of_architecture(abis: &[Abi], rules: &Rules<'_>, decisions: &mut Decisions) -> Vec<Range> {
    const BAD_ARCH: Verdict = Verdict::Always(super::action::KILL_THREAD);
    let mut all = Vec::new();
    for abi in abis {
        all.extend(ranges(*abi, rules, decisions));
    }
    match abis {
        [only] if only.is_x86_64() => {
            all.push(Range { start: X32_BIT, verdict: BAD_ARCH });
            // A tracer sets the number to -1 to have the call skipped.
            all.push(Range { start: u32::MAX, verdict: Verdict::Always(rules.default) });
        }
        [only] if only.is_x32() => all.insert(0, Range { start: 0, verdict: BAD_ARCH }),
        _ => {}
    }
    all.dedup_by(|next, previous| next.verdict == previous.verdict);
    all
}
