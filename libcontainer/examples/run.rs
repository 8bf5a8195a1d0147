//! Runs a bundle and ends as its program does: `run BUNDLE`.
use libcontainer::{Bundle, CreateOptions, Result, Stdio, Store};

fn main() -> Result<()> {
    let bundle = Bundle::open(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()))?;
    let store = Store::open(std::env::temp_dir().join("libcontainer-run"))?;
    let options = CreateOptions::new().stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let (container, init) = store.create(&format!("run-{}", std::process::id()), &bundle, options)?;
    let ended = container.start().and_then(|()| init.wait());
    container.force_delete()?;
    std::process::exit(ended?.status().into());
}
