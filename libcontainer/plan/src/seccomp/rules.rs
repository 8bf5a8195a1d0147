//! `syscalls`: what is asked for, before any ABI comes into it.
#![forbid(unsafe_code)]
use super::Problem;
use super::action::Action;
use super::numbers::Call;
use oci_spec::runtime::{LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};

/// If all conditions hold, the action is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// `(argument & mask) compare value`, or the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u8,
    pub(super) mask: u64,
    pub(super) compare: Compare,
    pub(super) value: u64,
    pub(super) negated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    GreaterOrEqual,
    Greater,
}

/// An entry of `syscalls`. Its rules are alternatives.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) calls: Vec<Call>,
    pub(super) rules: Vec<Rule>,
}

pub(super) fn entry(syscall: &LinuxSyscall, i: usize) -> Result<Entry, Problem> {
    let problem = |rest: String, message: &str| {
        Err(Problem { pointer: format!("/syscalls/{i}{rest}"), message: message.to_owned() })
    };
    let action = Action::new(syscall.action(), syscall.errno_ret(), &|| format!("/syscalls/{i}/errnoRet"))?;
    let mut calls = Vec::with_capacity(syscall.names().len());
    for (j, name) in syscall.names().iter().enumerate() {
        if name.is_empty() {
            return problem(format!("/names/{j}"), "empty string is not a valid syscall");
        }
        // The agent has to be told before it can answer: runc writes, our init sends a message.
        if matches!(&**name, "write" | "sendmsg") && syscall.action() == LinuxSeccompAction::ScmpActNotify {
            let message = format!("SCMP_ACT_NOTIFY cannot be used for the {name} syscall");
            return problem(format!("/names/{j}"), &message);
        }
        // Names that nobody knows are ignored: a profile may be newer than we are.
        calls.extend(Call::named(name));
    }
    let args = syscall.args().as_deref().unwrap_or_default();
    let mut conditions = Vec::with_capacity(args.len());
    for (k, arg) in args.iter().enumerate() {
        match condition(arg) {
            Some(condition) => conditions.push(condition),
            None => {
                return problem(format!("/args/{k}/index"), "a system call has six arguments, 0 to 5");
            }
        }
    }
    Ok(Entry { calls, rules: alternatives(conditions, action) })
}

/// One rule, unless an argument is looked at twice: then each condition is a rule of its own, because
/// profiles of the time before Docker 1.13 mean that, and runc keeps to it.
fn alternatives(conditions: Vec<Condition>, action: Action) -> Vec<Rule> {
    let repeated =
        (conditions.iter().enumerate()).any(|(k, one)| conditions[..k].iter().any(|other| one.index == other.index));
    if repeated {
        conditions.into_iter().map(|one| Rule { conditions: vec![one], action }).collect()
    } else {
        vec![Rule { conditions, action }]
    }
}

fn condition(arg: &LinuxSeccompArg) -> Option<Condition> {
    use LinuxSeccompOperator::*;
    let (compare, negated) = match arg.op() {
        ScmpCmpEq | ScmpCmpMaskedEq => (Compare::Equal, false),
        ScmpCmpNe => (Compare::Equal, true),
        ScmpCmpGe => (Compare::GreaterOrEqual, false),
        ScmpCmpLt => (Compare::GreaterOrEqual, true),
        ScmpCmpGt => (Compare::Greater, false),
        ScmpCmpLe => (Compare::Greater, true),
    };
    // libseccomp's struct scmp_arg_cmp has the mask first, and so the spec's value is the mask.
    let (mask, value) = match arg.op() {
        ScmpCmpMaskedEq => (arg.value(), arg.value_two().unwrap_or_default() & arg.value()),
        _ => (u64::MAX, arg.value()),
    };
    let index = u8::try_from(arg.index()).ok().filter(|index| *index < 6)?;
    Some(Condition { index, mask, compare, value, negated })
}
