//! Where a container is another than usual, and rightly so: what the plan does in the place of a call that may fail, and why. Nothing
//! else of what the container is may differ.
use nix::errno::Errno;
use plimsoll_integration_tests::fault::{Point, Which};
use plimsoll_integration_tests::syscalls;
use std::collections::HashSet;

struct Foreseen {
    call: &'static str,
    errno: Errno,
    reason: &'static str,
    /// Whether this is all that differs.
    explains: fn(&Difference) -> bool,
}

struct Difference {
    /// One call has failed, not all of its name.
    once: bool,
    more: Vec<String>,
    fewer: Vec<String>,
}

const FORESEEN: &[Foreseen] = &[
    Foreseen {
        call: "mknodat",
        errno: Errno::EPERM,
        reason: "a node that may not be made is the host's, bound read-only, as with runc: a mount more, and the host's owner and mode",
        explains: is_bound_instead,
    },
    Foreseen {
        call: "write",
        errno: Errno::EPERM,
        reason: "the devices group above forbids to make such nodes: their use is allowed without that, and `b *:* m` not at all",
        explains: is_allowed_without_mknod,
    },
    Foreseen { call: "fsopen", errno: Errno::EPERM, reason: HOSTS_SYS, explains: is_hosts_sys },
    Foreseen { call: "fsconfig", errno: Errno::EPERM, reason: HOSTS_SYS, explains: is_hosts_sys },
    Foreseen { call: "fsmount", errno: Errno::EPERM, reason: HOSTS_SYS, explains: is_hosts_sys },
];

/// In a user namespace without a sysfs of its own.
const HOSTS_SYS: &str =
    "a sysfs that may not be mounted is the host's, bound read-only with all that is below, as with crun";

/// What the next command says, of what nobody can know while the command that is tried is there.
struct Later {
    call: &'static str,
    /// It says this.
    words: &'static str,
    reason: &'static str,
}

const LATER: &[Later] = &[Later {
    call: "read",
    words: "cannot start a container that has stopped",
    reason: "init waits in read(2) for the word of `start`, which may fail when `create` has ended: `start` is an error then",
}];

/// Why the next command may say so after this fault of init's.
pub(super) fn reason_to_say((which, _): &(Which, Errno), words: &str) -> Option<&'static str> {
    let Which::One(Point { actor, number, .. }) = which else { return None };
    let name = syscalls::name(*number);
    let explains = |row: &&Later| *actor > 0 && row.call == name && words.contains(row.words);
    LATER.iter().find(explains).map(|row| row.reason)
}

/// Why the container may be as it was seen after this fault.
pub(super) fn reason((which, errno): &(Which, Errno), usual: &str, seen: &str) -> Option<&'static str> {
    let (Which::One(Point { number, .. }) | Which::All(number)) = which;
    let name = syscalls::name(*number);
    let without = |text: &str, known: &str| {
        let known: HashSet<_> = known.lines().collect();
        text.lines().filter(|line| !known.contains(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    let once = matches!(which, Which::One(_));
    let difference = Difference { once, more: without(seen, usual), fewer: without(usual, seen) };
    let explains = |row: &&Foreseen| row.call == name && row.errno == *errno && (row.explains)(&difference);
    FORESEEN.iter().find(explains).map(|row| row.reason)
}

fn is_bound_instead(Difference { once, more, fewer }: &Difference) -> bool {
    let is_mount = |line: &&String| line.contains(" ro,nosuid,noexec") && line.contains(" - devtmpfs");
    let bound: HashSet<_> = more.iter().filter(is_mount).filter_map(|line| line.split(' ').nth(1)).collect();
    // As `stat` prints it.
    let is_of_it = |line: &String| bound.iter().any(|path| line.ends_with(&format!(" {path}")));
    (!once || bound.len() == 1)
        && more.iter().all(|line| is_mount(&line) || is_of_it(line))
        && fewer.iter().all(is_of_it)
}

/// As mountinfo has it: nothing below it may be written to.
fn is_hosts_sys(Difference { more, fewer, .. }: &Difference) -> bool {
    let mount = |line: &String| {
        let mut words = line.split(' ').skip(1).map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    let is_bound = |line: &String| {
        mount(line).is_some_and(|(path, options)| {
            (path == "/sys" || path.starts_with("/sys/")) && options.split(',').next() == Some("ro")
        })
    };
    let is_own =
        |line: &String| line.ends_with(" - sysfs sysfs ro") && mount(line).is_some_and(|(path, _)| path == "/sys");
    !fewer.is_empty() && fewer.iter().all(is_own) && !more.is_empty() && more.iter().all(is_bound)
}

/// In the one line that lists rules.
fn is_allowed_without_mknod(Difference { once, more, fewer }: &Difference) -> bool {
    let ([more], [fewer]) = (&**more, &**fewer) else { return false };
    let rules = |line: &str| {
        let rules = line.split_once("/devices.list: ").map(|(_, rules)| rules.to_owned())?;
        Some(rules.split("; ").map(str::to_owned).collect::<Vec<_>>())
    };
    let (Some(seen), Some(usual)) = (rules(more), rules(fewer)) else { return false };
    let mut seen = seen.iter();
    let mut next = seen.next();
    let mut changed = 0;
    for rule in &usual {
        if next == Some(rule) {
            next = seen.next();
            continue;
        }
        changed += 1;
        let less = rule.strip_suffix('m').unwrap_or_default().trim_end();
        if next.map(String::as_str) == Some(less) {
            next = seen.next();
        } else if !rule.ends_with(" m") {
            return false;
        }
    }
    next.is_none() && (!once || changed == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str, errno: Errno) -> (Which, Errno) {
        let number = (0..500).find(|number| syscalls::name(*number) == name).expect("a system call");
        (Which::One(Point { actor: 1, number, count: 1 }), errno)
    }

    fn foreseen(fault: &(Which, Errno), usual: &str, seen: &str) -> bool {
        reason(fault, usual, seen).is_some()
    }

    #[test]
    fn a_node_that_is_bound_is_foreseen_and_nothing_else_with_it() {
        let usual = "crw-r----- 5 6 a:e5 /dev/fuse\nUmask: 0027";
        let bound = "/fuse /dev/fuse ro,nosuid,noexec,relatime - devtmpfs devtmpfs rw\ncrw------- 0 0 a:e5 /dev/fuse";
        let seen = format!("{bound}\nUmask: 0027");
        assert!(foreseen(&fault("mknodat", Errno::EPERM), usual, &seen));
        assert!(!foreseen(&fault("mknodat", Errno::EIO), usual, &seen));
        assert!(!foreseen(&fault("openat", Errno::EPERM), usual, &seen));
        assert!(!foreseen(&fault("mknodat", Errno::EPERM), usual, &format!("{bound}\nUmask: 0000")));
        assert!(!foreseen(&fault("mknodat", Errno::EPERM), usual, "Umask: 0027"));
        assert!(!foreseen(&fault("mknodat", Errno::EPERM), usual, &seen.replace("ro,", "rw,")));
    }

    #[test]
    fn the_hosts_sys_is_foreseen_if_nothing_in_it_may_be_written_to() {
        let own = "/ /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro\nUmask: 0027";
        let bound =
            "/ /sys ro,nosuid,relatime - sysfs sysfs rw\n/ /sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw\nUmask: 0027";
        let fsmount = fault("fsmount", Errno::EPERM);
        assert!(foreseen(&fsmount, own, bound));
        assert!(!foreseen(&fsmount, own, &bound.replace("cgroup ro", "cgroup rw")));
        assert!(!foreseen(&fsmount, own, &bound.replace("0027", "0000")));
        assert!(!foreseen(&fault("fsmount", Errno::EIO), own, bound));
    }

    #[test]
    fn an_init_that_cannot_wait_is_foreseen_and_no_other_failure_of_start() {
        let (read, words) = (fault("read", Errno::EIO), "`start ID`: 1: cannot start a container that has stopped");
        assert!(reason_to_say(&read, words).is_some());
        assert!(reason_to_say(&read, "`start ID`: 1: EIO").is_none());
        assert!(reason_to_say(&fault("write", Errno::EIO), words).is_none());
    }

    #[test]
    fn a_device_rule_without_mknod_is_foreseen_and_no_other() {
        let list = |rules: &str| format!("/sys/fs/cgroup/devices/ID/ID/devices.list: {rules}");
        let usual = list("b *:* m; c *:* m; c 1:3 rwm; c 1:5 rwm");
        let write = fault("write", Errno::EPERM);
        assert!(foreseen(&write, &usual, &list("b *:* m; c *:* m; c 1:3 rw; c 1:5 rwm")));
        assert!(foreseen(&write, &usual, &list("c *:* m; c 1:3 rwm; c 1:5 rwm")));
        assert!(foreseen(&write, &usual, &list("b *:* m; c 1:3 rwm; c 1:5 rwm")));
        assert!(!foreseen(&write, &usual, &list("c 1:3 rwm; c 1:5 rwm")));
        assert!(!foreseen(&write, &usual, &list("b *:* m; c *:* m; c 1:3 rw; c 1:5 rw")));
        assert!(!foreseen(&write, &usual, &list("b *:* m; c *:* m; c 1:5 rwm")));
        assert!(!foreseen(&write, &usual, &list("a *:* rwm; b *:* m; c *:* m; c 1:3 rwm; c 1:5 rwm")));
        assert!(!foreseen(&fault("write", Errno::EIO), &usual, &list("b *:* m; c *:* m; c 1:3 rw; c 1:5 rwm")));
        assert!(!foreseen(&fault("openat", Errno::EPERM), &usual, &list("c *:* m; c 1:3 rwm; c 1:5 rwm")));
    }
}
