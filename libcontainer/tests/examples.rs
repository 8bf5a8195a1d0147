//! The programs in `examples/` do what they say. As root: they run containers.
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A bundle with busybox in it, until it is dropped.
struct Bundle(PathBuf);

impl Bundle {
    fn new(name: &str, args: &[&str], change: impl FnOnce(&mut Value)) -> Bundle {
        let bundle = Bundle(std::env::temp_dir().join(format!("libcontainer-examples-{}-{name}", std::process::id())));
        for directory in ["bin", "dev", "proc", "sys"] {
            fs::create_dir_all(bundle.0.join("rootfs").join(directory)).unwrap();
        }
        // Not by ourselves: what another thread forks meanwhile would hold it open for writing (ETXTBSY).
        let bin = bundle.0.join("rootfs/bin");
        assert!(Command::new("cp").arg("/bin/busybox").arg(&bin).status().unwrap().success(), "busybox-static");
        ["sh", "sleep", "stty", "echo", "true"].iter().for_each(|name| symlink("busybox", bin.join(name)).unwrap());
        let mut config: Value = serde_json::from_str(include_str!("../../integration-tests/src/default.json")).unwrap();
        config["process"]["args"] = json!(args);
        change(&mut config);
        fs::write(bundle.0.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    /// What an example does with it.
    fn given_to(&self, example: &str) -> Output {
        // Cargo puts them beside the folder that this program is in.
        let program =
            std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples").join(example);
        let output = Command::new(&program).arg(&self.0).output();
        output.unwrap_or_else(|error| panic!("{}: {error}; cargo test --examples builds it", program.display()))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn said(output: &Output) -> &str {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap().trim_end()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn run_ends_as_its_program_does() {
    if is_root() {
        let output = Bundle::new("run", &["sh", "-c", "echo hello; exit 7"], |_| ()).given_to("run");
        assert_eq!((said(&output), output.status.code()), ("hello", Some(7)));
    }
}

#[test]
fn supervisor_tells_exits_from_signals_and_has_a_terminal() {
    if is_root() {
        let output = Bundle::new("supervisor", &["sleep", "1000"], |_| ()).given_to("supervisor");
        let said = said(&output);
        for line in [
            "a process: exit status 3, which engines call 3",
            "a process: signal 9, which engines call 137",
            "a process: exit status 0, which engines call 0",
            "its output: hello",
            "its terminal: 40 100",
            "init: signal 9",
        ] {
            assert!(said.lines().any(|other| other == line), "{line} is not in\n{said}");
        }
    }
}

#[test]
fn tokio_has_fifty_at_once() {
    if is_root() {
        let output = Bundle::new("tokio", &["true"], |_| ()).given_to("tokio");
        assert_eq!(said(&output), "50 of 50 succeeded");
    }
}

#[test]
fn policy_plays_what_it_does_not_refuse() {
    if is_root() {
        let bundle = Bundle::new("policy", &["true"], |_| ());
        assert_eq!(said(&bundle.given_to("policy")), "played: exit status 0");
        let bind =
            |options: &[&str]| json!({"destination": "/mnt", "type": "bind", "source": "/srv", "options": options});
        let with = |name: &str, options: &[&str]| {
            let mounts = json!([{"destination": "/proc", "type": "proc", "source": "proc"}, bind(options)]);
            Bundle::new(name, &["true"], |config| {
                config["root"]["readonly"] = false.into();
                config["mounts"] = mounts;
            })
        };
        assert_eq!(said(&with("policy-ro", &["bind", "ro"]).given_to("policy")), "played: exit status 0");
        let refused = with("policy-rw", &["bind"]).given_to("policy");
        assert_eq!(said(&refused), "refused: /mounts/1: /srv would be writable");
    }
}

#[test]
fn program_runs_what_the_bundle_has_not() {
    if is_root() {
        let bundle = Bundle::new("program", &["echo", "from outside"], |_| ());
        fs::remove_dir_all(bundle.0.join("rootfs/bin")).unwrap();
        let output = bundle.given_to("program");
        assert_eq!((said(&output), output.status.code()), ("from outside", Some(0)));
    }
}
