//! Single steps, each in a user and mount namespace of its own, with no privilege on the host.
use super::run;
use crate::fault::Fault;
use crate::host::Slots;
use crate::{Init, Line};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use step::{Attributes, Call, Device, Link, Options, Present, Source, Step, Target, ZStr};

const RDONLY: Attributes = Attributes { set: 1, clear: 0 };
const MS_PRIVATE_REC: u32 = 0x4_0000 | 0x4000;

/// Runs the calling test once more under unshare(1), and there `body` with an init that has a root filesystem.
fn inside(body: impl FnOnce(&mut Init, &Path)) {
    let thread = std::thread::current();
    let name = thread.name().expect("the test's name");
    if std::env::var("PLIMSOLL_STEP").as_deref() != Ok(name) {
        let test = std::env::current_exe().expect("this program");
        let mut again = Command::new("unshare");
        again.args(["--user", "--map-root-user", "--mount"]).arg(test).args(["--exact", name, "--nocapture"]);
        let said = again.env("PLIMSOLL_STEP", name).output().expect("unshare(1)");
        if !said.status.success() && !rustix::process::geteuid().is_root() && !has_user_namespaces() {
            // Uncaptured: `integration-tests/test` counts these lines. Nobody is worse off for one that cannot be written.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: needs user namespaces for ordinary users");
            return;
        }
        assert!(
            said.status.success(),
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        return;
    }
    let root = std::env::temp_dir().join(format!("plimsoll-step-{}", std::process::id()));
    fs::create_dir(&root).expect("a root filesystem");
    let (ours, _theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("sockets");
    // setns(2) to a mount namespace wants a thread that shares its root with no other, as init's only one does.
    const CLONE_FS: u32 = 0x200;
    crate::sys::unshare(CLONE_FS).expect("unshare(2)");
    let mut init = Init::new(ours, Box::leak(Box::new(Slots::EMPTY)));
    let path = z(&root);
    for line in [
        Step::SetRootPropagation { propagation: MS_PRIVATE_REC },
        Step::OpenNull,
        Step::OpenRootfs { path: ZStr(&path) },
        Step::AttachRootfs { path: ZStr(&path) },
    ] {
        run(&mut init, &line).expect("a root filesystem");
    }
    body(&mut init, &root);
    // The mounts go with the namespace; what was made below them is in the directory.
    drop(init);
    let _ = rustix::mount::unmount(path.as_c_str(), rustix::mount::UnmountFlags::DETACH);
    let _ = fs::remove_dir_all(&root);
}

fn has_user_namespaces() -> bool {
    let asked = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).output();
    asked.is_ok_and(|said| said.status.success())
}

fn z(path: &Path) -> CString {
    CString::new(path.to_str().expect("text")).expect("no NUL")
}

fn tmpfs<'a>(target: &'a CStr, options: &'a [u8], copy_up: bool) -> Line<'a> {
    Step::Mount {
        fstype: ZStr(c"tmpfs"),
        source: ZStr(c"tmpfs"),
        target: ZStr(target),
        kind: Target::Any,
        options: Options::Each(options),
        attributes: Attributes::default(),
        propagation: 0,
        copy_up,
        or_bind: None,
        keep: false,
    }
}

/// All of what is mounted at `source` and below.
fn bind_mount<'a>(source: &'a CStr, target: &'a CStr, kind: Target) -> Line<'a> {
    Step::BindMount {
        source: Source::Path(ZStr(source)),
        target: ZStr(target),
        kind,
        recursive: true,
        attributes: Attributes::default(),
        recursive_attributes: Attributes::default(),
        propagation: 0,
        link: Link::Follow,
        keep: false,
    }
}

/// As the host's own tree shows it; `init` sees the same through its descriptor.
fn at(root: &Path, path: &str) -> PathBuf {
    root.join(path)
}

#[test]
fn a_masked_file_is_the_null_device_and_a_masked_directory_is_empty() {
    inside(|init, root| {
        fs::write(at(root, "file"), "secret").unwrap();
        fs::create_dir_all(at(root, "directory/secret")).unwrap();
        for path in [c"/file", c"/directory", c"/missing"] {
            run(init, &Step::MaskPath { path: ZStr(path) }).unwrap();
        }
        let file = fs::metadata(at(root, "file")).unwrap();
        assert!(file.file_type().is_char_device() && file.rdev() == rustix::fs::makedev(1, 3));
        assert_eq!(fs::read_dir(at(root, "directory")).unwrap().count(), 0);
        assert!(!at(root, "missing").exists());
    });
}

#[test]
fn a_read_only_path_cannot_be_written_below() {
    inside(|init, root| {
        fs::create_dir(at(root, "etc")).unwrap();
        run(init, &Step::ReadonlyPath { path: ZStr(c"/etc") }).unwrap();
        let refused = fs::write(at(root, "etc/x"), "").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::ROFS.raw_os_error()));
    });
}

#[test]
fn a_bad_mount_option_is_reported_in_the_kernels_words() {
    inside(|init, _| {
        let fault = run(init, &tmpfs(c"/scratch", b"size=bogus\0", false)).unwrap_err();
        assert_eq!(fault, Fault::new(Call::Fsconfig, Errno::INVAL));
        let words = String::from_utf8_lossy(init.detail.as_bytes()).into_owned();
        assert!(words.starts_with("size=bogus: ") && words.contains("Bad value for 'size'"), "{words}");
    });
}

#[test]
fn a_missing_target_is_made_and_a_symbolic_link_stays_inside() {
    inside(|init, root| {
        fs::create_dir(at(root, "etc")).unwrap();
        symlink("/etc", at(root, "link")).unwrap();
        symlink("/later/on", at(root, "dangling")).unwrap();
        run(init, &tmpfs(c"/link/new/er", b"", false)).unwrap();
        run(init, &tmpfs(c"/dangling/x", b"", false)).unwrap();
        assert!(at(root, "etc/new/er").is_dir() && !Path::new("/etc/new").exists());
        assert!(at(root, "later/on/x").is_dir() && !Path::new("/later").exists());
    });
}

#[test]
fn a_bind_mount_has_its_attributes_and_the_kind_of_its_source() {
    inside(|init, root| {
        let source = at(root, "source");
        fs::write(&source, "cargo").unwrap();
        let source = z(&source);
        let bind = Step::BindMount {
            source: Source::Path(ZStr(&source)),
            target: ZStr(c"/deep/target"),
            kind: Target::Any,
            recursive: false,
            attributes: RDONLY,
            recursive_attributes: Attributes::default(),
            propagation: 0,
            link: Link::Follow,
            keep: false,
        };
        run(init, &bind).unwrap();
        assert_eq!(fs::read_to_string(at(root, "deep/target")).unwrap(), "cargo");
        assert!(fs::write(at(root, "deep/target"), "x").is_err());
    });
}

#[test]
fn a_new_tmpfs_may_begin_with_what_it_covers() {
    inside(|init, root| {
        fs::create_dir_all(at(root, "etc/below")).unwrap();
        fs::write(at(root, "etc/below/file"), "ballast").unwrap();
        symlink("below/file", at(root, "etc/link")).unwrap();
        run(init, &tmpfs(c"/etc", b"", true)).unwrap();
        assert_eq!(fs::read_to_string(at(root, "etc/link")).unwrap(), "ballast");
    });
}

const NULL: Device = Device { kind: 0o2_0000, major: 1, minor: 3 };

fn bind_null(path: &CStr, present: Present) -> Line<'_> {
    Step::BindDevice { source: Source::Path(ZStr(c"/dev/null")), path: ZStr(path), device: NULL, present }
}

#[test]
fn a_device_that_is_there_has_to_be_the_one_that_was_asked_for() {
    inside(|init, root| {
        fs::write(at(root, "null"), "").unwrap();
        let device = |major, present| {
            let device = Device { major, ..NULL };
            Step::MakeDevice { path: ZStr(c"/null"), device, mode: 0o666, uid: 0, gid: 0, present }
        };
        assert_eq!(run(init, &device(1, Present::IsTheDevice)), Err(Fault::new(Call::Mknod, Errno::EXIST)));
        assert_eq!(run(init, &device(1, Present::Stays)), Ok(()));
        run(init, &bind_null(c"/null", Present::IsTheDevice)).unwrap();
        assert_eq!(run(init, &device(1, Present::IsTheDevice)), Ok(()));
        assert_eq!(run(init, &device(2, Present::IsTheDevice)), Err(Fault::new(Call::Mknod, Errno::EXIST)));
        assert_eq!(run(init, &device(2, Present::Stays)), Ok(()));
    });
}

#[test]
fn where_no_node_may_be_made_the_hosts_is_bound_if_it_is_that_device() {
    inside(|init, root| {
        let device =
            |path, device, present| Step::MakeDevice { path: ZStr(path), device, mode: 0o666, uid: 0, gid: 0, present };
        run(init, &device(c"/dev/null", NULL, Present::Stays)).unwrap();
        assert!(fs::metadata(at(root, "dev/null")).unwrap().file_type().is_char_device());
        let other = Device { minor: 5, ..NULL };
        let refused = Err(Fault::new(Call::Mknod, Errno::PERM));
        assert_eq!(run(init, &device(c"/dev/null2", NULL, Present::IsTheDevice)), refused);
        assert_eq!(run(init, &device(c"/dev/full", other, Present::IsTheDevice)), refused);
        assert!(!at(root, "dev/full").exists());
    });
}

#[test]
fn what_an_image_has_in_the_place_of_a_default_device_is_not_covered() {
    inside(|init, root| {
        fs::write(at(root, "null"), "mine").unwrap();
        symlink("elsewhere", at(root, "link")).unwrap();
        run(init, &bind_null(c"/null", Present::Stays)).unwrap();
        run(init, &bind_null(c"/link", Present::Stays)).unwrap();
        assert_eq!(fs::read_to_string(at(root, "null")).unwrap(), "mine");
        assert!(!at(root, "elsewhere").exists());
        let exists = Err(Fault::new(Call::Mknod, Errno::EXIST));
        assert_eq!(run(init, &bind_null(c"/null", Present::IsTheDevice)), exists);
        assert_eq!(run(init, &bind_null(c"/link", Present::IsTheDevice)), exists);
    });
}

#[test]
fn a_bound_device_cannot_be_changed() {
    inside(|init, root| {
        run(init, &bind_null(c"/null", Present::Stays)).unwrap();
        let null = at(root, "null");
        fs::write(&null, "x").unwrap();
        let denied = fs::set_permissions(&null, fs::metadata(&null).unwrap().permissions()).unwrap_err();
        assert_eq!(denied.raw_os_error(), Some(Errno::ROFS.raw_os_error()));
    });
}

#[test]
fn in_the_hosts_own_dev_nothing_is_made_and_nothing_replaced() {
    inside(|init, root| {
        let dev = z(Path::new("/dev"));
        run(init, &bind_mount(&dev, c"/host", Target::Any)).unwrap();
        // Wherever it is, and by whatever name.
        symlink("host", at(root, "dev")).unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        let refused = Err(Fault::new(Call::HostDev, Errno::PERM));
        let device = |present| {
            let device = Device { major: 240, ..NULL };
            Step::MakeDevice { path: ZStr(c"/dev/plimsoll-step"), device, mode: 0o666, uid: 0, gid: 0, present }
        };
        assert_eq!(run(init, &device(Present::Stays)), Ok(()));
        assert_eq!(run(init, &device(Present::IsTheDevice)), refused);
        assert_eq!(run(init, &bind_null(c"/dev/plimsoll-step", Present::Stays)), Ok(()));
        assert_eq!(run(init, &bind_null(c"/dev/plimsoll-step", Present::IsTheDevice)), refused);
        assert_eq!(run(init, &bind_null(c"/dev/null", Present::IsTheDevice)), Ok(()));
        let link = Step::Symlink { target: ZStr(c"x"), path: ZStr(c"/dev/plimsoll-step"), replace: true };
        assert_eq!(run(init, &link), Ok(()));
        assert_eq!(run(init, &tmpfs(c"/dev/plimsoll-step", b"", false)), refused);
        assert_eq!(run(init, &tmpfs(c"/dev/plimsoll/step", b"", false)), refused);
        assert_eq!(names(), before);
    });
}

#[test]
fn a_link_takes_the_place_of_a_file_only_where_that_was_asked_for() {
    inside(|init, root| {
        fs::write(at(root, "file"), "").unwrap();
        symlink("old", at(root, "link")).unwrap();
        let link = |path, replace| Step::Symlink { target: ZStr(c"new"), path: ZStr(path), replace };
        run(init, &link(c"/file", false)).unwrap();
        assert!(fs::symlink_metadata(at(root, "file")).unwrap().is_file());
        run(init, &link(c"/file", true)).unwrap();
        assert_eq!(fs::read_link(at(root, "file")).unwrap(), Path::new("new"));
        // What leads somewhere already was put there by somebody.
        run(init, &link(c"/link", true)).unwrap();
        assert_eq!(fs::read_link(at(root, "link")).unwrap(), Path::new("old"));
    });
}

#[test]
fn a_working_directory_behind_a_magic_link_is_refused() {
    inside(|init, root| {
        let proc = z(Path::new("/proc"));
        run(init, &bind_mount(&proc, c"/proc", Target::OrdinaryDirectory)).unwrap();
        assert!(at(root, "proc/self").exists());
        let fault = run(init, &Step::Chdir { path: ZStr(c"/proc/self/cwd"), uid: 0, gid: 0 }).unwrap_err();
        assert_eq!(fault, Fault::new(Call::Openat2, Errno::LOOP));
    });
}

#[test]
fn nothing_else_is_mounted_on_or_in_a_procfs() {
    inside(|init, root| {
        fs::create_dir_all(at(root, "fake/self")).unwrap();
        let fake = z(&at(root, "fake"));
        let bind = bind_mount(&fake, c"/proc", Target::OrdinaryDirectory);
        assert_eq!(run(init, &bind), Err(Fault::new(Call::MoveMount, Errno::PERM)));
    });
}

#[test]
fn an_unknown_sysctl_does_not_exist() {
    inside(|init, _| {
        let write = Step::WriteSysctl { key: ZStr(c"net/ipv4/bogus"), value: ZStr(c"1") };
        assert_eq!(run(init, &write), Err(Fault::new(Call::Openat2, Errno::NOENT)));
    });
}
