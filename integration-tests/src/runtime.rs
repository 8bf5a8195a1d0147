//! Who is tested, and how it must be called on this machine.
use crate::cgroup;
use nix::sched::{CloneFlags, setns};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

#[derive(Debug, Clone)]
pub struct Runtime {
    /// `plimsoll`, `runc`, `crun`: the last part of the path.
    pub name: String,
    pub path: PathBuf,
    /// The first line of `--version`.
    pub version: String,
}

/// The runtime under test: `RUNTIME`, or plimsoll.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Runtime::named(&std::env::var("RUNTIME").unwrap_or_else(|_| "plimsoll".into())));
    &RUNTIME
}

impl Runtime {
    /// # Panics
    /// If there is no such program.
    pub fn named(name: &str) -> Runtime {
        Runtime::find(name).unwrap_or_else(|| panic!("no runtime `{name}`: build it first, or set RUNTIME to a path"))
    }

    pub fn find(name: &str) -> Option<Runtime> {
        let path = find(name)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let said = Command::new(&path).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        let version = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
        Some(Runtime { name, path, version })
    }

    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// crun has words of its own; plimsoll keeps those of runc, which engines match on.
    pub fn speaks_like_runc(&self) -> bool {
        !self.is("crun")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if self.is("crun") && !cgroup::is_v2() {
            let namespace = cgroup::v1_only().as_fd();
            let enter = move || {
                // setns(2) leaves us in the root directory of the namespace.
                let mut path = [0; libc::PATH_MAX as usize];
                // SAFETY: both write to or read from an array of that length, and the first ends it with a zero.
                unsafe {
                    libc::getcwd(path.as_mut_ptr(), path.len());
                    setns(namespace, CloneFlags::CLONE_NEWNS)?;
                    libc::chdir(path.as_ptr());
                }
                Ok(())
            };
            // SAFETY: only system calls between fork and exec; the descriptor lives in a static.
            unsafe { command.pre_exec(enter) };
        }
        command
    }
}

fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(name.into());
    }
    // What was built last, beside the program that is running: target/debug/deps/spec-0123, target/release/benchmark.
    let exe = std::env::current_exe().ok()?;
    let built = exe.ancestors().flat_map(|dir| ["debug", "release"].map(|profile| dir.join(profile).join(name)));
    let newest = built.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    newest.map(|(_, path)| path).or_else(|| {
        let dirs = std::env::var_os("PATH")?;
        std::env::split_paths(&dirs)
            .chain([Path::new("/usr/sbin").into()])
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    })
}

/// A `PATH` with a CRIU that works on this kernel: the host's, if it is new enough.
///
/// # Panics
/// If there is none to be had.
pub fn path_with_criu() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let path = std::env::var("PATH").unwrap_or_default();
        let said = Command::new("criu").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        if String::from_utf8_lossy(&said).starts_with("Version: 4") {
            return path;
        }
        let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/criu")).stderr(Stdio::inherit()).output();
        let made = made.expect("integration-tests/criu");
        assert!(made.status.success(), "integration-tests/criu: {made:?}");
        format!("{}:{path}", String::from_utf8_lossy(&made.stdout).trim())
    });
    &PATH
}
