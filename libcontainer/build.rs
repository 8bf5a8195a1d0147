//! Builds `init/`, the program inside the container, which `launch` embeds.
//!
//! A cargo of its own, with a target folder of its own (the outer one holds the lock of the usual folder) and
//! flags of its own: no libc, no start files, a static ELF. See docs/decisions/0001-plan-and-init.md.
use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    for path in ["init/src", "init/Cargo.toml", "init/no-unwinding.ld", "step/src", "step/Cargo.toml", "../Cargo.lock"]
    {
        println!("cargo::rerun-if-changed={path}");
    }
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let target = variable("TARGET");
    let folder = PathBuf::from(variable("OUT_DIR")).join("init");
    let mut flags =
        vec!["-Crelocation-model=static", "-Cpanic=abort", "-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"];
    flags.extend(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"]);
    // Fewer pages in each created container: no build id, code and constants side by side, nothing that nobody would make
    // read-only again, no tables for unwinding (which `core` comes with).
    flags.extend(["-Clink-arg=-Wl,--build-id=none", "-Clink-arg=-Wl,-z,noseparate-code", "-Clink-arg=-Wl,-z,norelro"]);
    let script = format!("-Clink-arg={}/init/no-unwinding.ld", variable("CARGO_MANIFEST_DIR"));
    flags.extend(["-Clink-arg=-Wl,--no-eh-frame-hdr", "-Clink-arg=-T", &script]);
    if target.ends_with("musl") {
        // Rust brings musl's start files itself; _start is ours.
        flags.push("-Clink-self-contained=no");
    }
    let status = Command::new(variable("CARGO"))
        .args(["build", "--locked", "--quiet", "--profile", "init", "--bin", "init", "--features", "program"])
        .args(["--manifest-path", "init/Cargo.toml", "--target", &target, "--target-dir"])
        .arg(&folder)
        // Flags and wrappers of the outer build (coverage, clippy, sanitizers) are not for a program without std.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "init could not be built");
    let program = folder.join(target).join("init/init");
    println!("cargo::rustc-env=PLIMSOLL_INIT={}", program.display());
}
