//! `kill`: sends a signal.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::regex::Regex;
use libcontainer::Container;
use std::ffi::OsStr;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let (store, id, all) = (invocation.store()?, invocation.id()?, invocation.is_set("all"));
    let given = invocation.positionals.get(1).filter(|given| !given.is_empty());
    if !invocation.is_set("regex") {
        let container = store.load(id)?;
        return kill(&container, given.map_or(Ok(libc::SIGTERM), |given| signal(given))?, all);
    }
    let (pattern, signal) = (Regex::new(id)?, given.map_or(Ok(libc::SIGTERM), |given| signal(given))?);
    let mut outcome = Ok(0);
    for (id, _) in store.list()?.iter().filter(|(id, _)| pattern.matches(id)) {
        // One that has ended is no reason to leave the others.
        let killed = store.load(id).map_err(Failure::from).and_then(|container| kill(&container, signal, all));
        outcome = killed.and(outcome);
    }
    outcome
}

fn kill(container: &Container, signal: i32, all: bool) -> Result<u8, Failure> {
    // containerd kills what may be left of a container that has ended: with `--all` that is no error.
    if all {
        container.kill_all(signal)?
    } else {
        container.kill(signal)?
    }
    Ok(0)
}

/// A signal by number or name, with or without `SIG`; a dash as in `kill -9` does no harm.
fn signal(given: &OsStr) -> Result<i32, Failure> {
    let unknown = || Failure::new(format!("unknown signal {:?}", given.to_string_lossy()));
    let text = given.to_str().ok_or_else(unknown)?;
    let text = text.strip_prefix('-').unwrap_or(text).to_ascii_uppercase();
    if let Ok(number) = text.parse::<u8>() {
        return if i32::from(number) <= REALTIME_MOST { Ok(number.into()) } else { Err(unknown()) };
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    named.or_else(|| realtime(name)).ok_or_else(unknown)
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-1`, counted as Docker and glibc count them: the kernel's own numbers less the two that
/// glibc keeps for itself.
const REALTIME_LEAST: i32 = 34;
const REALTIME_MOST: i32 = 64;

fn realtime(name: &str) -> Option<i32> {
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => REALTIME_LEAST,
        (_, Some("")) => REALTIME_MOST,
        (Some(more), _) => REALTIME_LEAST + more.strip_prefix('+')?.parse::<u8>().map(i32::from).ok()?,
        (_, Some(less)) => REALTIME_MOST - less.strip_prefix('-')?.parse::<u8>().map(i32::from).ok()?,
        _ => return None,
    };
    (REALTIME_LEAST..=REALTIME_MOST).contains(&number).then_some(number)
}

const NAMES: &[(&str, i32)] = &[
    ("ABRT", libc::SIGABRT),
    ("ALRM", libc::SIGALRM),
    ("BUS", libc::SIGBUS),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("FPE", libc::SIGFPE),
    ("HUP", libc::SIGHUP),
    ("ILL", libc::SIGILL),
    ("INT", libc::SIGINT),
    ("IO", libc::SIGIO),
    ("IOT", libc::SIGABRT),
    ("KILL", libc::SIGKILL),
    ("PIPE", libc::SIGPIPE),
    ("POLL", libc::SIGIO),
    ("PROF", libc::SIGPROF),
    ("PWR", libc::SIGPWR),
    ("QUIT", libc::SIGQUIT),
    ("SEGV", libc::SIGSEGV),
    ("STKFLT", libc::SIGSTKFLT),
    ("STOP", libc::SIGSTOP),
    ("SYS", libc::SIGSYS),
    ("TERM", libc::SIGTERM),
    ("TRAP", libc::SIGTRAP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("VTALRM", libc::SIGVTALRM),
    ("WINCH", libc::SIGWINCH),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_number_or_a_name_in_any_spelling() {
        for (given, number) in [
            ("9", 9),
            ("-9", 9),
            ("0", 0),
            ("64", 64),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigkill", 9),
            ("kill", 9),
            ("-KILL", 9),
            ("USR1", 10),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
        ] {
            assert_eq!(signal(given.as_ref()).ok(), Some(number), "{given}");
        }
    }

    #[test]
    fn an_unknown_signal_is_refused_by_name() {
        for given in ["FOO", "65", "256", "-", "--9", "RTMIN+31", "RTMIN+-1", "RTMAX+1", "SIG", "9x"] {
            let message = format!("{:?}", signal(given.as_ref()).unwrap_err());
            assert!(message.contains("unknown signal"), "{given}: {message}");
        }
    }
}
