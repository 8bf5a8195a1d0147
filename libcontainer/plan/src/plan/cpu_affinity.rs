//! [execCPUAffinity](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process), of `exec` only.
#![forbid(unsafe_code)]

use super::line::{InitStep, Line, Origin};
use super::{given, init};
use crate::{Error, Result};
use oci_spec::runtime::Process;

/// More than any kernel is built for (`CONFIG_NR_CPUS` is at most 8192).
const MOST: usize = 1 << 16;

/// All processors: since Linux 6.2 an inherited affinity outlives the move to another cpuset.
pub(super) fn all() -> Line {
    init(InitStep::SetCpuAffinity { mask: Vec::new() }, Origin::DEFAULT)
}

/// Whether it holds something before the process is in the container's cgroup.
pub(super) fn has_initial(process: &Process) -> bool {
    let affinity = process.exec_cpu_affinity().as_ref();
    affinity.is_some_and(|affinity| given(affinity.initial()).is_some())
}

pub(super) fn initial(process: &Process) -> Result<Line> {
    let affinity = process.exec_cpu_affinity().as_ref();
    let line = line(affinity.and_then(|affinity| affinity.initial().as_deref()), "/process/execCPUAffinity/initial")?;
    Ok(line.unwrap_or_else(all))
}

pub(super) fn r#final(process: &Process) -> Result<Option<Line>> {
    let Some(affinity) = process.exec_cpu_affinity() else { return Ok(None) };
    // Without it, "runtime SHOULD NOT change process' CPU affinity".
    line(affinity.cpu_affinity_final().as_deref(), "/process/execCPUAffinity/final")
}

fn line(list: Option<&str>, origin: &str) -> Result<Option<Line>> {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(None) };
    let mask = mask(list, MOST).map_err(|message| Error::config(origin, message))?;
    Ok(Some(init(InitStep::SetCpuAffinity { mask }, origin)))
}

/// `0-3,7` as a bit mask of native words.
pub(super) fn mask(list: &str, most: usize) -> std::result::Result<Vec<u8>, String> {
    let mut words: Vec<usize> = Vec::new();
    for range in list.split(',').map(str::trim) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < most);
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(format!("\"{range}\" is neither a number nor a range of numbers"));
        };
        if first > last {
            return Err(format!("\"{range}\" ends before it begins"));
        }
        let bits = usize::BITS as usize;
        words.resize(words.len().max(last / bits + 1), 0);
        for number in first..=last {
            words[number / bits] |= 1 << (number % bits);
        }
    }
    Ok(words.into_iter().flat_map(usize::to_ne_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{exec_of, text_of};

    #[test]
    fn a_list_becomes_a_mask() {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&0b1000_1101_u64.to_ne_bytes());
        bytes[8..].copy_from_slice(&1_u64.to_ne_bytes());
        assert_eq!(mask("0,2-3,7, 64", MOST).unwrap(), bytes);
        assert!(mask("3-1", MOST).is_err() && mask("", MOST).is_err() && mask("0-99999999999", MOST).is_err());
    }

    #[test]
    fn initial_is_set_before_a_group_of_cgroup_v2_is_joined_and_final_after_that() {
        let lines = |affinity: &str| {
            let spec = crate::plan::tests::spec_of(&format!(
                r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{}}, "execCPUAffinity": {affinity}}}}}"#
            ));
            let into_cgroup = Some("/sys/fs/cgroup/web".into());
            let options = crate::plan::ExecPlanOptions { into_cgroup, ..Default::default() };
            let process = spec.process().clone().unwrap();
            let plan = crate::plan::exec(&spec, &process, &crate::plan::tests::facts(), &options).unwrap();
            let lines = plan.lines.iter().map(|line| line.brief(None));
            lines.take_while(|line| !line.contains("undumpable")).collect::<Vec<_>>()
        };
        let initial = [
            "host clone",
            "host open-process",
            "init set-cpu-affinity 0",
            "host join-cgroup /sys/fs/cgroup/web",
            "init set-cpu-affinity 1",
        ];
        assert_eq!(lines(r#"{"initial": "0", "final": "1"}"#), initial);
        // Born there: moving would take a wait.
        let born = [
            "host clone into /sys/fs/cgroup/web",
            "host open-process",
            "init set-cpu-affinity all",
            "init set-cpu-affinity 1",
        ];
        assert_eq!(lines(r#"{"final": "1"}"#), born);
    }

    #[test]
    fn exec_is_pinned_before_and_after_it_joins_the_cgroup() {
        let plan = exec_of(r#""execCPUAffinity": {"initial": "0-1", "final": "1"}"#);
        assert_eq!(
            text_of(&plan, "/process/execCPUAffinity"),
            "init set-cpu-affinity 0-1
init set-cpu-affinity 1"
        );
    }
}
