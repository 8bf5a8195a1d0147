//! The words for a line: what `plimsoll plan` prints, what an error says was attempted.
#![forbid(unsafe_code)]

mod host;
mod init;
mod names;

use super::Plan;
use super::line::{Action, Line};
use std::fmt::{self, Write as _};

/// What is printed of an environment. Its values may be secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvValues {
    /// Names only.
    Hidden,
    /// Names and values.
    Shown,
}

impl Line {
    /// What: `bind-mount`.
    pub fn step(&self) -> &'static str {
        self.parts(None, EnvValues::Hidden).0
    }

    /// With what: `/srv/data on /data ro`. Of an environment only the names, as it may hold secrets.
    pub fn detail(&self) -> String {
        self.parts(None, EnvValues::Hidden).1
    }

    /// `init bind-mount /srv/data on /data`
    #[cfg(test)]
    pub fn brief(&self, slot: Option<usize>) -> String {
        let (step, detail) = self.parts(slot, EnvValues::Hidden);
        format!("{} {step} {detail}", self.actor()).trim_end().to_owned()
    }

    fn parts(&self, slot: Option<usize>, env: EnvValues) -> (&'static str, String) {
        let (name, mut detail) = match &self.action {
            Action::Host(step) => host::host_words(step),
            Action::Init(step) => init::init_words(step, env),
        };
        if let Some(slot) = slot {
            let _ = write!(detail, "{}→ fd:{slot}", if detail.is_empty() { "" } else { " " });
        }
        (name, visible(&detail))
    }
}

impl Plan {
    /// For people: number, actor, step, details, and on the right the origin. Not stable.
    pub fn to_text(&self, env: EnvValues) -> String {
        let words: Vec<_> = self.with_slots().map(|(line, slot)| (line, line.parts(slot, env))).collect();
        let steps = words.iter().map(|(_, (step, _))| step.len()).max().unwrap_or(0);
        // One long line (an argument list, say) must not push every origin off the screen.
        let details = words.iter().map(|(_, (_, detail))| detail.chars().count()).filter(|width| *width <= 72).max();
        let details = details.unwrap_or(0);
        let mut text = String::new();
        for (number, (line, (step, detail))) in words.iter().enumerate() {
            let (actor, origin) = (line.actor(), visible(line.origin()));
            let _ = writeln!(text, "{number:3}  {actor}  {step:steps$}  {detail:details$}  {origin}");
        }
        text
    }

    /// For programs: an array of objects with `line`, `actor`, `step`, `detail` and `origin`.
    pub fn to_json(&self, env: EnvValues) -> serde_json::Value {
        let object = |(number, (line, slot)): (usize, (&Line, Option<usize>))| {
            let (step, detail) = line.parts(slot, env);
            let origin = line.origin();
            serde_json::json!({"line": number, "actor": line.actor(), "step": step, "detail": detail, "origin": origin})
        };
        self.with_slots().enumerate().map(object).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(EnvValues::Hidden))
    }
}

/// `set-rlimit RLIMIT_CPU 1:2`: what was attempted, for an error.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, detail) = self.parts(None, EnvValues::Hidden);
        f.write_str(step)?;
        // A page of options must not hide what comes after it.
        const LONG: usize = 300;
        let short: String = detail.chars().take(LONG).collect();
        let rest = if short.len() < detail.len() { "…" } else { "" };
        if detail.is_empty() { Ok(()) } else { write!(f, " {short}{rest}") }
    }
}

/// What config.json says can neither forge a line nor command a terminal.
fn visible(text: &str) -> String {
    let is_unseen = |letter: char| letter.is_control() || ('\u{2028}'..='\u{202e}').contains(&letter);
    let mut visible = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if is_unseen(letter) => visible.extend(letter.escape_default()),
            _ => visible.push(letter),
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use crate::plan::EnvValues;
    use crate::plan::tests::{plan_of, spec_of, text_of};

    #[test]
    fn a_configuration_can_neither_forge_a_line_nor_command_a_terminal() {
        let config = r#"{"mounts": [{"destination": "/a\n  9  init  exec", "type": "tmpfs", "options": ["x=\u001b[2J"]}],
            "linux": {"sysctl": {"net.a\nb": "1"}, "namespaces": [{"type": "mount"}, {"type": "network"}]}}"#;
        let plan = plan_of(&spec_of(config));
        assert_eq!(text_of(&plan, "/mounts"), r"init mount tmpfs on /a\n  9  init  exec x=\u{1b}[2J");
        let text = plan.to_text(EnvValues::Shown);
        assert_eq!(text.lines().count(), plan.lines.len(), "{text}");
        assert!(text.contains(r"/linux/sysctl/net.a\nb"), "{text}");
    }
}
