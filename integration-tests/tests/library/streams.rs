//! What a process of the library's has for its standard streams, and what else is open.
use super::{Case, process};
use libcontainer::{Container, CreateOptions, ExecOptions, Stdio};
use plimsoll_integration_tests::runtime;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

fn file(case: &Case, name: &str) -> File {
    let path = case.0.dir.join(name);
    File::options().read(true).write(true).create(true).truncate(false).open(path).expect("our own")
}

/// Where output goes if all three are the same file, or each other's.
#[test]
fn streams_that_overlap_are_those_that_were_asked_for() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| test.shell("echo out; echo err >&2"));
    let first =
        || Stdio::from(File::options().append(true).create(true).open(case.0.dir.join("first")).expect("our own"));
    let second =
        || Stdio::from(File::options().append(true).create(true).open(case.0.dir.join("second")).expect("our own"));
    for (options, said) in [
        (CreateOptions::new().stdin(first()).stdout(first()).stderr(second()), ["out\n", "err\n"]),
        (CreateOptions::new().stdin(second()).stdout(first()).stderr(first()), ["out\nout\nerr\n", "err\n"]),
    ] {
        let (container, init) = case.create_with(options).expect("a container");
        container.start().expect("started");
        assert!(init.wait().expect("ended").success());
        container.delete().expect("deleted");
        let read = |name: &str| std::fs::read_to_string(case.0.dir.join(name)).expect("our own");
        assert_eq!([read("first"), read("second")], said);
    }
}

#[test]
fn streams_are_null_unless_something_is_said() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let (container, init) = case.create_with(CreateOptions::new()).expect("created");
    container.start().expect("started");
    let open = std::fs::read_dir(format!("/proc/{}/fd", init.pid())).expect("a process");
    let mut open: Vec<_> = open.flatten().map(|open| std::fs::read_link(open.path()).expect("open")).collect();
    open.sort();
    assert_eq!(open, [Path::new("/dev/null"); 3]);
    container.force_delete().expect("deleted");
}

fn three() -> ExecOptions {
    ExecOptions::new().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

#[test]
fn pipes_end_where_they_should() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let container = case.running();
    let script = process(&["sh", "-c", "echo warned >&2; cat; exit 4"]);
    let mut child = container.exec(&script, three()).expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"said").expect("written");
    // Nobody else holds the other end.
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("read");
    child.stderr.take().expect("piped").read_to_string(&mut err).expect("read");
    assert_eq!((&*out, &*err, child.wait().expect("ended").code()), ("said", "warned\n", Some(4)));
    // Nor does the container of its own, once it is created.
    let other = Case::with(|test| test.args(&["cat"]));
    let (container, mut init) = other.create_with(CreateOptions::new().stdin(Stdio::piped())).expect("created");
    container.start().expect("started");
    drop(init.stdin.take());
    assert!(init.wait().expect("ended").success());
}

#[test]
fn descriptors_arrive_from_3_on_whatever_they_were_called() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| {
        test.shell("for n in 3 4 5; do cat <&$n; echo; done; echo $LISTEN_FDS $LISTEN_PID; ls /proc/$$/fd; true")
    });
    let make = |name: &str| {
        file(&case, name).write_all(name.as_bytes()).expect("our own");
        OwnedFd::from(file(&case, name))
    };
    let preserve = vec![make("a"), make("b")];
    let listen = vec![make("socket")];
    let options = CreateOptions::new().preserve(preserve).listen(listen).stdout(Stdio::piped());
    let (container, mut init) = case.create_with(options).expect("created");
    container.start().expect("started");
    let mut out = String::new();
    init.stdout.take().expect("piped").read_to_string(&mut out).expect("read");
    assert_eq!(out, "socket\na\nb\n1 1\n0\n1\n2\n3\n4\n5\n");
    let sleeping = Case::new();
    let running = sleeping.running();
    let options = ExecOptions::new().preserve(vec![make("b"), make("a")]).stdout(Stdio::piped());
    let mut child = running.exec(&process(&["sh", "-c", "cat <&3; cat <&4"]), options).expect("started");
    out.clear();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("read");
    assert_eq!(out, "ba");
    assert!(child.wait().expect("ended").success());
}

/// `stty size` in a terminal that was made larger.
fn sees_its_size(container: &Container) {
    let mut shell =
        process(&["sh", "-c", "while [ \"$(stty size 2>/dev/null)\" != '31 127' ]; do sleep 0.05; done; echo done"]);
    shell.set_terminal(Some(true));
    let mut child = container.exec(&shell, ExecOptions::new()).expect("started");
    let console = child.console.take().expect("a terminal");
    console.resize(31, 127).expect("resized");
    let mut said = String::new();
    // EIO at the end.
    let _ = File::from(OwnedFd::from(console)).read_to_string(&mut said);
    assert_eq!((&*said, child.wait().expect("ended").code()), ("done\n", Some(0)));
}

#[test]
fn the_console_comes_with_the_child() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| test.set("/process/terminal", json!(true)).shell("read line; echo \"heard $line\""));
    let (container, mut init) = case.create_with(CreateOptions::new()).expect("created");
    container.start().expect("started");
    let mut console = File::from(OwnedFd::from(init.console.take().expect("a terminal")));
    console.write_all(b"it\n").expect("written");
    let mut said = String::new();
    let _ = console.read_to_string(&mut said);
    assert!(said.ends_with("heard it\n"), "{said:?}");
    assert!(init.wait().expect("ended").success());
    let sleeping = Case::new();
    sees_its_size(&sleeping.running());
}
