//! Says where the sources of the program are: `DEP_PLIMSOLL_INIT_SOURCES` in the library's build script.
fn main() {
    println!("cargo::metadata=sources={}", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    // The program is linked with it.
    println!("cargo::rerun-if-changed=layout.ld");
}
