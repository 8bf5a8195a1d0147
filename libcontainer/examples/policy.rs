//! Reads a plan before it is played, and refuses one that shows the container more of the host than it should see: `policy BUNDLE`.
use libcontainer::steps::{Action, InitStep, Source};
use libcontainer::{Bundle, CreateOptions, Plan, Result, Store};

fn main() -> Result<()> {
    let bundle = Bundle::open(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()))?;
    let store = Store::open(std::env::temp_dir().join("libcontainer-policy"))?;
    let planned = store.plan(&format!("policy-{}", std::process::id()), &bundle, CreateOptions::new())?;
    let refused = offences(planned.plan());
    if !refused.is_empty() {
        say(&format!("refused: {}", refused.join("; ")));
        return Ok(());
    }
    let (container, init) = store.create_planned(planned)?;
    let ended = container.start().and_then(|()| init.wait());
    container.force_delete()?;
    say(&format!("played: {}", ended?));
    Ok(())
}

/// What of the host is bound writable, and from where in config.json. (As JSON, for a policy that is no Rust:
/// `serde_json::to_string(planned.plan())`.)
fn offences(plan: &Plan) -> Vec<String> {
    const READ_ONLY: u64 = 1;
    let offence = |line: &libcontainer::Line| match &line.action {
        Action::Init(InitStep::BindMount { source: Source::Path(source), attributes, .. })
            if attributes.set & READ_ONLY == 0 =>
        {
            Some(format!("{}: {source} would be writable", line.origin()))
        }
        _ => None,
    };
    plan.lines().iter().filter(|line| line.origin().starts_with("/mounts")).filter_map(offence).collect()
}

#[allow(clippy::print_stdout, reason = "an example speaks")]
fn say(words: &str) {
    println!("{words}");
}
