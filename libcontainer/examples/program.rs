//! Runs a program of the host's in a bundle that need not have one (an interpreter of WebAssembly, say): `program BUNDLE PROGRAM`. It
//! is executed by its descriptor, and sees the container only, so that it has to be linked statically.
use libcontainer::{Bundle, CreateOptions, Result, Stdio, Store, sealed};
use std::fs::File;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let bundle = Bundle::open(arguments.next().unwrap_or_else(|| ".".into()))?;
    let path = arguments.next().unwrap_or_else(|| "/bin/busybox".into());
    let file = File::open(&path).map_err(|error| libcontainer::Error::io("open the program", "open", &error))?;
    // Made once, for any number of containers: a copy that none of them can change.
    let program = sealed(&file)?;
    let store = Store::open(std::env::temp_dir().join("libcontainer-program"))?;
    let options = CreateOptions::new().program(program).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let (container, init) = store.create(&format!("program-{}", std::process::id()), &bundle, options)?;
    let ended = container.start().and_then(|()| init.wait());
    container.force_delete()?;
    std::process::exit(ended?.status().into());
}
