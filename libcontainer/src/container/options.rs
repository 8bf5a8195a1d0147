//! What a caller decides besides config.json.
use super::Stdio;
use crate::Trace;
use crate::plan::CgroupManager;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// What a caller of [`create`](crate::Store::create) decides besides config.json. It owns the descriptors in it, and is taken by value:
/// a pipe has an end only when nobody holds its other one.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CreateOptions {
    /// A file that gets the pid of init: atomically, decimal, without a newline.
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the console's master, if `process.terminal` is set; otherwise the caller does
    /// ([`Child::console`](crate::Child::console)).
    pub console_socket: Option<PathBuf>,
    /// Unix socket that gets a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
    /// Descriptors that the container has from 3 on, after those of `listen`, whatever their numbers are here.
    pub preserve: Vec<OwnedFd>,
    /// Descriptors of systemd's socket activation: from 3 on, and the container learns of them in `LISTEN_FDS`.
    pub listen: Vec<OwnedFd>,
    /// A program of the caller's, which is executed by its descriptor (execveat(2)) instead of a path in the root filesystem;
    /// `process.args` are its arguments. It has to be an ELF program, no script, and finds in the container what it loads. A sealed
    /// copy is executed, unless it is one ([`sealed`](crate::sealed)). The seccomp profile has to allow execveat(2).
    pub program: Option<OwnedFd>,
    /// `MS_MOVE` and `chroot` instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Give the container a socket for sd_notify(3), for [`Container::notifications`](crate::Container::notifications).
    pub notify: bool,
    /// Who makes the container's cgroups.
    pub cgroup_manager: CgroupManager,
    /// Whether to go without cgroups that the caller may not make and nobody asked for; `None`: unless it is root of the host.
    pub rootless: Option<bool>,
    /// Where to note what takes how long.
    pub trace: Option<Trace>,
}

/// What a caller of [`exec`](crate::Container::exec) decides besides the process. It owns the descriptors in it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ExecOptions {
    /// A file that gets the pid: atomically, decimal, without a newline.
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the console's master, if the process has a terminal; otherwise the caller does
    /// ([`Child::console`](crate::Child::console)).
    pub console_socket: Option<PathBuf>,
    /// Unix socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
    /// Descriptors that the process has from 3 on, whatever their numbers are here.
    pub preserve: Vec<OwnedFd>,
    /// A program of the caller's, as [`CreateOptions::program`].
    pub program: Option<OwnedFd>,
    /// Sub-cgroups below the container's own: (controllers, path); no controllers stands for all.
    pub cgroups: Vec<(Vec<String>, String)>,
    /// Also in a paused container.
    pub ignore_paused: bool,
    /// Where to note what takes how long.
    pub trace: Option<Trace>,
}

setters! {
    CreateOptions {
        pid_file: PathBuf, console_socket: PathBuf, pidfd_socket: PathBuf, program: OwnedFd, trace: Trace,
    } {
        stdin: Stdio, stdout: Stdio, stderr: Stdio, preserve: Vec<OwnedFd>, listen: Vec<OwnedFd>,
        cgroup_manager: CgroupManager,
    } {
        no_pivot, no_new_keyring, notify,
    }
}

setters! {
    ExecOptions {
        pid_file: PathBuf, console_socket: PathBuf, pidfd_socket: PathBuf, program: OwnedFd, trace: Trace,
    } {
        stdin: Stdio, stdout: Stdio, stderr: Stdio, preserve: Vec<OwnedFd>, cgroups: Vec<(Vec<String>, String)>,
    } {
        ignore_paused,
    }
}
