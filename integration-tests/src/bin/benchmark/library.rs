//! What `create` and `exec` cost a program that calls the library: one with many threads and a large heap, which the processes that
//! it starts share until they execute their own (clone(2), `CLONE_VM`).
use libcontainer::{Bundle, CreateOptions, ExecOptions, Store};
use plimsoll_integration_tests::measure::{median, milliseconds, time};
use plimsoll_integration_tests::{Container, Runtime};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const THREADS: usize = 64;
const HEAP: usize = 200 << 20;

/// Each from here and from the binary, in turns: a line for `create`, one for `exec`.
pub(crate) fn compare(runtime: &Runtime, rounds: usize) -> Vec<String> {
    let heap = std::hint::black_box(vec![1_u8; HEAP]);
    let done = Barrier::new(THREADS + 1);
    let lines = std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| _ = scope.spawn(|| done.wait()));
        let lines = vec![create(runtime, rounds), exec(runtime, rounds)];
        done.wait();
        lines
    });
    drop(heap);
    lines
}

fn line(what: &str, mut here: Vec<Duration>, mut binary: Vec<Duration>) -> String {
    let [here, binary] = [&mut here, &mut binary].map(|taken| milliseconds(median(taken)));
    format!(
        "{what}, {THREADS} threads, {} MB: {here:.2} ms, the binary {binary:.2} ms: {:.2} ×",
        HEAP >> 20,
        here / binary
    )
}

fn new(runtime: &Runtime) -> (Container, Store) {
    let container = Container::of(runtime.clone()).args(&["sleep", "1000"]);
    container.write_config();
    let store = Store::open(container.dir.join("library")).expect("a store");
    (container, store)
}

fn binary(container: &Container, args: &[&str]) -> Command {
    let mut command = Command::new(&container.runtime.path);
    command.arg("--root").arg(container.dir.join("binary")).args(args);
    command
}

fn create(runtime: &Runtime, rounds: usize) -> String {
    let (container, store) = new(runtime);
    let (mut here, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let bundle = Bundle::open(&container.dir).expect("a bundle");
        let (made, init) = store.create(&container.id, &bundle, CreateOptions::new()).expect("created");
        here.push(started.elapsed());
        made.force_delete().expect("deleted");
        init.wait().expect("ended");
        theirs.push(time(binary(&container, &["create", "--bundle"]).arg(&container.dir).arg(&container.id)));
        time(&mut binary(&container, &["delete", "--force", &container.id]));
    }
    line("create by the library", here, theirs)
}

fn exec(runtime: &Runtime, rounds: usize) -> String {
    let (container, store) = new(runtime);
    let bundle = Bundle::open(&container.dir).expect("a bundle");
    let (made, init) = store.create(&container.id, &bundle, CreateOptions::new()).expect("created");
    made.start().expect("started");
    let json = br#"{"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}"#;
    let process = Bundle::process_from_slice(json).expect("a process");
    let (mut here, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let child = made.exec(&process, ExecOptions::new()).expect("started");
        assert!(child.wait().expect("ended").success());
        here.push(started.elapsed());
        let mut command = Command::new(&container.runtime.path);
        command.arg("--root").arg(container.dir.join("library")).args(["exec", &container.id, "/bin/true"]);
        theirs.push(time(&mut command));
    }
    made.force_delete().expect("deleted");
    init.wait().expect("ended");
    line("exec by the library", here, theirs)
}
