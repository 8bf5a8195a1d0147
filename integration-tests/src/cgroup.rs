//! The hierarchies of this machine.
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

pub const ROOT: &str = "/sys/fs/cgroup";
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Whether cgroup v2 is all there is.
pub fn is_v2() -> bool {
    static IS_V2: LazyLock<bool> = LazyLock::new(|| Path::new(ROOT).join("cgroup.controllers").is_file());
    *IS_V2
}

/// Whether the containers of all tests have their cgroups from systemd: `CGROUP_MANAGER=systemd`.
pub fn by_systemd() -> bool {
    static BY_SYSTEMD: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("CGROUP_MANAGER").is_some_and(|manager| manager == "systemd"));
    *BY_SYSTEMD
}

/// The file that freezes a group, what it holds then, and what otherwise.
pub fn freezer() -> (&'static str, &'static str, &'static str) {
    if is_v2() { ("cgroup.freeze", "1", "0") } else { ("freezer.state", "FROZEN", "THAWED") }
}

/// Into a mount namespace of our own, where a tmpfs hides the v2 hierarchy.
///
/// crun 1.8 refuses a hybrid layout while the v2 hierarchy has controllers, and on such build machines it has
/// hugetlb. Nothing of the host is changed.
///
/// # Errors
/// Those of unshare(2) and mount(2); not root, say.
pub fn enter_v1_only() -> nix::Result<()> {
    private_mounts()?;
    hide_v2()
}

/// The same, but v2 stays and loses its controller to a v1 hierarchy. While anyone is there, that is so for the
/// whole host; if v2 cgroups use the controller it is not to be had, and v2 is hidden instead.
///
/// # Errors
/// Those of unshare(2) and mount(2); not root, say.
pub fn enter_empty_v2() -> nix::Result<()> {
    let controllers = fs::read_to_string(format!("{UNIFIED}/cgroup.controllers")).unwrap_or_default();
    private_mounts()?;
    if controllers.trim().is_empty() {
        return Ok(());
    }
    // Where a distribution has it, if there is a directory: anywhere else a runtime may have to look for it in mountinfo.
    let usual = format!("{ROOT}/hugetlb");
    let target = if Path::new(&usual).is_dir() { &*usual } else { "/mnt" };
    mount(Some("hugetlb"), target, Some("cgroup"), MsFlags::empty(), Some("hugetlb")).or_else(|_| hide_v2())
}

/// Not unmounted: crun makes its directory there all the same, which would be in a tmpfs of the host.
fn hide_v2() -> nix::Result<()> {
    if !Path::new(UNIFIED).is_dir() {
        return Ok(());
    }
    mount(Some("tmpfs"), UNIFIED, Some("tmpfs"), MsFlags::empty(), None::<&str>)
}

fn private_mounts() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
}

/// A namespace as [`enter_v1_only`] makes it, made once: a thread enters it and only the descriptor stays.
pub fn v1_only() -> &'static OwnedFd {
    static NAMESPACE: LazyLock<OwnedFd> = LazyLock::new(|| {
        let enter = || {
            enter_v1_only().expect("a mount namespace for crun");
            File::open("/proc/thread-self/ns/mnt").expect("procfs").into()
        };
        std::thread::spawn(enter).join().expect("no panic")
    });
    &NAMESPACE
}

/// Every directory that is called `path` in one of the hierarchies.
pub fn directories(path: &str) -> Vec<PathBuf> {
    let beneath = |root: PathBuf| root.join(path.trim_start_matches('/'));
    let mut roots: Vec<_> = fs::read_dir(ROOT).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    roots.push(ROOT.into());
    roots.into_iter().map(beneath).filter(|dir| dir.is_dir()).collect()
}

/// The pids in `dir` and all below it.
pub fn pids(dir: &Path) -> Vec<i32> {
    let own = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let below = children(dir).into_iter().flat_map(|child| pids(&child));
    own.lines().filter_map(|pid| pid.parse().ok()).chain(below).collect()
}

/// Groups in `dir`, each in the one before, however long their path becomes: the deepest. They go as they came, one by one.
#[derive(Debug)]
pub struct Nest {
    pub deepest: OwnedFd,
    name: String,
    depth: usize,
}

impl Nest {
    /// # Errors
    /// Those of mkdirat(2) and openat(2).
    pub fn new(dir: &Path, name: &str, depth: usize) -> nix::Result<Nest> {
        let mut nest = Nest { deepest: open(AT_FDCWD, dir)?, name: name.to_owned(), depth: 0 };
        while nest.depth < depth {
            nix::sys::stat::mkdirat(&nest.deepest, name, Mode::from_bits_truncate(0o755))?;
            nest.deepest = open(nest.deepest.as_fd(), Path::new(name))?;
            nest.depth += 1;
        }
        Ok(nest)
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        for _ in 0..self.depth {
            let Ok(above) = open(self.deepest.as_fd(), Path::new("..")) else { return };
            self.deepest = above;
            let _ = nix::unistd::unlinkat(&self.deepest, &*self.name, UnlinkatFlags::RemoveDir);
        }
    }
}

fn open(at: BorrowedFd<'_>, path: &Path) -> nix::Result<OwnedFd> {
    openat(at, path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Takes away what a failed test left, by force: thaw, kill, rmdir.
pub fn remove(path: &str) {
    for dir in directories(path) {
        thaw(&dir);
        for pid in pids(&dir) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        }
        for _ in 0..100 {
            remove_tree(&dir);
            if !dir.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn thaw(dir: &Path) {
    let _ = fs::write(dir.join("freezer.state"), "THAWED");
    children(dir).iter().for_each(|child| thaw(child));
}

fn remove_tree(dir: &Path) {
    children(dir).iter().for_each(|child| remove_tree(child));
    let _ = fs::remove_dir(dir);
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
