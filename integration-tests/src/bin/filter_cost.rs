//! What a seccomp filter costs each system call: the filters that plimsoll, runc and crun load for Docker's default
//! profile, taken from running containers. Not a test.
//!
//! `RUNTIME=path/to/plimsoll filter_cost [RUNTIME…]`, as root; the others are runc and crun where nothing else is said.
//! Takes PTRACE_SECCOMP_GET_FILTER (CONFIG_CHECKPOINT_RESTORE).
#![allow(clippy::print_stdout, reason = "it prints a table")]
use libc::{c_int, c_long, c_void};
use plimsoll_integration_tests::measure::median;
use plimsoll_integration_tests::{Container, Runtime};
use std::io::Error;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

const PROFILE: &str = include_str!("../../../oci-bundles/docker-default/seccomp.json");
const ROUNDS: usize = 200;
const CALLS: u32 = 2_000;

/// What is called, and with which arguments. None of them does anything.
struct Call {
    name: &'static str,
    number: c_long,
    arguments: [u64; 3],
    /// By `int 0x80`: with the numbers of the 32-bit architecture.
    as_i386: bool,
}

const CALLED: &[Call] = &[
    call("getppid", libc::SYS_getppid, [0; 3]),
    call("read", libc::SYS_read, [u64::MAX, 0, 0]),
    call("openat", libc::SYS_openat, [u64::MAX, 0, 0]),
    call("futex", libc::SYS_futex, [0, u64::MAX, 0]),
    call("personality, first rule", libc::SYS_personality, [0, 0, 0]),
    call("personality, last rule", libc::SYS_personality, [0xffff_ffff, 0, 0]),
    call("personality, no rule", libc::SYS_personality, [1, 0, 0]),
    call("clone, a mask", libc::SYS_clone, [CLONE_THREAD, 0, 0]),
    call("clone, denied", libc::SYS_clone, [CLONE_NEWUSER | CLONE_FS, 0, 0]),
    call("clone3, ENOSYS", libc::SYS_clone3, [0; 3]),
    call("socket, less", libc::SYS_socket, [37, u64::MAX, 0]),
    call("socket, denied", libc::SYS_socket, [40, u64::MAX, 0]),
    call("mount, denied", libc::SYS_mount, [0; 3]),
    call("io_uring_setup, denied", libc::SYS_io_uring_setup, [0; 3]),
    call("unknown, ENOSYS", 2000, [0; 3]),
    Call { name: "i386 personality", number: 136, arguments: [0xffff_ffff, 0, 0], as_i386: true },
    Call { name: "i386 mount, denied", number: 21, arguments: [0; 3], as_i386: true },
];

/// Invalid without CLONE_SIGHAND, and the second two together: no process is ever made.
const CLONE_THREAD: u64 = 0x0001_0000;
const CLONE_FS: u64 = 0x200;
const CLONE_NEWUSER: u64 = 0x1000_0000;

const fn call(name: &'static str, number: c_long, arguments: [u64; 3]) -> Call {
    Call { name, number, arguments, as_i386: false }
}

fn main() {
    let ours = std::env::var("RUNTIME").unwrap_or("plimsoll".to_owned());
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = ["runc", "crun"].map(str::to_owned).to_vec();
    }
    let filters: Vec<_> = [ours].into_iter().chain(names).filter_map(|name| Filter::of(&name)).collect();
    println!(
        "{ROUNDS} rounds of {CALLS} calls, interleaved; medians in ns, in parentheses how many instructions of BPF run\n"
    );
    print!("{:25}{:>10}", "", "no filter");
    for filter in &filters {
        print!("{:>24}", filter.name);
    }
    print!("\n{:35}", "instructions of the filter");
    for filter in &filters {
        print!("{:>24}", filter.program.len());
    }
    println!();

    let workers: Vec<_> =
        [None].into_iter().chain(filters.iter().map(|filter| Some(&*filter.program))).map(Worker::start).collect();
    for (index, call) in CALLED.iter().enumerate() {
        let mut taken = vec![Vec::new(); workers.len()];
        for _ in 0..ROUNDS {
            for (worker, taken) in workers.iter().zip(&mut taken) {
                taken.push(worker.time(index));
            }
        }
        let times: Vec<f64> = taken.iter_mut().map(|taken| median(taken) as f64 / f64::from(CALLS)).collect();
        print!("{:25}{:>10.0}", call.name, times[0]);
        for (time, filter) in times[1..].iter().zip(&filters) {
            let Run { count, is_cached } = filter.run(call);
            let cached = if is_cached { " cached" } else { "" };
            print!("{:>24}", format!("{time:.0} ({count}{cached})"));
        }
        println!();
    }
}

/// What a call costs under a filter.
struct Run {
    /// Of instructions.
    count: usize,
    /// The kernel does not run a filter that allows a call whatever its arguments are (seccomp_cache_prepare_bitmap()).
    is_cached: bool,
}

/// What a runtime has made of the profile.
struct Filter {
    name: String,
    program: Vec<libc::sock_filter>,
}

impl Filter {
    /// From a container that it runs.
    fn of(runtime: &str) -> Option<Filter> {
        let runtime = Runtime::find(runtime)?;
        let name = runtime.version.replace(" version", "");
        let profile = serde_json::from_str(PROFILE).expect("JSON");
        let container = Container::of(runtime).set("/linux/seccomp", profile).running();
        Some(Filter { name, program: loaded(container.pid()) })
    }

    /// Classic BPF, as far as seccomp(2) takes it.
    fn run(&self, call: &Call) -> Run {
        const ALLOW: u32 = 0x7fff_0000;
        let (mut at, mut accumulator, mut count, mut by_number) = (0, 0, 0, true);
        loop {
            let libc::sock_filter { code, jt, jf, k } = self.program[at];
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            (at, count) = (at + 1, count + 1);
            match code {
                0x20 => {
                    // An argument, or the instruction pointer.
                    by_number &= k <= 4;
                    accumulator = call.word(k);
                }
                0x54 => accumulator &= k,
                0x05 => at += k as usize,
                0x15 => at += jump(accumulator == k),
                0x25 => at += jump(accumulator > k),
                0x35 => at += jump(accumulator >= k),
                0x45 => at += jump(accumulator & k != 0),
                0x06 => return Run { count, is_cached: by_number && k == ALLOW },
                _ => panic!("instruction {code:#x}"),
            }
        }
    }
}

impl Call {
    /// Of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        let argument = |index: u32| self.arguments.get(index as usize).copied().unwrap_or(0);
        match offset {
            0 => u32::try_from(self.number).unwrap_or(u32::MAX),
            4 if self.as_i386 => 0x4000_0003,
            4 => 0xc000_003e,
            _ if offset % 8 == 0 => (argument((offset - 16) / 8) & 0xffff_ffff) as u32,
            _ => (argument((offset - 16) / 8) >> 32) as u32,
        }
    }

    fn make(&self) {
        let [a, b, c] = self.arguments;
        if self.as_i386 {
            // SAFETY: calls of CALLED, which touch no memory; rbx, which the compiler keeps for itself, is put back.
            unsafe {
                std::arch::asm!("xchg rbx, {a}", "int 0x80", "xchg rbx, {a}", a = inout(reg) a => _,
                    inout("rax") self.number => _, in("rcx") b, in("rdx") c, in("rsi") 0, in("rdi") 0,
                    out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            }
        } else {
            // SAFETY: calls of CALLED, which touch no memory.
            unsafe { libc::syscall(self.number, a, b, c, 0, 0, 0) };
        }
    }
}

/// The filter of a process, as the kernel gives it to a debugger.
fn loaded(pid: i32) -> Vec<libc::sock_filter> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    let ok = |result: c_long, what: &str| {
        assert!(result >= 0, "{what}: {}", Error::last_os_error());
        usize::try_from(result).unwrap_or(0)
    };
    let nothing = std::ptr::null_mut::<c_void>();
    // SAFETY: the only pointers are null and an array that is as long as the kernel has said.
    unsafe {
        ok(libc::ptrace(libc::PTRACE_ATTACH, pid, nothing, nothing), "PTRACE_ATTACH");
        let mut status: c_int = 0;
        ok(libc::waitpid(pid, &raw mut status, libc::__WALL).into(), "waitpid");
        let first = std::ptr::without_provenance_mut::<c_void>(0);
        let length = ok(libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid, first, nothing), "PTRACE_SECCOMP_GET_FILTER");
        let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length];
        ok(libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid, first, program.as_mut_ptr()), "PTRACE_SECCOMP_GET_FILTER");
        ok(libc::ptrace(libc::PTRACE_DETACH, pid, nothing, nothing), "PTRACE_DETACH");
        program
    }
}

/// A thread under a filter: seccomp(2) is about threads.
struct Worker {
    ask: Sender<usize>,
    answer: Receiver<u128>,
}

impl Worker {
    fn start(filter: Option<&[libc::sock_filter]>) -> Worker {
        let (ask, asked) = channel();
        let (answers, answer) = channel();
        let filter = filter.map(<[_]>::to_vec);
        std::thread::spawn(move || {
            filter.as_deref().inspect(|filter| load(filter));
            for call in asked {
                let call: &Call = &CALLED[call];
                call.make();
                let started = Instant::now();
                for _ in 0..CALLS {
                    call.make();
                }
                answers.send(started.elapsed().as_nanos()).expect("somebody who has asked");
            }
        });
        Worker { ask, answer }
    }

    fn time(&self, call: usize) -> u128 {
        self.ask.send(call).expect("a thread that waits");
        self.answer.recv().expect("an answer")
    }
}

fn load(filter: &[libc::sock_filter]) {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("at most 4096"),
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads the program, which lives until it has.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    assert_eq!(result, 0, "seccomp: {}", Error::last_os_error());
}
