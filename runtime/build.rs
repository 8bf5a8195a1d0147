//! Tells the program which commit it was built from, for `--version`.
use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=PLIMSOLL_COMMIT");
    if let Some(commit) = given().or_else(packaged).or_else(checked_out) {
        println!("cargo::rustc-env=PLIMSOLL_COMMIT={commit}");
    }
}

/// Set by whoever builds from an archive.
fn given() -> Option<String> {
    env::var("PLIMSOLL_COMMIT").ok().filter(|commit| !commit.is_empty())
}

/// What `cargo package` has written into the package.
fn packaged() -> Option<String> {
    let info = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = info.split_once("\"sha1\": \"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// The work tree's, if this directory belongs to one: not that of a repository into which the sources were copied.
fn checked_out() -> Option<String> {
    // Each commit appends a line to the log of HEAD; a clone of one commit has it too.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim_end().to_owned())
}
