//! A plan as data: its JSON, for programs that look at it before it is played.
#![forbid(unsafe_code)]

use super::Plan;
use super::line::{Action, Line};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// `{"lines": […]}`, each of them as a [`Line`] with the `slot` that it fills, if it fills one. Unlike the words of
/// [`Plan::to_text`] it holds everything, with the values of environments: secrets, maybe.
impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("Plan", 1)?;
        plan.serialize_field("lines", &self.with_slots().map(Filling).collect::<Vec<_>>())?;
        plan.end()
    }
}

/// `{"actor": "init", "step": {"bind-mount": {…}}, "origin": "/mounts/3"}`; a step without parts is its name.
impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Filling((self, None)).serialize(serializer)
    }
}

/// A line with its slot.
pub(super) struct Filling<'a>(pub(super) (&'a Line, Option<usize>));

impl Serialize for Filling<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (line, slot) = self.0;
        let mut seen = serializer.serialize_struct("Line", if slot.is_some() { 4 } else { 3 })?;
        seen.serialize_field("actor", line.actor())?;
        match &line.action {
            Action::Host(step) => seen.serialize_field("step", step)?,
            Action::Init(step) => seen.serialize_field("step", step)?,
        }
        if let Some(slot) = slot {
            seen.serialize_field("slot", &slot)?;
        }
        seen.serialize_field("origin", line.origin())?;
        seen.end()
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{plan_of, spec_of};
    use serde_json::{Value, json};

    fn lines(fragment: &str, origin: &str) -> Value {
        let plan = serde_json::to_value(plan_of(&spec_of(fragment))).unwrap();
        let lines = plan["lines"].as_array().unwrap();
        lines.iter().filter(|line| line["origin"].as_str().unwrap().starts_with(origin)).cloned().collect()
    }

    #[test]
    fn a_block_of_bytes_is_what_it_means() {
        let process = r#"{"process": {"args": ["sh", "-c", "a b"], "cwd": "/", "user": {"uid": 0, "gid": 0, "additionalGids": [7, 300]}, "env": ["A=secret"]}}"#;
        let exec = json!({"exec": {"program": null, "argv": ["sh", "-c", "a b"], "env": ["A=secret"]}});
        assert_eq!(lines(process, "/process/args").as_array().unwrap().last().unwrap()["step"], exec);
        let groups = json!({"set-groups": {"gids": [7, 300]}});
        assert!(lines(process, "/process/user").as_array().unwrap().iter().any(|line| line["step"] == groups));
        let mount = r#"{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["size=1m", "mode=700"]}]}"#;
        let options = json!({"each": ["size=1m", "mode=700"]});
        assert_eq!(lines(mount, "/mounts/0")[0].pointer("/step/mount/options"), Some(&options));
        let affinity = lines("{}", "(default)");
        assert!(
            affinity.as_array().unwrap().iter().any(|line| line["step"] == json!({"set-cpu-affinity": {"mask": []}}))
        );
    }

    #[test]
    fn a_line_says_which_slot_it_fills() {
        let lifecycle = lines("{}", "(lifecycle)");
        let waits: Vec<_> = lifecycle.as_array().unwrap().iter().filter(|line| line.get("slot").is_some()).collect();
        let start = json!({"actor": "host", "step": "listen-for-start", "slot": 0, "origin": "(lifecycle)"});
        assert_eq!(*waits[0], start);
        let wait = lifecycle.as_array().unwrap().iter().find_map(|line| line["step"].get("await-start"));
        assert_eq!(wait, Some(&json!({"start": 0, "said": 1, "door": null})));
    }
}
