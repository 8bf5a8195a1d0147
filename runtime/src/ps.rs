//! `ps`: the container's processes, as ids or as the rows of ps(1) that are theirs.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::print;
use std::ffi::OsString;
use std::process::Command;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let processes = invocation.store()?.load(invocation.id()?)?.processes()?;
    if invocation.choice("format")? == "json" {
        // `null` for none, as with `list`: what runc prints.
        let processes = Some(processes).filter(|processes| !processes.is_empty());
        let json = serde_json::to_string(&processes).map_err(|error| Failure::new(error.to_string()))?;
        print(format!("{json}\n").as_bytes())?;
        return Ok(0);
    }
    let mut arguments = invocation.positionals[1..].to_vec();
    if arguments.is_empty() {
        arguments.push(OsString::from("-ef"));
    }
    let ps = Command::new("ps").args(&arguments).output().map_err(|error| Failure::io("ps", &error))?;
    let text = String::from_utf8_lossy(&ps.stdout);
    if !ps.status.success() {
        let complaint = String::from_utf8_lossy(&ps.stderr);
        return Err(Failure::new(format!("ps: {}: {}{}", ps.status, text.trim(), complaint.trim())));
    }
    print(rows(&text, &processes)?.as_bytes())?;
    Ok(0)
}

/// The heading and the rows with one of these process ids.
fn rows(table: &str, processes: &[i32]) -> Result<String, Failure> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Failure::new("couldn't find PID field in ps output"))?;
    let mut rows = format!("{heading}\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse::<i32>().ok());
        let pid = pid.ok_or_else(|| Failure::new(format!("unable to parse pid: {line:?}")))?;
        if processes.contains(&pid) {
            rows.push_str(line);
            rows.push('\n');
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_the_container_are_kept_wherever_ps_puts_the_pid() {
        let table = "UID        PID CMD\nroot         1 init\nroot        42 sh -c 7\nroot         7 sleep\n";
        assert_eq!(
            rows(table, &[42, 7]).unwrap(),
            "UID        PID CMD\nroot        42 sh -c 7\nroot         7 sleep\n"
        );
        assert_eq!(rows("  PID\n   42\n", &[7]).unwrap(), "  PID\n");
    }

    #[test]
    fn a_table_without_process_ids_is_refused() {
        assert!(format!("{:?}", rows("COMMAND\nsh\n", &[1])).contains("couldn't find PID field in ps output"));
    }
}
