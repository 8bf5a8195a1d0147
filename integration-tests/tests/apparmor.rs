//! process.apparmorProfile: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use plimsoll_integration_tests::{Container, known_deviation, output, runtime, skips};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Allows everything but to read one file.
struct Profile(String);

impl Profile {
    /// `None`, said loudly, on a host without AppArmor.
    fn load(name: &str) -> Option<Profile> {
        let is_here = Path::new("/sys/kernel/security/apparmor/profiles").exists();
        if skips(!is_here, "needs AppArmor (`test --vm` has it)") {
            return None;
        }
        let profile = Profile(format!("plimsoll-test-{}-{name}", std::process::id()));
        profile.parser("--replace");
        Some(profile)
    }

    fn parser(&self, action: &str) {
        let rules = "file, capability, network, mount, umount, remount, pivot_root, signal, ptrace, unix, dbus, userns,
            audit deny /etc/secret r,";
        let text =
            format!("abi <abi/4.0>,\nprofile {} flags=(attach_disconnected,mediate_deleted) {{ {rules} }}\n", self.0);
        let file = std::env::temp_dir().join(&self.0);
        std::fs::write(&file, text).expect("a temporary file");
        let said = output::finish(Command::new("apparmor_parser").arg(action).arg(&file));
        let _ = std::fs::remove_file(&file);
        said.ok();
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parser("--remove");
    }
}

const WHO: &str = "cat /proc/self/attr/current; cat /etc/secret";

fn with_secret(container: Container) -> Container {
    std::fs::write(container.rootfs().join("etc/secret"), "gold\n").expect("our own");
    container
}

#[test]
fn the_program_is_confined_by_the_profile() {
    let Some(profile) = Profile::load("confined") else { return };
    let container = with_secret(Container::new()).set("/process/apparmorProfile", json!(profile.0)).shell(WHO);
    let said = container.run();
    assert_eq!(said.stdout.trim_end(), format!("{} (enforce)", profile.0), "{said:?}");
    assert!(said.stderr.contains("Permission denied"), "{said:?}");
    container.assert_nothing_left();
}

#[test]
fn exec_is_confined_as_the_container_or_as_asked_for() {
    let (Some(profile), Some(other)) = (Profile::load("container"), Profile::load("exec")) else { return };
    let container = with_secret(Container::new()).set("/process/apparmorProfile", json!(profile.0)).running();
    let current = |flags: &[&str]| container.exec_with(flags, &["cat", "/proc/self/attr/current"]).ok().to_owned();
    assert_eq!(current(&[]), format!("{} (enforce)", profile.0));
    assert_eq!(current(&["--apparmor", &other.0]), format!("{} (enforce)", other.0));
}

/// Before Linux 6.8 there is no lsm_set_self_attr(2), number 459.
#[test]
fn on_an_older_kernel_procfs_does_as_well() {
    if !runtime().version.starts_with("plimsoll ") {
        return;
    }
    let Some(profile) = Profile::load("older") else { return };
    let container = with_secret(Container::new()).set("/process/apparmorProfile", json!(profile.0)).shell(WHO);
    let run = container.launcher(&["run"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=459", "-e", "inject=459:error=ENOSYS"]);
    let said = output::finish(strace.arg(run.get_program()).args(run.get_args()));
    assert_eq!(said.stdout.trim_end(), format!("{} (enforce)", profile.0), "{said:?}");
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error() {
    let Some(profile) = Profile::load("removed") else { return };
    let name = format!("{}-not", profile.0);
    let container = Container::new().set("/process/apparmorProfile", json!(name));
    let said = container.run();
    said.exits(1);
    // runc says which call failed, not with which profile.
    assert!(said.stderr.contains("apparmor"), "{said:?}");
    let words = format!("apparmor profile {name} is not loaded");
    assert!(!runtime().version.starts_with("plimsoll ") || said.stderr.contains(&words), "{said:?}");
    container.assert_nothing_left();
}

#[test]
fn a_profile_on_a_host_without_apparmor_is_an_error() {
    if Path::new("/sys/kernel/security/apparmor").exists() || known_deviation() {
        return;
    }
    let container = Container::new().set("/process/apparmorProfile", json!("harbour"));
    container.create().fails("apparmor: config provided but apparmor not supported");
    container.assert_nothing_left();
}

#[test]
fn an_empty_profile_is_none() {
    if known_deviation() {
        return;
    }
    Container::new().set("/process/apparmorProfile", json!("")).args(&["true"]).run().ok();
}
