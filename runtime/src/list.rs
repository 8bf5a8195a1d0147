//! `list`: the containers under `--root`.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::{log, print};
use libcontainer::State;
use std::fmt::Write;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    if let Some(root) = invocation.root()? {
        // A default root may not exist yet; one that was asked for has to.
        let attempt = || format!("open {}", root.display());
        std::fs::metadata(&root).map_err(|error| Failure::io(&attempt(), &error))?;
    }
    let format = invocation.choice("format")?;
    let mut states = Vec::new();
    let mut status = 0;
    for (id, state) in invocation.store()?.list()? {
        match state {
            Ok(state) => states.push(state),
            // As runc: one that is damaged keeps nobody from seeing the others. But what could not be asked is no answer.
            Err(error) => {
                log::plainly(&format!("load container {id}: {error}"));
                status |= u8::from(error.errno().is_some());
            }
        }
    }
    let text = match (invocation.is_set("quiet"), format) {
        (true, _) => states.iter().map(|state| format!("{}\n", state.id)).collect(),
        (false, "json") => json(&states)?,
        (false, _) => table(&states),
    };
    print(text.as_bytes())?;
    Ok(status)
}

/// A compact array; Go's encoder writes none as `null`, and its callers know.
fn json(states: &[State]) -> Result<String, Failure> {
    if states.is_empty() {
        return Ok("null\n".to_owned());
    }
    let json = serde_json::to_string(states).map_err(|error| Failure::new(error.to_string()))?;
    Ok(json + "\n")
}

fn table(states: &[State]) -> String {
    let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |state: &State| {
        [
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_string(),
            log::visible(&state.bundle.display().to_string()),
            log::visible(&state.created),
            log::visible(&state.owner),
        ]
    };
    columns(&std::iter::once(heading).chain(states.iter().map(row)).collect::<Vec<_>>())
}

/// Go's tabwriter with a width of at least 12 and 3 spaces between columns; the last column is as wide as it is.
fn columns(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        let _ = writeln!(text, "{}", row[5]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_laid_out_as_go_s_tabwriter_does() {
        let row = |cells: [&str; 6]| cells.map(str::to_owned);
        let text = columns(&[
            row(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]),
            row(["web", "42", "running", "/srv/bundles/web", "2026-11-21T09:44:21.5Z", "root"]),
        ]);
        assert_eq!(
            text,
            "ID          PID         STATUS      BUNDLE             CREATED                  OWNER\n\
             web         42          running     /srv/bundles/web   2026-11-21T09:44:21.5Z   root\n"
        );
    }

    #[test]
    fn a_cell_may_be_of_any_length() {
        // A width in a format string is at most 65,535.
        let long = "b".repeat(100_000);
        let cells = ["web", "42", "running", &long, "now", "root"].map(str::to_owned);
        assert_eq!(columns(&[cells]).len(), 12 + 12 + 12 + 100_003 + 12 + 5);
    }

    #[test]
    fn no_containers_are_null_in_json_and_a_heading_in_a_table() {
        assert_eq!(json(&[]).unwrap(), "null\n");
        assert_eq!(table(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }
}
