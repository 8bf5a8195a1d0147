//! What runs inside the container before its program does: reads a plan from the host, runs its lines, reports.
//!
//! Promises: never allocates (but for the plan's memory, whose size is known), decides nothing that could have
//! been decided from config.json and the host, does nothing that is not a line of the plan. Unsafe code is in
//! `sys` and `arch` only (and in `main.rs`, before there is a Rust program).
#![cfg(any(test, feature = "program"))]
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

mod arch;
pub mod fault;
pub mod host;
pub mod host_dev;
pub mod read;
pub mod room;
pub mod root;
pub mod steps;
pub mod sys;

use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, AtomicU16, Ordering::Relaxed};
use fault::{At, Detail, Fault, Result};
use host::Slots;
use read::Reader;
use room::Room;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use step::{Call, FromInit, Step, ZStr};
use steps::enter;

/// A step as it is read from the host's bytes.
pub type Line<'a> = Step<ZStr<'a>, &'a [u8]>;

/// Where a panic finds the socket and the line.
static SOCKET: AtomicI32 = AtomicI32::new(0);
static LINE: AtomicU16 = AtomicU16::new(0);

/// The number of no line: what fails is the start of init itself.
const BEFORE_THE_FIRST: u16 = u16::MAX;

/// What init carries from line to line.
#[derive(Debug)]
pub struct Init {
    /// To the host; once the container is created, to whoever starts it.
    pub host: OwnedFd,
    /// The line being run.
    pub line: u16,
    pub slots: &'static mut Slots,
    /// The pid namespace that was joined, until the fork: a procfs can be made for it before anybody is inside.
    pub pid_namespace: Option<OwnedFd>,
    /// The caller has changed its root: `/` is not that of the mount namespace.
    pub in_chroot: bool,
    /// The root filesystem; every path of the container is resolved beneath it.
    pub root: Option<OwnedFd>,
    /// The host's null device as a detached mount, and an empty read-only tmpfs, to mask with.
    pub covers: steps::mask_path::Covers,
    /// What the next host line gets along with *reached*.
    pub rider: Option<OwnedFd>,
    /// The umask of the program: the caller's, if config.json names none. Init itself has 0.
    pub umask: Mode,
    /// The program, as `ResolveProgram` found it.
    pub program: &'static CStr,
    /// `HOME=…` with its NUL if `DefaultHome` was asked for.
    pub home: &'static [u8],
    /// Effective, permitted and inheritable, as `SetCapabilities` has set them.
    pub capabilities: [u64; 3],
    /// Its own namespaces, for who may not trace it.
    pub namespaces: enter::Held,
    /// Where all of these are, and the plan.
    pub room: Room,
    /// Memory for the pointers that execve takes.
    pub pointers: &'static mut [usize],
    /// The kernel's words.
    pub detail: Detail,
}

/// Runs the plan that comes over descriptor `socket`. Ends in the container's program or with status 1. `slots` are empty.
pub fn main(socket: i32, slots: &'static mut Slots) -> ! {
    SOCKET.store(socket, Relaxed);
    let mut init = Init::new(sys::adopt(socket), slots);
    if let Err(fault) = init.prepare().and_then(|()| init.run()) {
        host::send_failure(init.host.as_fd(), init.line, fault, init.detail.as_bytes());
    }
    sys::exit(1)
}

impl Init {
    fn new(host: OwnedFd, slots: &'static mut Slots) -> Init {
        Init {
            host,
            line: BEFORE_THE_FIRST,
            slots,
            pid_namespace: None,
            in_chroot: false,
            root: None,
            covers: steps::mask_path::Covers::default(),
            rider: None,
            umask: rustix::process::umask(Mode::empty()),
            program: c"",
            home: &[],
            capabilities: [0; 3],
            namespaces: enter::Held::default(),
            room: Room::default(),
            pointers: &mut [],
            detail: Detail::default(),
        }
    }

    /// The program gets neither the socket to the host nor what the caller does with its signals.
    fn prepare(&self) -> Result {
        fcntl_setfd(&self.host, FdFlags::CLOEXEC).at(Call::Fcntl)?;
        sys::reset_signals().at(Call::Sigaction)
    }

    fn run(&mut self) -> Result {
        let (plan, trace) = host::receive_plan(self.host.as_fd(), self.slots, &mut self.room)?;
        if trace > 0 {
            host::send_passed(self.host.as_fd(), u16::MAX);
        }
        let mut plan = Reader::new(plan);
        while !plan.is_at_the_end() {
            let (line, step) = plan.read::<(u16, Line<'_>)>();
            self.line = line;
            LINE.store(line, Relaxed);
            self.detail.clear();
            steps::run(self, &step)?;
            if line < trace {
                host::send_passed(self.host.as_fd(), line);
            }
        }
        Ok(())
    }

    /// Meets lines of the host's, which fill slots or do not.
    fn meet_host(&mut self, fills: bool) -> Result {
        let rider = self.rider.take();
        let reached = FromInit::Reached { line: self.line };
        host::send(self.host.as_fd(), &reached, rider.as_ref().map(AsFd::as_fd))?;
        // A seccomp listener stays until `execve`: close(2) would be one call more that its filter has to allow.
        if fills {
            drop(rider)
        } else {
            core::mem::forget(rider)
        }
        host::await_go(self.host.as_fd(), if fills { Some(self.slots) } else { None })
    }

    /// The root filesystem.
    fn root(&self) -> Result<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Fault::new(Call::Decode, Errno::BADF))
    }

    /// Talks to `host` from now on. The other end of the old one is gone, and it is left to `execve`: close(2) is one call more
    /// that a filter would have to allow.
    fn set_host(&mut self, host: OwnedFd) {
        SOCKET.store(host.as_raw_fd(), Relaxed);
        core::mem::forget(core::mem::replace(&mut self.host, host));
    }
}

/// A panic's epitaph, in the form of any other failure. Where it was says enough. Inlined, so that the compiler sees that nobody reads
/// the words of any panic, which would take all of `core::fmt` along.
#[inline(always)]
pub fn report_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report_panic_at(info.location())
}

#[cold]
#[inline(never)]
fn report_panic_at(location: Option<&core::panic::Location<'_>>) -> ! {
    let mut detail = Detail::default();
    if let Some(location) = location {
        detail.say(location.file().as_bytes()).say(b":").say_number(location.line().into());
    }
    end(Fault::new(Call::Panic, Errno::NOTRECOVERABLE), detail.as_bytes())
}

/// What the host has written is not what is read.
#[cold]
#[inline(never)]
fn broken() -> ! {
    if cfg!(test) {
        panic!("broken");
    }
    end(Fault::new(Call::Decode, Errno::PROTO), &[])
}

fn end(fault: Fault, detail: &[u8]) -> ! {
    // Whoever holds the socket is not going to run again.
    host::send_failure(sys::borrow(SOCKET.load(Relaxed)), LINE.load(Relaxed), fault, detail);
    sys::exit(1)
}
