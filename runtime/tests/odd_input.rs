//! Whatever a command is given, it says what is wrong: it neither panics nor hangs, and its words command no terminal.
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("odd-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("bundle/rootfs")).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Calls a command that has ten seconds.
#[track_caller]
fn call(directory: &Directory, arguments: &[&str], stdin: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("--root").arg(directory.path("state")).args(arguments).current_dir(&directory.0);
    let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(Duration::from_secs(10)) else {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        panic!("hangs: {arguments:?}");
    };
    output.unwrap()
}

/// It fails, and in words.
#[track_caller]
fn fails(directory: &Directory, arguments: &[&str]) -> String {
    let output = call(directory, arguments, Stdio::null());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown: Vec<_> = arguments.iter().map(|argument| argument.chars().take(80).collect::<String>()).collect();
    assert!(output.status.code().is_some_and(|code| code != 0 && code != 101), "{shown:?}: {output:?}");
    assert!(!said.trim().is_empty() && !said.contains("panicked"), "{shown:?}: {said}");
    said
}

/// Places that hold no file to read, and what is said of them.
fn odd_files(directory: &Directory) -> Vec<(String, &'static str)> {
    let fifo = directory.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = UnixListener::bind(directory.path("socket")).unwrap();
    symlink("fifo", directory.path("link")).unwrap();
    let long = fs::File::create_new(directory.path("long")).unwrap();
    long.set_len((64 << 20) + 1).unwrap();
    vec![
        (fifo, "not a regular file"),
        (directory.path("socket"), "not a regular file"),
        (directory.path("link"), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (directory.path("bundle"), "is a directory (EISDIR)"),
        (directory.path("missing"), "no"),
        (directory.path("long"), "longer than 64 MiB"),
        (directory.path(&"x".repeat(300)), "file name too long (ENAMETOOLONG)"),
    ]
}

#[test]
fn a_config_is_a_regular_file_of_a_reasonable_size() {
    let directory = Directory::new("config");
    let bundle = directory.path("bundle");
    for (file, words) in odd_files(&directory) {
        let config = directory.path("bundle/config.json");
        let _ = fs::remove_file(&config);
        symlink(&file, &config).unwrap();
        for command in [&["create", "x"][..], &["run", "x"], &["restore", "x"], &["plan"], &["check"]] {
            let [name, id @ ..] = command else { continue };
            let said = fails(&directory, &[&[name, "--bundle", bundle.as_str()], id].concat());
            assert!(said.contains(words), "{file}: {said}");
        }
    }
}

#[test]
fn so_are_all_other_files_that_are_read() {
    let directory = Directory::new("files");
    for (file, words) in odd_files(&directory) {
        for arguments in [
            &["plan", "--facts", &file][..],
            &["plan", "--exec", &file],
            &["check", "--facts", &file],
            &["trace", &file],
            &["create", "--config", &file, "x"],
        ] {
            fs::write(directory.path("config.json"), r#"{"ociVersion": "1.0.2"}"#).unwrap();
            let said = fails(&directory, arguments);
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_log_that_nobody_reads_is_an_error() {
    let directory = Directory::new("log");
    assert!(Command::new("mkfifo").arg(directory.path("fifo")).status().unwrap().success());
    assert!(fails(&directory, &["--log", &directory.path("fifo"), "state", "x"]).contains("ENXIO"));
}

#[test]
fn deep_and_broken_json_is_one_error() {
    let directory = Directory::new("json");
    let bundle = directory.path("bundle");
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    for text in [
        deep("[", "]"),
        deep(r#"{"a":"#, "}"),
        format!(r#"{{"process": {}}}"#, deep("[", "]")),
        r#"{"process": {"args": ["\ud800"]}}"#.to_owned(),
        r#"{"ociVersion": 1e999}"#.to_owned(),
        r#"{"process": {"user": {"uid": 1e999}}}"#.to_owned(),
        r#"{"process": {"user": {"uid": -1}}}"#.to_owned(),
        r#"{"process": {"user": {"uid": 18446744073709551616}}}"#.to_owned(),
        "\u{feff}{}".to_owned(),
        "null".to_owned(),
        "\0".repeat(1000),
    ] {
        fs::write(directory.path("bundle/config.json"), &text).unwrap();
        for command in ["plan", "check"] {
            let output = call(&directory, &[command, "--bundle", &bundle], Stdio::null());
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.len() < 1000 && !said.contains("panicked"), "{said}");
        }
    }
}

#[test]
fn no_command_panics_at_odd_arguments() {
    let directory = Directory::new("arguments");
    let long = "x".repeat(100_000);
    let odd = ["", "-", "\u{1b}[2J", "a\nb", "..", "/", "ä", "x", "-1", "99999999999999999999", &long];
    for name in [
        "checkpoint",
        "delete",
        "events",
        "exec",
        "kill",
        "mounts",
        "pause",
        "ps",
        "restore",
        "resume",
        "start",
        "state",
        "update",
        "create",
        "run",
    ] {
        for one in odd {
            for arguments in [&[name, one][..], &[name, one, one], &[name, one, one, one]] {
                let said = fails(&directory, arguments);
                assert!(!said.contains('\u{1b}'), "{arguments:?}: {said:?}");
            }
        }
    }
    for flag in ["--pid-file", "--console-socket", "--preserve-fds", "--bundle", "--config"] {
        for one in odd {
            fails(&directory, &["create", flag, one, "x"]);
        }
    }
    for flag in ["--memory", "--cpu-quota", "--pids-limit", "--resources", "--cpuset-cpus"] {
        for one in odd {
            fails(&directory, &["update", flag, one, "x"]);
        }
    }
}

#[test]
fn what_standard_input_brings_has_an_end() {
    let directory = Directory::new("stdin");
    let started = Instant::now();
    let zero = fs::File::open("/dev/zero").unwrap();
    let output = call(&directory, &["update", "--resources", "-", "x"], zero.into());
    assert!(output.status.code() == Some(1) && started.elapsed() < Duration::from_secs(10));
}
