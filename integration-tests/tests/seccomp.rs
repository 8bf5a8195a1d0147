//! linux.seccomp: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp>
use plimsoll_integration_tests::see::field;
use plimsoll_integration_tests::{Container, hook, known_deviation};
use serde_json::{Value, json};

/// All is allowed but what these rules say.
fn with(rules: Value) -> Container {
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules});
    Container::new().set("/linux/seccomp", filter).set("/root/readonly", json!(false))
}

#[test]
fn the_debug_log_has_the_flags_of_the_filter() {
    if known_deviation() {
        return;
    }
    let rule = json!([{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]);
    let container = with(rule).set("/linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_LOG"])).args(&["true"]);
    container.launch(&["--debug", "run"]).says("\"seccomp filter flags: 2\"").ok();
}

#[test]
fn without_one_there_is_no_filter() {
    assert_eq!(field(Container::new().args(&["cat", "/proc/self/status"]).run().ok(), "Seccomp"), "0");
}

#[test]
fn a_filter_is_loaded() {
    let rule = json!([{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]);
    assert_eq!(field(with(rule).args(&["cat", "/proc/self/status"]).run().ok(), "Seccomp"), "2");
}

#[test]
fn errno_is_eperm_or_what_was_asked_for() {
    for (errno, words) in
        [(json!(null), "Operation not permitted"), (json!(13), "Permission denied"), (json!(28), "No space left")]
    {
        let mut rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"});
        if !errno.is_null() {
            rule["errnoRet"] = errno;
        }
        let seen = with(json!([rule])).args(&["mkdir", "/x"]).run();
        assert!(seen.status != 0 && seen.stderr.contains(words), "{seen:?}");
    }
}

#[test]
fn kill_kills() {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"] {
        let seen = with(json!([{"names": ["mkdir", "mkdirat"], "action": action}])).args(&["mkdir", "/x"]).run();
        assert_eq!(seen.status, 128 + libc::SIGSYS, "{action}: {seen:?}");
    }
}

#[test]
fn arguments_are_compared() {
    // personality(2) of 0xffffffff asks, of 8 (PER_LINUX32) sets.
    let rule = json!([{"names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]);
    let seen = with(rule).shell("linux64 true && echo asks; linux32 true || echo refused").run();
    assert_eq!(seen.stdout, "asks\nrefused\n", "{seen:?}");
}

#[test]
fn a_name_that_no_kernel_knows_is_skipped() {
    with(json!([{"names": ["made_up_call", "reboot"], "action": "SCMP_ACT_ERRNO"}])).args(&["true"]).run().ok();
}

/// What busybox and the runtime need.
const ALLOWED: [&str; 92] = [
    "access",
    "arch_prctl",
    "brk",
    "capget",
    "capset",
    "chdir",
    "clone",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fchdir",
    "fchown",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "getuid",
    "ioctl",
    "lseek",
    "lstat",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "nanosleep",
    "open",
    "openat",
    "openat2",
    "pipe",
    "pipe2",
    "poll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "recvmsg",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "seccomp",
    "sendmsg",
    "set_robust_list",
    "set_tid_address",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "setsid",
    "setuid",
    "sigaltstack",
    "stat",
    "statfs",
    "statx",
    "tgkill",
    "umask",
    "uname",
    "vfork",
    "wait4",
    "write",
    "writev",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "eventfd2",
    "madvise",
    "faccessat",
    "faccessat2",
    "fchmod",
    "mremap",
    "sendto",
    "recvfrom",
];

/// Nothing else is allowed.
fn allow_list() -> Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
           "syscalls": [{"names": &ALLOWED[..], "action": "SCMP_ACT_ALLOW"}]})
}

#[test]
fn an_allow_list_runs_what_it_allows() {
    let container = Container::new().set("/linux/seccomp", allow_list());
    assert_eq!(container.shell("echo fine; mkdir /x").run().stdout, "fine\n");
}

#[test]
fn a_call_newer_than_the_profile_is_enosys_and_not_eperm() {
    // A C library falls back on ENOSYS only: runc 1.0, libcontainer/seccomp/patchbpf.
    if known_deviation() {
        return;
    }
    // strace and perl are not in there: `cat` of a number beyond every table needs a program of our own.
    let container = Container::new().set("/linux/seccomp", allow_list()).args(&["/bin/newest"]);
    let path = container.rootfs().join("bin/newest");
    std::fs::write(&path, call_and_exit_with_errno(4000)).expect("our own");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    container.run().exits(libc::ENOSYS);
}

/// An ELF program of 32 instructions or fewer: `exit(-syscall(number))`.
fn call_and_exit_with_errno(number: u32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes()); // mov eax, number
    code.extend([0x0f, 0x05, 0x89, 0xc7, 0xf7, 0xdf]); // syscall; mov edi, eax; neg edi
    code.extend([0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05]); // mov eax, exit_group; syscall
    let (base, headers) = (0x0040_0000_u64, 64 + 56);
    let length = headers + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |elf: &mut Vec<u8>, all: &[u16]| all.iter().for_each(|half| elf.extend(half.to_le_bytes()));
    let words = |elf: &mut Vec<u8>, all: &[u64]| all.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    halves(&mut elf, &[2, 62, 1, 0]); // executable, x86-64, version
    words(&mut elf, &[base + headers, 64, 0]); // entry, program headers, section headers
    halves(&mut elf, &[0, 0, 64, 56, 1, 0, 0, 0]);
    halves(&mut elf, &[1, 0, 5, 0]); // PT_LOAD, read and execute
    words(&mut elf, &[0, base, base, length, length, 0x1000]);
    elf.extend(code);
    elf
}

#[test]
fn exec_is_filtered_too() {
    if known_deviation() {
        return;
    }
    let container = with(json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}])).running();
    assert!(container.exec(&["mkdir", "/x"]).stderr.contains("Operation not permitted"));
}

#[test]
fn an_unknown_action_is_an_error() {
    let container = with(json!([{"names": ["mkdir"], "action": "SCMP_ACT_FORGIVE"}]));
    container.create().fails("SCMP_ACT_FORGIVE");
    container.assert_nothing_left();
}

#[test]
fn it_is_loaded_with_and_without_no_new_privileges() {
    for flag in [true, false] {
        let rule = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
        let seen = with(rule).set("/process/noNewPrivileges", json!(flag)).args(&["mkdir", "/x"]).run();
        assert!(seen.stderr.contains("Operation not permitted"), "{seen:?}");
    }
}

/// Profiles are written for the program, not for the runtime: what it may not call, the runtime has done before.
#[test]
fn the_runtimes_own_calls_do_not_pass_it() {
    if known_deviation() {
        return;
    }
    let calls = ["openat2", "close_range", "open_tree", "move_mount", "mount_setattr", "fsopen", "chdir", "fchdir"];
    for no_new_privileges in [true, false] {
        let container = with(json!([{"names": calls, "action": "SCMP_ACT_KILL_PROCESS"}]));
        let container = container.set("/process/noNewPrivileges", json!(no_new_privileges));
        assert_eq!(container.args(&["echo", "aye"]).run().ok(), "aye", "{no_new_privileges}");
    }
}

#[test]
fn cap_sys_admin_is_gone_before_the_program_runs() {
    let container = with(json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]));
    let container = container.set("/process/noNewPrivileges", json!(false));
    let status = container.args(&["cat", "/proc/self/status"]).run();
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        let sets = u64::from_str_radix(field(status.ok(), set), 16).expect("hexadecimal");
        assert_eq!(sets & 1 << 21, 0, "{set}");
    }
}

#[test]
fn start_container_hooks_are_under_it() {
    if known_deviation() {
        return;
    }
    let container = with(json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]));
    let hook = hook("exec mkdir /dev/shm/lost");
    let output = container.set("/hooks/startContainer", hook).args(&["true"]).run();
    output.exits(1).says("error running startContainer hook").says("bad system call");
}
