//! `events`: resource usage and out-of-memory events, a line of JSON each.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::print;
use libcontainer::{Container, ErrorKind, Event, Stats};
use serde::Serialize;
use std::time::{Duration, Instant};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let interval = invocation.text("interval")?.unwrap_or("5s");
    let invalid = || Failure::new(format!("invalid value {interval:?} for flag -interval: not a duration"));
    let interval = duration(interval).ok_or_else(invalid)?;
    if interval.is_zero() {
        return Err(Failure::new("duration interval must be greater than 0"));
    }
    let id = container.id();
    if invocation.is_set("stats") {
        stats(id, &container.stats()?)?;
        return Ok(0);
    }
    watch(&container, interval)
}

/// Until the container ends.
fn watch(container: &Container, interval: Duration) -> Result<u8, Failure> {
    let (id, events) = (container.id(), container.events()?);
    let mut next = Instant::now() + interval;
    loop {
        match events.wait(Some(next.saturating_duration_since(Instant::now())))? {
            Some(Event::Ended) => return Ok(0),
            Some(Event::OutOfMemory) => line(&Line { r#type: "oom", id, data: None })?,
            Some(other) => log::debug!("an event that runc has no name for: {other:?}"),
            None => {
                // Not a burst of them after a suspended laptop wakes.
                next = Instant::now() + interval;
                match container.stats() {
                    // Meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotRunning => return Ok(0),
                    data => stats(id, &data?)?,
                }
            }
        }
    }
}

/// In the order of runc's keys.
#[derive(Serialize)]
struct Line<'a> {
    r#type: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

fn stats(id: &str, data: &Stats) -> Result<(), Failure> {
    line(&Line { r#type: "stats", id, data: Some(data) })
}

fn line(line: &Line<'_>) -> Result<(), Failure> {
    let json = serde_json::to_string(line).map_err(|error| Failure::new(error.to_string()))?;
    print(format!("{json}\n").as_bytes())
}

/// `1m30s`, `1.5s`, `500ms`, `0`: Go's durations, without the negative ones.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_in_go() {
        for (text, milliseconds) in
            [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("1h", 3_600_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "5x", "-5s", "1..5s", "5s3"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
