//! Root filesystems for containers, each in a directory of its own.
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// An id, and a directory of that name. What belongs to a container is known by its id, so none is a part of another;
/// and pids are used again, so the directory must be new: a test that was killed may have left one.
pub(crate) fn new_directory() -> (String, PathBuf) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let id = format!("plimsoll-test-{}-{:05}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&id);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| (id, dir)).expect("a temporary directory"),
        }
    }
}

/// A root filesystem: busybox, with a name in /bin for each of its applets.
pub(crate) fn make_root(root: &Path) {
    let mut builder = fs::DirBuilder::new();
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
        builder.recursive(true).mode(0o755).create(root.join(dir)).expect("a temporary directory");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("our own");
    // Not by ourselves: what another thread forks meanwhile would hold it open for writing, and nobody could execute it
    // (ETXTBSY).
    let copied = Command::new("/bin/busybox").arg("cp").arg("/bin/busybox").arg(root.join("bin/busybox")).status();
    assert!(copied.is_ok_and(|status| status.success()), "busybox-static");
    // Hard links to the same symbolic links: hundreds of inodes for each of hundreds of containers take minutes on ext4.
    for applet in &APPLETS.1 {
        fs::hard_link(APPLETS.0.join(applet), root.join("bin").join(applet)).expect("our own");
    }
}

/// A directory with a symbolic link to busybox for each of its applets, and their names.
static APPLETS: LazyLock<(PathBuf, Vec<String>)> = LazyLock::new(|| {
    extern "C" fn remove() {
        let _ = fs::remove_dir_all(&APPLETS.0);
    }
    let (_, dir) = new_directory();
    let list = Command::new("/bin/busybox").arg("--list").output().expect("busybox-static").stdout;
    let list = String::from_utf8_lossy(&list);
    let names: Vec<_> = list.lines().filter(|name| *name != "busybox").map(str::to_owned).collect();
    names.iter().for_each(|name| symlink("busybox", dir.join(name)).expect("our own"));
    // SAFETY: takes a function without arguments. Nothing drops a static.
    unsafe { libc::atexit(remove) };
    (dir, names)
});
