//! `update`: other limits for a container.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use libcontainer::oci_spec::runtime::LinuxResources;
use libcontainer::{Bundle, Update};
use serde_json::{Map, Value};

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let resources = match invocation.path("resources") {
        Some(path) => {
            let json = match path.as_os_str() == "-" {
                true => libcontainer::read_limited(std::io::stdin().lock()),
                false => libcontainer::read_file(&path),
            };
            let json = json.map_err(|error| Failure::io(&format!("open {}", path.display()), &error))?;
            Bundle::resources_from_slice(&json)?
        }
        None => resources(invocation)?,
    };
    if invocation.value("kernel-memory").or(invocation.value("kernel-memory-tcp")).is_some() {
        log::warn!("Kernel memory settings are ignored and will be removed");
    }
    let schema = |flag| Ok::<_, Failure>(invocation.text(flag)?.filter(|schema| !schema.is_empty()).map(str::to_owned));
    let mut change = Update::new(resources);
    change.l3_cache_schema = schema("l3-cache-schema")?;
    change.mem_bw_schema = schema("mem-bw-schema")?;
    container.update(change)?;
    Ok(0)
}

/// How a flag is read.
enum As {
    Text,
    Number,
    /// With a suffix; -1 is no limit.
    Bytes,
}

/// Flag, section and key of the resources object.
const FLAGS: &[(&str, &str, &str, As)] = &[
    ("blkio-weight", "blockIO", "weight", As::Number),
    ("cpu-burst", "cpu", "burst", As::Number),
    ("cpu-idle", "cpu", "idle", As::Number),
    ("cpu-period", "cpu", "period", As::Number),
    ("cpu-quota", "cpu", "quota", As::Number),
    ("cpu-rt-period", "cpu", "realtimePeriod", As::Number),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", As::Number),
    ("cpu-share", "cpu", "shares", As::Number),
    ("cpuset-cpus", "cpu", "cpus", As::Text),
    ("cpuset-mems", "cpu", "mems", As::Text),
    ("memory", "memory", "limit", As::Bytes),
    ("memory-reservation", "memory", "reservation", As::Bytes),
    ("memory-swap", "memory", "swap", As::Bytes),
    ("pids-limit", "pids", "limit", As::Number),
];

/// The resources object that the flags stand for: only what was given is in it.
fn resources(invocation: &Invocation) -> Result<LinuxResources, Failure> {
    let mut object = Map::new();
    for (flag, section, key, read) in FLAGS {
        let Some(text) = invocation.text(flag)? else {
            continue;
        };
        let value = match read {
            As::Text => Some(Value::from(text)),
            As::Number => text.parse::<i64>().ok().map(Value::from),
            As::Bytes => bytes(text).map(Value::from),
        };
        let value = value.ok_or_else(|| Failure::new(format!("invalid value for {flag}: {text:?}")))?;
        let section = object.entry(*section).or_insert_with(|| Value::Object(Map::new()));
        section[*key] = value;
    }
    serde_json::from_value(Value::Object(object)).map_err(|error| Failure::new(format!("invalid value: {error}")))
}

/// `512m`, `1.5GiB`, `1000`, as Docker reads them: powers of 1024.
fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix('b').unwrap_or(&lower);
    let number = number.strip_suffix('i').unwrap_or(number);
    let unit = number.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(number.len());
    let (number, unit) = number.split_at(unit);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(1 << shift),
        #[allow(clippy::cast_possible_truncation, reason = "bytes are whole, and `as` stops at the largest i64")]
        Err(_) => number.parse::<f64>().ok().map(|number| (number * f64::from(2_u32).powi(shift)) as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Request, parse};

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, number) in [
            ("1000", 1000),
            ("-1", -1),
            ("0", 0),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("1.5g", 3 << 29),
            ("2 GiB", 2 << 30),
            ("10kb", 10 << 10),
            ("1b", 1),
        ] {
            assert_eq!(bytes(text), Some(number), "{text}");
        }
        for text in ["", "k", "-2", "1e3", "1x", "1kk", "nan", "inf", "99999999999999999999p", "9223372036854775807k"] {
            assert!(bytes(text).is_none_or(|number| number == i64::MAX), "{text}: {:?}", bytes(text));
        }
    }

    #[test]
    fn flags_become_the_resources_object_and_nothing_else() {
        let words = ["update", "--memory", "1g", "--memory-swap=-1", "web", "--cpu-quota", "5000", "--cpuset-cpus=0,2"];
        let Ok(Request::Run(invocation)) = parse(&crate::commands::INTERFACE, &words.map(Into::into)) else { panic!() };
        let json = serde_json::to_value(resources(&invocation).unwrap()).unwrap();
        assert_eq!(json["memory"]["limit"], 1 << 30);
        assert_eq!(json["memory"]["swap"], -1);
        assert_eq!(json["cpu"]["quota"], 5000);
        assert_eq!(json["cpu"]["cpus"], "0,2");
        assert!(json.get("pids").is_none_or(Value::is_null), "{json}");
        assert!(json["cpu"].get("shares").is_none_or(Value::is_null), "{json}");
    }
}
