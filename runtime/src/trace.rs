//! `--trace`, and `trace`: what takes how long, as a table or as a picture.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::print;
use libcontainer::Trace;
use serde::Deserialize;
use std::fmt::Write;
use std::path::Path;

/// A trace, if the flag asks for one.
pub(crate) fn wanted(invocation: &Invocation) -> Option<Trace> {
    invocation.path("trace").map(|_| Trace::new())
}

/// Writes it where the flag says. A failed start is traced up to where it failed.
pub(crate) fn save(invocation: &Invocation, trace: Option<&Trace>) -> Result<(), Failure> {
    let (Some(path), Some(trace)) = (invocation.path("trace"), trace) else { return Ok(()) };
    write(&path, &trace.to_json().to_string())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::io(&format!("write {}", path.display()), &error))
}

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let path = invocation.positionals.first().map(Path::new).unwrap_or(Path::new(""));
    let json =
        libcontainer::read_file(path).map_err(|error| Failure::io(&format!("open {}", path.display()), &error))?;
    let file = serde_json::from_slice::<File>(&json);
    let events = file.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?.stretches();
    match invocation.path("svg") {
        Some(out) => write(&out, &svg(&events))?,
        None => print(table(&events).as_bytes())?,
    }
    Ok(0)
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    ph: String,
    #[serde(default)]
    cat: String,
    name: String,
    /// Microseconds.
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
struct Args {
    line: Option<usize>,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    origin: String,
}

impl File {
    /// What took time, in the order in which it began, the first at 0.
    fn stretches(self) -> Vec<Event> {
        let mut events: Vec<_> = self.events.into_iter().filter(|event| event.ph == "X").collect();
        events.sort_by(|one, other| one.ts.total_cmp(&other.ts));
        let began = events.first().map_or(0.0, |event| event.ts);
        events.iter_mut().for_each(|event| event.ts -= began);
        events
    }
}

/// So many of the slowest lines say enough.
const SHOWN: usize = 20;

fn table(events: &[Event]) -> String {
    let mut slowest: Vec<_> = events.iter().collect();
    slowest.sort_by(|one, other| other.dur.total_cmp(&one.dur));
    let mut text = format!("{:>10} {:>10}  WHO   LINE  WHAT\n", "AT (us)", "TOOK (us)");
    for event in slowest.into_iter().take(SHOWN) {
        let line = event.args.line.map_or(String::new(), |line| line.to_string());
        let what = format!("{} {}", event.name, shortened(&event.args.detail, 60));
        let _ = writeln!(text, "{:10.1} {:10.1}  {:4}  {line:>4}  {}", event.ts, event.dur, event.cat, what.trim_end());
    }
    let whole = events.iter().map(|event| event.ts + event.dur).fold(0.0, f64::max);
    let _ = writeln!(text, "{:>10} {whole:10.1}  all of it", "");
    text
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A row for each line, a bar where it runs, blue for the host and orange for init; hovering shows all of it.
fn svg(events: &[Event]) -> String {
    const ROW: usize = 16;
    const NAMES: f64 = 330.0;
    const WIDTH: f64 = 900.0;
    let whole = events.iter().map(|event| event.ts + event.dur).fold(1.0, f64::max);
    let scale = WIDTH / whole;
    let height = (events.len() + 2) * ROW;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        NAMES + WIDTH + 90.0
    );
    for tick in 0..=10_u8 {
        let at = whole * f64::from(tick) / 10.0;
        let x = NAMES + at * scale;
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {ROW}V{height}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"11\" text-anchor=\"middle\">{:.2} ms</text>",
            at / 1000.0
        );
    }
    for (row, event) in events.iter().enumerate() {
        let y = (row + 1) * ROW;
        let color = if event.cat == "init" { "#e69f00" } else { "#0072b2" };
        let line = event.args.line.map_or(String::new(), |line| format!("{line} "));
        let name = escaped(&shortened(&format!("{line}{} {}", event.name, event.args.detail), 46));
        let title = escaped(&format!(
            "{line}{} {}\n{} · {}\n{:.1} us at {:.1} us",
            event.name, event.args.detail, event.cat, event.args.origin, event.dur, event.ts
        ));
        let (x, width) = (NAMES + event.ts * scale, (event.dur * scale).max(1.0));
        let _ = writeln!(
            text,
            "<g><title>{title}</title><text x=\"4\" y=\"{}\">{name}</text>\
             <rect x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#555\">{:.0} us</text></g>",
            y + 12,
            y + 3,
            ROW - 5,
            x + width + 4.0,
            y + 12,
            event.dur
        );
    }
    text + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Event> {
        let json = r#"{"traceEvents": [
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "host"}},
            {"ph": "X", "cat": "init", "name": "mount", "ts": 150.0, "dur": 50.0, "args": {"line": 7, "detail": "a<b", "origin": "/mounts/0"}},
            {"ph": "X", "cat": "host", "name": "clone", "ts": 100.0, "dur": 40.5, "args": {"line": 3, "detail": "", "origin": "(lifecycle)"}}]}"#;
        serde_json::from_str::<File>(json).unwrap().stretches()
    }

    #[test]
    fn the_slowest_line_is_the_first_of_the_table() {
        assert_eq!(
            table(&events()),
            "   AT (us)  TOOK (us)  WHO   LINE  WHAT\n\
             \u{20}     50.0       50.0  init     7  mount a<b\n\
             \u{20}      0.0       40.5  host     3  clone\n\
             \u{20}               100.0  all of it\n"
        );
    }

    #[test]
    fn a_picture_has_a_bar_for_each_line_and_no_markup_of_the_container() {
        let picture = svg(&events());
        assert_eq!(picture.matches("<g>").count(), 2);
        assert!(picture.contains("7 mount a&lt;b") && !picture.contains("a<b"), "{picture}");
    }
}
