//! Builds the program inside the container, whose sources are those of `plimsoll-init`, for `launch` to embed.
//!
//! A cargo of its own, with flags of its own: no libc, no start files, a static ELF. See docs/decisions/0015-packages.md.
use std::env;
use std::fs;
use std::io;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    if env::var_os("DOCS_RS").is_some() {
        // Where only documentation is built nobody starts a container.
        fs::write(out.join("init"), []).expect("write to OUT_DIR");
        return;
    }
    let sources = PathBuf::from(variable("DEP_PLIMSOLL_INIT_SOURCES"));
    let target = variable("TARGET");
    for path in ["src", "Cargo.toml", "layout.ld", "../step/src", "../step/Cargo.toml", "../../Cargo.lock"] {
        // In a package some of them are elsewhere, and never change.
        if sources.join(path).exists() {
            println!("cargo::rerun-if-changed={}", sources.join(path).display());
        }
    }
    // One folder for every profile of the outer build: OUT_DIR is TARGET_DIR[/TRIPLE]/PROFILE/build/PACKAGE/out.
    let folder = out.ancestors().nth(4).unwrap_or(&out).join("plimsoll-init");
    let root = folder.join("workspace");
    copy_workspace(&sources, &root).expect("write to the target directory");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--offline", "--quiet", "--release", "--target", &target, "--bin", "init"])
        .args(["--features", "program", "--manifest-path"])
        .arg(root.join("libcontainer/init/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        // Cargo looks for its configuration (a vendored registry, say) from the directory in which it was called.
        .current_dir(fs::read_link(format!("/proc/{}/cwd", parent_id())).unwrap_or_else(|_| sources.clone()))
        // Flags and wrappers of the outer build (coverage, clippy, sanitizers) are not for a program without std.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&target, &sources, &root).join("\u{1f}"))
        // Without LTO it does not link: `core` as it comes from rustup wants to unwind.
        .envs(
            [("OPT_LEVEL", "z"), ("LTO", "fat"), ("CODEGEN_UNITS", "1"), ("PANIC", "abort"), ("STRIP", "symbols")]
                .map(profile),
        )
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "init could not be built");
    fs::copy(folder.join(target).join("release/init"), out.join("init")).expect("write to OUT_DIR");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn profile((key, value): (&str, &'static str)) -> (String, &'static str) {
    (format!("CARGO_PROFILE_RELEASE_{key}"), value)
}

/// Copies what the inner cargo builds, as the sources may lie in a registry's folder, which nobody may write to.
///
/// It is a workspace, in whose folder the compiler is called with relative paths: nothing of init depends on where it is.
fn copy_workspace(sources: &Path, root: &Path) -> io::Result<()> {
    copy(sources, &root.join("libcontainer/init"))?;
    let repository = sources.join("../..");
    let (lock, step) = (repository.join("Cargo.lock"), sources.join("../step"));
    if !lock.exists() || !step.exists() {
        // A package, which takes the versions that the outer build has downloaded.
        if let Err(error) = fs::remove_file(root.join("Cargo.lock")) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        }
        return put(&root.join("Cargo.toml"), b"[workspace]\nmembers = [\"libcontainer/init\"]\nresolver = \"3\"\n");
    }
    copy(&step, &root.join("libcontainer/step"))?;
    put(&root.join("Cargo.lock"), &fs::read(lock)?)?;
    let line = |line: &str| match line.split_once(" = ").map(|(key, _)| key) {
        Some("members") => "members = [\"libcontainer/init\", \"libcontainer/step\"]\n".to_owned(),
        Some("default-members") => String::new(),
        _ => format!("{line}\n"),
    };
    let manifest: String = fs::read_to_string(repository.join("Cargo.toml"))?.lines().map(line).collect();
    put(&root.join("Cargo.toml"), manifest.as_bytes())
}

/// The manifest, the linker's script and the sources.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else if name != "Cargo.lock" {
            put(&to.join(name), &fs::read(path)?)?;
        }
    }
    Ok(())
}

/// What has not changed keeps its date, by which the inner cargo knows what there is to do; and another build, of another
/// profile, may be reading it.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::create_dir_all(path.with_file_name(""))?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&new, content)?;
    fs::rename(new, path)
}

fn flags(target: &str, sources: &Path, root: &Path) -> Vec<String> {
    let mut flags =
        vec!["-Crelocation-model=static", "-Cpanic=abort", "-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"];
    // Fewer pages in each created container: no build id, code and constants side by side, nothing that nobody would make
    // read-only again, no tables for unwinding (which `core` comes with).
    let script = "-Clink-arg=libcontainer/init/layout.ld".to_owned();
    let layout = ["--build-id=none", "-znoseparate-code", "-znorelro", "--no-eh-frame-hdr"];
    let mut linker: Vec<String> = Vec::new();
    if target == variable("HOST") {
        flags.extend(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"]);
        linker.extend(layout.map(|flag| format!("-Clink-arg=-Wl,{flag}")));
    } else {
        // Rust's own linker: a C compiler for the other machine is not needed.
        flags.extend(["-Clinker=rust-lld", "-Clinker-flavor=ld.lld"]);
        linker.extend(layout.map(|flag| format!("-Clink-arg={flag}")));
        // As the other linker does it.
        linker.push("-Clink-arg=--no-rosegment".to_owned());
    }
    if target.ends_with("musl") {
        // Rust brings musl's start files itself; _start is ours.
        flags.push("-Clink-self-contained=no");
    }
    linker.extend(["-Clink-arg=-T".to_owned(), script]);
    // Panics name their place. Where that is on the machine that has built it says nothing, and takes memory.
    let shorter = |long: &Path, short: &str| format!("--remap-path-prefix={}={short}", long.display());
    linker.extend([shorter(root, ""), shorter(Path::new("libcontainer"), "")]);
    // Vendored crates, in a source archive.
    linker.extend(sources.join("../..").canonicalize().map(|repository| shorter(&repository, "")));
    linker.extend(env::var_os("CARGO_HOME").map(|home| shorter(&Path::new(&home).join("registry/src"), "")));
    flags.into_iter().map(str::to_owned).chain(linker).collect()
}
