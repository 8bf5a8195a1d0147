#![forbid(unsafe_code)]
//! `socketcall` and `ipc`: old ABIs reach many calls through these two.
//!
//! A rule about `connect` must hold for `socketcall(SYS_CONNECT, …)` too. The arguments of the inner call are in memory,
//! where a filter cannot look.
use super::rules::{Compare, Condition, Rule};
use super::{action::Action, numbers::Call};

/// The call that also does `call`'s work, and the number by which it knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Through {
    pub(super) call: Call,
    selector: Condition,
}

/// What each call can be reached through. The two lists are resolved once per compilation.
pub(super) fn through() -> Vec<(Call, Through)> {
    let socketcall = SOCKETCALL.iter().filter_map(|(name, number)| {
        Some((
            Call::named(name)?,
            selects("socketcall", *number, u64::MAX)?,
        ))
    });
    // The upper half of ipc's first argument is a version, which the kernel cuts off.
    let ipc = IPC
        .iter()
        .filter_map(|(name, number)| Some((Call::named(name)?, selects("ipc", *number, 0xffff)?)));
    socketcall.chain(ipc).collect()
}

fn selects(name: &str, value: u64, mask: u64) -> Option<Through> {
    let selector = Condition {
        index: 0,
        mask,
        compare: Compare::Equal,
        value,
        negated: false,
    };
    Some(Through {
        call: Call::named(name)?,
        selector,
    })
}

impl Through {
    /// What becomes of `rule`. Where its conditions cannot be checked, the side of caution is taken: what
    /// restricts does so always, what permits does not count.
    pub(super) fn carry(self, rule: &Rule, default: Action, wide: bool) -> Option<Rule> {
        let certain = rule
            .conditions
            .iter()
            .all(|condition| condition.is_idle(wide));
        let restricts = rule.action.permissiveness() < default.permissiveness();
        (certain || restricts).then(|| Rule {
            conditions: vec![self.selector],
            action: rule.action,
        })
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
