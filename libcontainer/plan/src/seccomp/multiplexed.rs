//! `socketcall` and `ipc`: old ABIs reach many calls through these two.
//!
//! A rule about `connect` must hold for `socketcall(SYS_CONNECT, …)` too. The arguments of the inner call are in memory,
//! where a filter cannot look.
#![forbid(unsafe_code)]
use super::rules::{Compare, Condition, Rule};
use super::{action::Action, numbers::Call};

/// The call that also does another's work, and how it is told which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Through {
    pub(super) call: Call,
    selector: Condition,
}

#[derive(Debug)]
pub(super) struct Multiplexed {
    by_call: Vec<Option<Through>>,
}

impl Multiplexed {
    pub(super) fn new() -> Self {
        let mut by_call = vec![None; Call::COUNT];
        // The upper half of ipc's first argument is a version, which the kernel cuts off.
        for (outer, mask, inner) in [("socketcall", u64::MAX, &SOCKETCALL[..]), ("ipc", 0xffff, &IPC)] {
            let Some(call) = Call::named(outer) else {
                continue;
            };
            for (name, value) in inner {
                let selector = Condition { index: 0, mask, compare: Compare::Equal, value: *value, negated: false };
                if let Some(inner) = Call::named(name) {
                    by_call[inner.row()] = Some(Through { call, selector });
                }
            }
        }
        Multiplexed { by_call }
    }

    pub(super) fn through(&self, call: Call) -> Option<Through> {
        self.by_call[call.row()]
    }
}

impl Through {
    /// What becomes of `rule`. Where its conditions cannot be checked, the side of caution is taken: what
    /// restricts does so always, what permits does not count.
    pub(super) fn carry(self, rule: &Rule, default: Action, wide: bool) -> Option<Rule> {
        let certain = rule.conditions.iter().all(|condition| condition.is_idle(wide));
        let restricts = rule.action.permissiveness() < default.permissiveness();
        (certain || restricts).then(|| Rule { conditions: vec![self.selector], action: rule.action })
    }
}

/// linux/net.h
const SOCKETCALL: [(&str, u64); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// linux/ipc.h
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
