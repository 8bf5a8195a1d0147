//! Where the time of a start goes: every line of the plan, host's and init's, on one clock.
//!
//! Without a [`Trace`] nothing is measured: the host takes no time, and init compares a number for each line. With one, init says
//! when it has finished a line, up to its seccomp filter (which might not let it ask for the time) and to where it waits for
//! `start`; what comes after is one stretch.
use crate::plan::Line;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Collects what happened when. Clones share what is collected.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<Mutex<Vec<Event>>>);

#[derive(Debug)]
struct Event {
    actor: &'static str,
    step: String,
    detail: String,
    origin: String,
    line: Option<usize>,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    begin: u64,
    end: u64,
}

impl Trace {
    /// An empty one.
    pub fn new() -> Trace {
        Trace::default()
    }

    /// Does `work`, and takes the time if there is a trace.
    pub fn time<T>(trace: Option<&Trace>, step: &str, work: impl FnOnce() -> T) -> T {
        let Some(trace) = trace else { return work() };
        let begin = now();
        let done = work();
        trace.stretch("host", step, begin, now());
        done
    }

    /// A line of the plan.
    pub(crate) fn line(&self, number: usize, line: &Line, begin: u64, end: u64) {
        let words = line.to_string();
        let (step, detail) = words.split_once(' ').unwrap_or((&words, ""));
        self.push(Event {
            actor: line.actor(),
            step: step.to_owned(),
            detail: detail.trim().to_owned(),
            origin: line.origin().to_owned(),
            line: Some(number),
            begin,
            end,
        });
    }

    /// What is no line by itself.
    pub(crate) fn stretch(&self, actor: &'static str, step: &str, begin: u64, end: u64) {
        let (detail, origin) = (String::new(), String::new());
        self.push(Event { actor, step: step.to_owned(), detail, origin, line: None, begin, end });
    }

    fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Chrome's trace format, which Perfetto reads too: a track for the host, one for init; microseconds of `CLOCK_MONOTONIC`.
    pub fn to_json(&self) -> Value {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        #[allow(clippy::cast_precision_loss, reason = "exact for a hundred days of uptime")]
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let track = |actor: &str| if actor == "init" { 2 } else { 1 };
        let name = |actor: &str| json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": track(actor), "args": {"name": actor}});
        let event = |event: &Event| {
            json!({
                "ph": "X", "pid": 1, "tid": track(event.actor), "cat": event.actor, "name": event.step,
                "ts": microseconds(event.begin), "dur": microseconds(event.end.saturating_sub(event.begin)),
                "args": {"line": event.line, "detail": event.detail, "origin": event.origin},
            })
        };
        let all: Vec<_> = [name("host"), name("init")].into_iter().chain(events.iter().map(event)).collect();
        json!({"displayTimeUnit": "ns", "traceEvents": all})
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
