//! Single steps, each in a user and mount namespace of its own, with no privilege on the host.
use super::run;
use crate::fault::Fault;
use crate::{Init, Line};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use step::{Attributes, Call, Link, Options, Source, Step, Target, ZStr};

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
    let mut init = Init::new(ours);
    let path = z(&root);
    for line in [
        Step::SetRootPropagation { propagation: MS_PRIVATE_REC },
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

#[test]
fn a_device_that_is_there_has_to_be_the_one_that_was_asked_for() {
    inside(|init, root| {
        fs::write(at(root, "null"), "").unwrap();
        let device =
            |kind, major| Step::MakeDevice { path: ZStr(c"/null"), kind, major, minor: 3, mode: 0o666, uid: 0, gid: 0 };
        const S_IFCHR: u32 = 0o2_0000;
        assert_eq!(run(init, &device(S_IFCHR, 1)), Err(Fault::new(Call::Mknod, Errno::EXIST)));
        run(init, &Step::BindDevice { source: ZStr(c"/dev/null"), path: ZStr(c"/null") }).unwrap();
        assert_eq!(run(init, &device(S_IFCHR, 1)), Ok(()));
        assert_eq!(run(init, &device(S_IFCHR, 2)), Err(Fault::new(Call::Mknod, Errno::EXIST)));
    });
}

#[test]
fn a_symbolic_link_replaces_another_only_where_that_was_asked_for() {
    inside(|init, root| {
        symlink("old", at(root, "link")).unwrap();
        let link = |replace| Step::Symlink { target: ZStr(c"new"), path: ZStr(c"/link"), replace };
        run(init, &link(false)).unwrap();
        assert_eq!(fs::read_link(at(root, "link")).unwrap(), Path::new("old"));
        run(init, &link(true)).unwrap();
        assert_eq!(fs::read_link(at(root, "link")).unwrap(), Path::new("new"));
    });
}

#[test]
fn a_working_directory_behind_a_magic_link_is_refused() {
    inside(|init, root| {
        let proc = z(Path::new("/proc"));
        let bind = Step::BindMount {
            source: Source::Path(ZStr(&proc)),
            target: ZStr(c"/proc"),
            kind: Target::OrdinaryDirectory,
            recursive: true,
            attributes: Attributes::default(),
            recursive_attributes: Attributes::default(),
            propagation: 0,
            link: Link::Follow,
            keep: false,
        };
        run(init, &bind).unwrap();
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
        let bind = |kind, target| Step::BindMount {
            source: Source::Path(ZStr(&fake)),
            target: ZStr(target),
            kind,
            recursive: false,
            attributes: Attributes::default(),
            recursive_attributes: Attributes::default(),
            propagation: 0,
            link: Link::Follow,
            keep: false,
        };
        assert_eq!(
            run(init, &bind(Target::OrdinaryDirectory, c"/proc")),
            Err(Fault::new(Call::MoveMount, Errno::PERM))
        );
    });
}

#[test]
fn an_unknown_sysctl_does_not_exist() {
    inside(|init, _| {
        let write = Step::WriteSysctl { key: ZStr(c"net/ipv4/bogus"), value: ZStr(c"1") };
        assert_eq!(run(init, &write), Err(Fault::new(Call::Openat2, Errno::NOENT)));
    });
}
