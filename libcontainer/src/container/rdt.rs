//! Figures of Intel RDT: what the host has, what the container's class may use of it, what is used.
use crate::stats::{CmtStats, IntelRdt, L3CacheInfo, MbmStats, MemBwInfo};
use crate::{Error, Result, file, plan};
use oci_spec::runtime::LinuxIntelRdt;
use rustix::io::Errno;
use std::path::Path;

/// The figures of a container with this `linux.intelRdt`; resctrl is mounted at `mount`.
pub(super) fn figures(rdt: &LinuxIntelRdt, mount: &Path, id: &str) -> Result<IntelRdt> {
    let class = plan::rdt_class(rdt, mount, id);
    let (of_all, of_class) = (read(&mount.join("schemata"))?, read(&class.join("schemata"))?);
    let mut figures = IntelRdt::default();
    let info = |name: &str, file: &str| read(&mount.join("info").join(name).join(file));
    let number = |name: &str, file: &str| Ok::<_, Error>(info(name, file)?.parse().unwrap_or(0));
    if let Some(root) = line(&of_all, "L3") {
        // With code and data apart (`cdp`) each has a directory.
        let name = if root.starts_with("L3:") { "L3" } else { "L3CODE" };
        figures.l3_cache_info = Some(L3CacheInfo {
            cbm_mask: info(name, "cbm_mask")?,
            min_cbm_bits: number(name, "min_cbm_bits")?,
            num_closids: number(name, "num_closids")?,
        });
        figures.l3_cache_schema_root = root;
        figures.l3_cache_schema = line(&of_class, "L3").unwrap_or_default();
    }
    if let Some(root) = line(&of_all, "MB") {
        figures.mem_bw_info = Some(MemBwInfo {
            bandwidth_gran: number("MB", "bandwidth_gran")?,
            delay_linear: number("MB", "delay_linear")?,
            min_bandwidth: number("MB", "min_bandwidth")?,
            num_closids: number("MB", "num_closids")?,
        });
        figures.mem_bw_schema_root = root;
        figures.mem_bw_schema = line(&of_class, "MB").unwrap_or_default();
    }
    // In a class that others share too, only a group of its own tells what is the container's.
    let monitored = rdt.enable_monitoring().unwrap_or(false);
    let group = if monitored { Some(class.join("mon_groups").join(id)) } else { None };
    let own = rdt.clos_id().as_deref().is_none_or(str::is_empty);
    if let Some(group) = group.or_else(|| own.then_some(class)) {
        monitor(&group.join("mon_data"), &mut figures)?;
    }
    Ok(figures)
}

/// A directory for each L3 cache.
fn monitor(data: &Path, figures: &mut IntelRdt) -> Result<()> {
    let failed = |error: &std::io::Error| Error::io("count the use of the cache", list(data), error);
    let mut domains = match file::names(data) {
        // Without monitors in the processor there are none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        domains => domains.map_err(|error| failed(&error))?,
    };
    domains.sort();
    for domain in domains {
        let domain = data.join(domain);
        // `Unavailable`, until the processor has counted.
        let number = |file: &str| Ok::<_, Error>(read(&domain.join(file))?.parse().unwrap_or(0));
        let (total, local) = (number("mbm_total_bytes")?, number("mbm_local_bytes")?);
        figures.mbm_stats.push(MbmStats { mbm_total_bytes: total, mbm_local_bytes: local });
        figures.cmt_stats.push(CmtStats { llc_occupancy: number("llc_occupancy")? });
    }
    Ok(())
}

fn list(directory: &Path) -> String {
    format!("open({})", directory.display())
}

/// The line of a resource whose name begins so.
fn line(schemata: &str, resource: &str) -> Option<String> {
    schemata.lines().map(str::trim).find(|line| line.starts_with(resource)).map(str::to_owned)
}

/// Without the line's end; nothing if there is no such file: not every processor has everything.
fn read(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(String::new()),
        read => read
            .map(|text| text.trim_end().to_owned())
            .map_err(|error| Error::io("look at resctrl", format!("read({})", path.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn figures_are_those_of_the_class_and_of_the_container_s_own_group() {
        let root = std::env::temp_dir().join(format!("plimsoll-rdt-{}", std::process::id()));
        write(
            &root,
            &[
                ("schemata", "    L3:0=7ff;1=7ff\n    MB:0=100;1=100"),
                ("info/L3/cbm_mask", "7ff"),
                ("info/L3/min_cbm_bits", "1"),
                ("info/L3/num_closids", "16"),
                ("info/MB/bandwidth_gran", "10"),
                ("info/MB/delay_linear", "1"),
                ("info/MB/min_bandwidth", "10"),
                ("info/MB/num_closids", "8"),
                ("gold/schemata", "    L3:0=f;1=f\n    MB:0=20;1=100"),
                ("gold/mon_groups/web/mon_data/mon_L3_00/llc_occupancy", "4096"),
                ("gold/mon_groups/web/mon_data/mon_L3_00/mbm_total_bytes", "30"),
                ("gold/mon_groups/web/mon_data/mon_L3_00/mbm_local_bytes", "20"),
                ("gold/mon_groups/web/mon_data/mon_L3_01/llc_occupancy", "Unavailable"),
            ],
        );
        let rdt = |text: &str| serde_json::from_str::<LinuxIntelRdt>(text).unwrap();
        let shared = figures(&rdt(r#"{"closID": "gold"}"#), &root, "web").unwrap();
        let counted = figures(&rdt(r#"{"closID": "gold", "enableMonitoring": true}"#), &root, "web").unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert!(shared.cmt_stats.is_empty() && shared.mbm_stats.is_empty());
        let json = serde_json::to_value(&counted).unwrap();
        let expected = serde_json::json!({
            "l3_cache_info": {"cbm_mask": "7ff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=7ff;1=7ff",
            "l3_cache_schema": "L3:0=f;1=f",
            "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
            "mem_bw_schema_root": "MB:0=100;1=100",
            "mem_bw_schema": "MB:0=20;1=100",
            "mbm_stats": [{"mbm_total_bytes": 30, "mbm_local_bytes": 20}, {}],
            "cmt_stats": [{"llc_occupancy": 4096}, {}],
        });
        assert_eq!(json, expected);
    }
}
