//! What users and engines read, word by word. `BLESS=1 cargo test -p plimsoll --test golden` accepts what is printed now.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const COMMANDS: &[&str] = &[
    "checkpoint",
    "create",
    "delete",
    "events",
    "exec",
    "features",
    "kill",
    "list",
    "mounts",
    "pause",
    "plan",
    "ps",
    "restore",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
];

fn plimsoll(arguments: &[&str]) -> Output {
    // A pipe is no terminal, and no variable of the caller's may change what is printed.
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

/// What a successful call prints; nothing may be on standard error (CRI-O reads both streams as one).
fn printed(arguments: &[&str]) -> String {
    let output = plimsoll(arguments);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "plimsoll {arguments:?}");
    assert!(output.status.success(), "plimsoll {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        return fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; BLESS=1 accepts it", path.display());
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("golden-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn help_is_printed_for_the_whole_and_for_every_command() {
    let mut all = printed(&["--help"]);
    for command in COMMANDS {
        let help = printed(&[command, "--help"]);
        // runc's own tests look for these two lines.
        let mut lines = help.lines();
        assert_eq!(lines.next(), Some("NAME:"));
        assert!(lines.next().unwrap().starts_with(&format!("   plimsoll {command} - ")));
        all += &format!("\n======== {command}\n{help}");
    }
    check("help.txt", &all);
}

#[test]
fn the_version_is_what_docker_and_go_runc_parse() {
    let version = printed(&["--version"]);
    assert_eq!(version, printed(&["-v"]));
    let mut lines = version.lines();
    assert_eq!(lines.next(), Some(concat!("plimsoll version ", env!("CARGO_PKG_VERSION"))));
    assert!(lines.all(|line| line.starts_with("commit: ") || line.starts_with("spec: ")));
    assert!(version.contains("\nspec: 1.3.0\n"));
}

#[test]
fn completions_and_manual_pages_follow_the_table() {
    for shell in ["bash", "zsh", "fish"] {
        check(&format!("completion.{shell}"), &printed(&["completion", shell]));
    }
    let mut pages = printed(&["man"]);
    for command in COMMANDS {
        pages += &printed(&["man", command]);
    }
    check("man.8", &pages);
}

#[test]
fn the_specification_that_spec_writes_is_runc_s_with_more_masked_paths() {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    for (name, flags) in [("spec.json", &[][..]), ("spec-rootless.json", &["--rootless"])] {
        let directory = Directory::new(name);
        let bundle = directory.0.to_str().unwrap();
        let arguments = [&["spec", "--bundle", bundle], flags].concat();
        assert_eq!(printed(&arguments), "");
        let written = fs::read_to_string(directory.file("config.json")).unwrap();
        assert!(!written.ends_with('\n'));
        if !unified {
            // With cgroup v2 alone there is one namespace more; the unit tests know that variant.
            check(name, &written);
        }

        let again = plimsoll(&arguments);
        assert_eq!(again.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&again.stderr).contains("File config.json exists. Remove it first"));
        assert_eq!(fs::read_to_string(directory.file("config.json")).unwrap(), written);
    }
}

#[test]
fn features_are_json_and_promise_what_engines_ask_for() {
    let text = printed(&["features"]);
    assert!(text.starts_with("{\n    \"ociVersionMin\": \"1.0.0\",\n    \"ociVersionMax\": \"1.3.0\","));
    assert!(text.ends_with("}\n"));
    let mut features = serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let has = |list: &serde_json::Value, word: &str| list.as_array().unwrap().iter().any(|item| item == word);
    // Docker, containerd, CRI-O: recursive read-only mounts and pods with user namespaces.
    assert!(has(&features["mountOptions"], "rro"));
    assert!(has(&features["linux"]["namespaces"], "user"));
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    // This kernel's own answer is no matter for a golden file.
    let seccomp = features["linux"]["seccomp"].as_object_mut().unwrap();
    let supported = seccomp.remove("supportedFlags").unwrap();
    assert!(supported.as_array().unwrap().iter().all(|flag| has(&seccomp["knownFlags"], flag.as_str().unwrap())));
    check("features.json", &(serde_json::to_string_pretty(&features).unwrap() + "\n"));
}

/// Exit status, the start of standard output and the message on standard error, of misuses.
#[test]
fn a_misuse_is_explained_by_the_help_and_in_runc_s_words() {
    for (line, status, message) in [
        ("state", 1, r#"plimsoll: \"state\" requires exactly 1 argument(s)"#),
        ("state a b", 1, r#"plimsoll: \"state\" requires exactly 1 argument(s)"#),
        ("exec", 1, r#"plimsoll: \"exec\" requires a minimum of 1 argument(s)"#),
        ("kill a b c", 1, r#"plimsoll: \"kill\" requires a maximum of 2 argument(s)"#),
        ("restore --lsm-mount-context", 1, "flag needs an argument: --lsm-mount-context"),
        ("create --bogus x", 1, "flag provided but not defined: -bogus"),
    ] {
        let output = plimsoll(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(status), "{line}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("Incorrect Usage.\n\nNAME:\n"), "{line}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.ends_with(&format!(" level=error msg=\"{message}\"\n")), "{line}: {stderr}");
    }
    let output = plimsoll(&["frob", "-h"]);
    assert_eq!((output.status.code(), output.stdout), (Some(3), Vec::new()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No help topic for 'frob'"));
}

#[test]
fn an_error_is_one_json_line_in_the_log_and_plain_on_standard_error() {
    let directory = Directory::new("log");
    let log = directory.file("log.json");
    let output = plimsoll(&["--log", &log, "--log-format", "json", "spec", "--bundle", "/nonexistent/\n\"x\""]);
    assert_eq!(output.status.code(), Some(1));
    let written = fs::read_to_string(&log).unwrap();
    assert_eq!(written.lines().count(), 1, "{written}");
    // containerd and podman decode these three; podman wants the whole file to be one object.
    let line = serde_json::from_str::<serde_json::Value>(&written).unwrap();
    assert_eq!(line["level"], "error");
    let message = line["msg"].as_str().unwrap();
    assert!(message.contains("no such file or directory (ENOENT)"), "{message}");
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(line["errno"], "ENOENT");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{}\n", message.replace('\n', "\\n")));
}

#[test]
fn a_log_is_made_and_appended_to() {
    let directory = Directory::new("append");
    let log = directory.file("log");
    printed(&["--log", &log, "features"]);
    assert_eq!(fs::read(&log).unwrap(), b"");
    fs::write(&log, "before\n").unwrap();
    plimsoll(&["--log", &log, "--root", "/", "list"]);
    let written = fs::read_to_string(&log).unwrap();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("before"));
    assert!(lines.next().unwrap().ends_with(" level=error msg=\"Option --root argument should not be set to /\""));
}

#[test]
fn a_log_that_cannot_be_written_is_the_error() {
    let output = plimsoll(&["--log", "/nonexistent/log", "features"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("open /nonexistent/log: no such file or directory"), "{stderr}");
}

#[test]
fn an_unknown_log_format_is_refused() {
    let output = plimsoll(&["--log-format", "xml", "features"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("invalid log-format: xml"));
}

#[test]
fn standard_output_that_cannot_be_written_is_a_failure() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("features").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no space left on device"));
}

#[test]
fn a_link_named_runc_speaks_of_itself_as_runc() {
    let directory = Directory::new("link");
    let link = directory.file("runc");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plimsoll"), &link).unwrap();
    let output = Command::new(&link).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("runc version "));
}
