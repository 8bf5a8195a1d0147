//! Fields that nobody reads: what is in the file and not in what was understood of it.
#![forbid(unsafe_code)]
use super::{Concern, Finding};
use crate::plan::error::escape_key;
use oci_spec::runtime::Spec;
use serde_json::Value;

pub(super) fn find(tree: &Value, spec: &Spec) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(understood) = serde_json::to_value(spec) {
        compare(tree, &understood, String::new(), &mut findings);
    }
    findings
}

fn compare(given: &Value, understood: &Value, at: String, findings: &mut Vec<Finding>) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (key, value) in given.iter().filter(|(_, value)| !is_nothing(value)) {
                let pointer = format!("{at}/{}", escape_key(key));
                match understood.get(key) {
                    // Parsed, and never looked at.
                    Some(_) if is_foreign(&at, key) => {
                        findings.push(Finding::new(Concern::Ignored, pointer, "is for another platform"));
                    }
                    Some(understood) => compare(value, understood, pointer, findings),
                    // Without a limit it asks for nothing.
                    None if pointer == "/linux/resources/pids" => {}
                    None => findings.push(Finding::new(Concern::Ignored, pointer, why(&at, key))),
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) if given.iter().all(Value::is_string) => {
            // Sets come back in an order of their own, and without what is unknown.
            for (index, name) in given.iter().enumerate().filter(|(_, name)| !understood.contains(name)) {
                let lists = understood.iter().all(Value::is_string);
                if lists && given.len() != understood.len() {
                    findings.push(Finding::new(
                        Concern::Ignored,
                        format!("{at}/{index}"),
                        format!("{name} is not known"),
                    ));
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) if given.len() == understood.len() => {
            for (index, (given, understood)) in given.iter().zip(understood).enumerate() {
                compare(given, understood, format!("{at}/{index}"), findings);
            }
        }
        _ => {}
    }
}

/// What serializes to nothing at all.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn is_foreign(at: &str, key: &str) -> bool {
    at.is_empty() && ["windows", "solaris", "vm", "zos", "freebsd"].contains(&key)
}

fn why(at: &str, key: &str) -> String {
    let why = if is_foreign(at, key) { "is for another platform" } else { "is not known to the runtime specification" };
    why.to_owned()
}
