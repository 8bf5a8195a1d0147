//! Builds the program inside the container, whose sources are those of `plimsoll-init`, for `launch` to embed.
//!
//! A cargo of its own, with flags of its own: no libc, no start files, a static ELF. See docs/decisions/0015-packages.md.
use std::env;
use std::fs;
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
    let package = out.join("package");
    write_package(&package, &sources);
    // One folder for every profile of the outer build: OUT_DIR is TARGET_DIR[/TRIPLE]/PROFILE/build/PACKAGE/out.
    let folder = out.ancestors().nth(4).unwrap_or(&out).join("plimsoll-init");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--offline", "--quiet", "--release", "--target", &target])
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        // Cargo looks for its configuration (a vendored registry, say) from the directory in which it was called.
        .current_dir(fs::read_link(format!("/proc/{}/cwd", parent_id())).unwrap_or_else(|_| sources.clone()))
        // Flags and wrappers of the outer build (coverage, clippy, sanitizers) are not for a program without std.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&target, &sources).join("\u{1f}"))
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

/// A package that is nothing but the program: the sources may lie in a registry's folder, which nobody may write to.
fn write_package(package: &Path, sources: &Path) {
    let manifest = format!(
        r#"[package]
name = "init"
version = "0.0.0"
edition = "2024"

[[bin]]
name = "init"
path = {main:?}

[dependencies]
plimsoll-init = {{ path = {sources:?}, features = ["program"] }}

[workspace]

# Without LTO it does not link: `core` as it comes from rustup wants to unwind.
[profile.release]
opt-level = "z"
lto = "fat"
codegen-units = 1
panic = "abort"
strip = true
"#,
        main = sources.join("src/main.rs"),
    );
    fs::create_dir_all(package).expect("write to OUT_DIR");
    fs::write(package.join("Cargo.toml"), manifest).expect("write to OUT_DIR");
    // In the repository the versions are those of its lock file; a package takes what the outer build has downloaded.
    let lock = sources.join("../../Cargo.lock");
    if lock.exists() {
        fs::copy(lock, package.join("Cargo.lock")).expect("write to OUT_DIR");
    }
}

fn flags(target: &str, sources: &Path) -> Vec<String> {
    let mut flags =
        vec!["-Crelocation-model=static", "-Cpanic=abort", "-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"];
    // Fewer pages in each created container: no build id, code and constants side by side, nothing that nobody would make
    // read-only again, no tables for unwinding (which `core` comes with).
    let script = format!("-Clink-arg={}", sources.join("layout.ld").display());
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
    linker.push(shorter(sources, "init"));
    linker.extend(env::var_os("CARGO_HOME").map(|home| shorter(&Path::new(&home).join("registry/src"), "")));
    flags.into_iter().map(str::to_owned).chain(linker).collect()
}
