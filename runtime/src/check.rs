//! `check`: every problem of a bundle at once.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::log::visible;
use crate::{plan, print};
use libcontainer::{Bundle, Concern, Finding, HostFacts, PlanOptions};
use std::fmt::Write;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let facts = match invocation.path("facts") {
        Some(path) => plan::facts(&path)?,
        None => HostFacts::probe_for(invocation.cgroup_manager()?)?,
    };
    let options =
        PlanOptions { id: "ID".to_owned(), cgroup_manager: invocation.cgroup_manager()?, ..PlanOptions::default() };
    let bundle = invocation.path("bundle").unwrap_or_else(|| ".".into());
    // What is wrong is told once, below, however often the parts are looked at.
    log::set_max_level(log::LevelFilter::Error);
    let findings = Bundle::check(bundle, &facts, &options)?;
    let text = match invocation.is_set("json") {
        true => serde_json::to_string_pretty(&findings).map_err(|error| Failure::new(error.to_string()))? + "\n",
        false => table(&findings),
    };
    print(text.as_bytes())?;
    Ok(u8::from(findings.iter().any(Finding::is_error)))
}

fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.pointer.len()).max().unwrap_or(0).min(48);
    let mut text = String::new();
    for finding in findings {
        let concern = match finding.concern {
            Concern::Config => "error",
            Concern::Host => "error here",
            Concern::Ignored => "ignored",
            Concern::Notice => "notice",
            Concern::Security => "security",
            _ => "note",
        };
        let (pointer, message) = (visible(&finding.pointer), visible(&finding.message));
        // `width` is small: a width in a format string is at most 65,535.
        let _ = writeln!(text, "{concern:10}  {pointer:width$}  {message}");
    }
    text
}
