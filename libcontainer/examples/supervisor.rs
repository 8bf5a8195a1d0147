//! What a supervisor does: waits for several processes at once, tells how each has ended, and has a terminal: `supervisor BUNDLE`.
use libcontainer::{Bundle, Child, Container, CreateOptions, ExecOptions, Result, Stdio, Store};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

fn main() -> Result<()> {
    let bundle = Bundle::open(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()))?;
    let store = Store::open(std::env::temp_dir().join("libcontainer-supervisor"))?;
    let (container, init) =
        store.create(&format!("supervisor-{}", std::process::id()), &bundle, CreateOptions::new())?;
    let supervised = container.start().and_then(|()| supervise(&container));
    container.force_delete()?;
    say(&format!("init: {}", init.wait()?));
    supervised
}

fn supervise(container: &Container) -> Result<()> {
    let mut children =
        vec![shell(container, "exit 3")?, shell(container, "kill -9 $$")?, shell(container, "sleep 0.2")?];
    while !children.is_empty() {
        let mut ends: Vec<_> = children.iter().map(|child| PollFd::new(child, PollFlags::IN)).collect();
        // may fail: EINTR, and then nothing is ready.
        let _ = poll(&mut ends, None);
        for at in (0..children.len()).rev() {
            if let Some(ended) = children[at].try_wait()? {
                say(&format!("a process: {ended}, which engines call {}", ended.status()));
                children.swap_remove(at);
            }
        }
    }
    say(&format!("its output: {}", output(container, "echo hello")?));
    say(&format!("its terminal: {}", on_a_terminal(container)?));
    Ok(())
}

fn process(script: &str, terminal: bool) -> Result<libcontainer::oci_spec::runtime::Process> {
    let args = ["sh", "-c", script];
    let json = serde_json::json!({"args": args, "cwd": "/", "env": ["PATH=/bin"], "terminal": terminal, "user": {"uid": 0, "gid": 0}});
    Bundle::process_from_slice(json.to_string().as_bytes())
}

fn shell(container: &Container, script: &str) -> Result<Child> {
    container.exec(&process(script, false)?, ExecOptions::new())
}

fn output(container: &Container, script: &str) -> Result<String> {
    let mut child = container.exec(&process(script, false)?, ExecOptions::new().stdout(Stdio::piped()))?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        // may fail: what is no text is not shown.
        let _ = stdout.read_to_string(&mut said);
    }
    child.wait()?;
    Ok(said.trim_end().to_owned())
}

fn on_a_terminal(container: &Container) -> Result<String> {
    let script = "while [ \"$(stty size 2>/dev/null)\" != '40 100' ]; do sleep 0.05; done; stty size";
    let mut child = container.exec(&process(script, true)?, ExecOptions::new())?;
    let mut said = String::new();
    if let Some(console) = child.console.take() {
        console.resize(40, 100)?;
        // may fail: EIO says that nobody has the other side open any more.
        let _ = File::from(OwnedFd::from(console)).read_to_string(&mut said);
    }
    child.wait()?;
    Ok(said.trim_end().to_owned())
}

#[allow(clippy::print_stdout, reason = "an example speaks")]
fn say(words: &str) {
    println!("{words}");
}
