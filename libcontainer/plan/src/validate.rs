//! What is wrong with a configuration, whatever the host. Every error names the entry.
#![forbid(unsafe_code)]

mod scheduler;

use crate::error::escape_key;
use crate::plan::line::HookKind;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxIntelRdt, LinuxNamespaceType, Mount, Process, Spec};
use std::collections::BTreeMap;
use std::path::Path;

/// (uid_t) -1, which the kernel takes for "leave it".
const NOBODY: u32 = u32::MAX;

/// A whole config.json. An absent `process` is no mistake before `start`.
pub fn spec(spec: &Spec) -> Result<()> {
    version(spec)?;
    match spec.root() {
        None => return Err(Error::config("/root", "root is missing")),
        Some(root) if root.path().as_os_str().is_empty() => {
            return Err(Error::config("/root/path", "root.path must not be empty"));
        }
        Some(_) => {}
    }
    if let Some(own) = spec.process() {
        process(own)?;
    }
    let namespaces = Namespaces::of(spec)?;
    let name = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    if name(spec.hostname()) && !namespaces.has(LinuxNamespaceType::Uts) {
        return Err(Error::config("/hostname", "unable to set hostname without a private UTS namespace"));
    }
    if name(spec.domainname()) && !namespaces.has(LinuxNamespaceType::Uts) {
        return Err(Error::config("/domainname", "unable to set domainname without a private UTS namespace"));
    }
    for (key, name) in [("/hostname", spec.hostname()), ("/domainname", spec.domainname())] {
        // __NEW_UTS_LEN
        if let Some(length) = name.as_ref().map(String::len).filter(|length| *length > 64) {
            return Err(Error::config(key, format!("invalid argument: {length} bytes, and the kernel takes 64")));
        }
    }
    mounts(spec.mounts().as_deref().unwrap_or_default(), "/mounts")?;
    hooks(spec)?;
    if spec.annotations().as_ref().is_some_and(|annotations| annotations.contains_key("")) {
        return Err(Error::config("/annotations/", "the key of an annotation must not be empty"));
    }
    if let Some(linux) = spec.linux() {
        self::linux(spec, linux, &namespaces)?;
    }
    Ok(())
}

/// The mounts of an array at the JSON pointer `origin`.
pub fn mounts(mounts: &[Mount], origin: &str) -> Result<()> {
    for (index, mount) in mounts.iter().enumerate() {
        if mount.destination().as_os_str().is_empty() {
            return Err(Error::config(format!("{origin}/{index}/destination"), "a mount needs a destination"));
        }
        mappings(mount.uid_mappings().as_deref(), &format!("{origin}/{index}/uidMappings"))?;
        mappings(mount.gid_mappings().as_deref(), &format!("{origin}/{index}/gidMappings"))?;
    }
    Ok(())
}

fn version(spec: &Spec) -> Result<()> {
    let version = spec.version();
    let wrong = |message: String| Err(Error::config("/ociVersion", message));
    // semver.org: MAJOR.MINOR.PATCH, then perhaps -pre-release and +build.
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    let parts: Vec<_> = core.split('.').collect();
    if parts.len() != 3 || !parts.iter().all(|part| number(part)) {
        return wrong(format!("\"{version}\" is no version (semver.org)"));
    }
    if parts[0] != "1" {
        return wrong(format!("version {version} is not supported, 1.x is"));
    }
    Ok(())
}

/// A process, of config.json or given to `exec`. runc's words.
pub fn process(process: &Process) -> Result<()> {
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        return Err(Error::config("/process/cwd", "Cwd property must not be empty"));
    }
    if !cwd.is_absolute() {
        return Err(Error::config("/process/cwd", "Cwd must be an absolute path"));
    }
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::config("/process/args", "args must not be empty"));
    }
    environment(process.env().as_deref(), "/process")?;
    let user = process.user();
    let gids = user.additional_gids().iter().flatten().enumerate();
    let gids = gids.map(|(index, gid)| (format!("additionalGids/{index}"), *gid));
    for (key, id) in [("uid".to_owned(), user.uid()), ("gid".to_owned(), user.gid())].into_iter().chain(gids) {
        if id == NOBODY {
            return Err(Error::config(format!("/process/user/{key}"), format!("{id} is no id")));
        }
    }
    // NGROUPS_MAX
    if let Some(number) = user.additional_gids().as_ref().map(Vec::len).filter(|number| *number > 65_536) {
        let message = format!("{number} groups, and the kernel takes 65536");
        return Err(Error::config("/process/user/additionalGids", message));
    }
    if let Some(mask) = user.umask().filter(|mask| *mask > 0o777) {
        return Err(Error::config("/process/user/umask", format!("{mask} (0{mask:o}) is no umask")));
    }
    let mut seen = Vec::new();
    for (index, limit) in process.rlimits().iter().flatten().enumerate() {
        let origin = format!("/process/rlimits/{index}");
        if seen.contains(&limit.typ()) {
            return Err(Error::config(origin, format!("duplicate rlimit {}", limit.typ())));
        }
        if limit.soft() > limit.hard() {
            return Err(Error::config(origin, format!("{}: soft is more than hard", limit.typ())));
        }
        seen.push(limit.typ());
    }
    if let Some(value) = process.oom_score_adj().filter(|value| !(-1000..=1000).contains(value)) {
        return Err(Error::config("/process/oomScoreAdj", format!("{value} is not between -1000 and 1000")));
    }
    process.scheduler().as_ref().map_or(Ok(()), scheduler::check)
}

fn environment(env: Option<&[String]>, origin: &str) -> Result<()> {
    match env.unwrap_or_default().iter().position(|entry| entry.find('=').is_none_or(|at| at == 0)) {
        // Its value may be a secret; its place is enough.
        Some(index) => {
            Err(Error::config(format!("{origin}/env/{index}"), "invalid environment variable: not NAME=value"))
        }
        None => Ok(()),
    }
}

/// The listed ones: type and whether it is joined by path.
struct Namespaces(Vec<(LinuxNamespaceType, bool)>);

impl Namespaces {
    fn of(spec: &Spec) -> Result<Namespaces> {
        let mut listed: Vec<(LinuxNamespaceType, bool)> = Vec::new();
        let entries = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
        for (index, entry) in entries.unwrap_or_default().iter().enumerate() {
            if listed.iter().any(|(kind, _)| *kind == entry.typ()) {
                let message = format!("malformed spec file: duplicated ns {}", entry.typ());
                return Err(Error::config(format!("/linux/namespaces/{index}"), message));
            }
            let path = entry.path().as_deref().filter(|path| !path.as_os_str().is_empty());
            if path.is_some_and(Path::is_relative) {
                let message = "the path of a namespace must be absolute";
                return Err(Error::config(format!("/linux/namespaces/{index}/path"), message));
            }
            listed.push((entry.typ(), path.is_some()));
        }
        Ok(Namespaces(listed))
    }

    fn has(&self, kind: LinuxNamespaceType) -> bool {
        self.0.iter().any(|(listed, _)| *listed == kind)
    }

    fn is_new(&self, kind: LinuxNamespaceType) -> bool {
        self.0.contains(&(kind, false))
    }
}

fn linux(spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    user_namespace(linux, namespaces)?;
    time_offsets(linux, namespaces)?;
    for (key, paths) in [("maskedPaths", linux.masked_paths()), ("readonlyPaths", linux.readonly_paths())] {
        let paths = paths.as_deref().unwrap_or_default();
        if !paths.is_empty() && !namespaces.has(LinuxNamespaceType::Mount) {
            let message = "unable to restrict sys entries without a private MNT namespace";
            return Err(Error::config(format!("/linux/{key}"), message));
        }
    }
    for (index, device) in linux.devices().iter().flatten().enumerate() {
        if !device.path().is_absolute() {
            return Err(Error::config(format!("/linux/devices/{index}/path"), "the path must be absolute"));
        }
    }
    net_devices(linux, namespaces)?;
    for (key, value) in linux.sysctl().iter().flatten() {
        sysctl(key, value, spec, namespaces).map_err(|error| error.at(format!("/linux/sysctl/{}", escape_key(key))))?;
    }
    linux.intel_rdt().as_ref().map_or(Ok(()), intel_rdt)?;
    if let Some(profile) = linux.seccomp() {
        let wrong = |problem: crate::seccomp::Problem| {
            Error::config(format!("/linux/seccomp{}", problem.pointer), problem.message)
        };
        crate::seccomp::check_listener(profile).map_err(wrong)?;
    }
    Ok(())
}

fn time_offsets(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|offsets| !offsets.is_empty()) else { return Ok(()) };
    let wrong = |message: &str| Err(Error::config("/linux/timeOffsets", message));
    if !namespaces.has(LinuxNamespaceType::Time) {
        return wrong("time namespace offsets specified, but time namespace isn't enabled in the config");
    }
    if !namespaces.is_new(LinuxNamespaceType::Time) {
        return wrong(
            "time namespace enabled, but both namespace path and time offsets specified - you may only provide one",
        );
    }
    for (clock, offset) in offsets {
        let origin = format!("/linux/timeOffsets/{}", escape_key(clock));
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::config(origin, "the clocks of a time namespace are monotonic and boottime"));
        }
        if offset.nanosecs().is_some_and(|nanoseconds| nanoseconds > 999_999_999) {
            return Err(Error::config(origin + "/nanosecs", "a second has 1000000000 nanoseconds"));
        }
    }
    Ok(())
}

fn net_devices(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let devices: BTreeMap<_, _> = linux.net_devices().iter().flatten().collect();
    if !devices.is_empty() && !namespaces.has(LinuxNamespaceType::Network) {
        let message = "unable to move network devices without a private NET namespace";
        return Err(Error::config("/linux/netDevices", message));
    }
    // dev_valid_name() of the kernel.
    let odd = |letter: char| matches!(letter, '/' | ':') || letter.is_whitespace();
    let valid = |name: &str| !matches!(name, "" | "." | "..") && name.len() < 16 && !name.contains(odd);
    let mut taken = Vec::new();
    for (name, device) in devices {
        let origin = format!("/linux/netDevices/{}", escape_key(name));
        let new_name = device.name().as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        if !valid(name) || !valid(new_name) {
            let wrong = if valid(name) { new_name } else { name };
            return Err(Error::config(origin, format!("invalid network device name \"{wrong}\"")));
        }
        if taken.contains(&new_name) && !new_name.contains("%d") {
            return Err(Error::config(origin, format!("another device is already called \"{new_name}\"")));
        }
        taken.push(new_name);
    }
    Ok(())
}

fn intel_rdt(rdt: &LinuxIntelRdt) -> Result<()> {
    let wrong = |key: &str, message: String| Err(Error::config(format!("/linux/intelRdt/{key}"), message));
    // It becomes the name of a directory; `/` stands for the root class.
    if let Some(id) =
        rdt.clos_id().as_deref().filter(|id| *id != "/" && (matches!(*id, "." | "..") || id.contains('/')))
    {
        return wrong("closID", format!("invalid intelRdt.ClosID \"{id}\""));
    }
    let bandwidth = rdt.mem_bw_schema().as_deref().unwrap_or_default();
    if !bandwidth.is_empty() && !bandwidth.starts_with("MB:") {
        return wrong("memBwSchema", "it has to begin with MB:".to_owned());
    }
    let named = [("l3CacheSchema", rdt.l3_cache_schema()), ("memBwSchema", rdt.mem_bw_schema())];
    let named = named.into_iter().filter_map(|(key, schema)| Some((key.to_owned(), schema.as_deref()?)));
    let listed = rdt.schemata().iter().flatten().enumerate();
    let listed = listed.map(|(index, schema)| (format!("schemata/{index}"), schema.as_str()));
    match named.chain(listed).find(|(_, schema)| schema.contains('\n')) {
        Some((key, _)) => wrong(&key, "it must not contain a newline".to_owned()),
        None => Ok(()),
    }
}

fn user_namespace(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let given = |maps: &Option<Vec<_>>| maps.as_ref().is_some_and(|maps| !maps.is_empty());
    let pairs = [("/linux/uidMappings", linux.uid_mappings()), ("/linux/gidMappings", linux.gid_mappings())];
    for (origin, maps) in pairs {
        mappings(maps.as_deref(), origin)?;
        match (given(maps), namespaces.has(LinuxNamespaceType::User), namespaces.is_new(LinuxNamespaceType::User)) {
            // Nobody is mapped: ids are the host's, as they would be without.
            (true, false, _) => log::warn!("{origin}: there is no user namespace to map ids in: ignored"),
            (false, _, true) => {
                let message = "user namespaces enabled, but no namespace path nor user mappings specified";
                return Err(Error::config(origin, message));
            }
            _ => {}
        }
    }
    Ok(())
}

fn mappings(maps: Option<&[LinuxIdMapping]>, origin: &str) -> Result<()> {
    for (index, map) in maps.unwrap_or_default().iter().enumerate() {
        // user_namespaces(7): ranges are not empty and end before (uid_t) -1.
        let fits = |first: u32| first.checked_add(map.size()).is_some();
        if map.size() == 0 || !fits(map.container_id()) || !fits(map.host_id()) {
            return Err(Error::config(format!("{origin}/{index}"), "the range is empty or too large"));
        }
    }
    Ok(())
}

/// Only what belongs to a namespace of the container: everything else is the host's.
fn sysctl(key: &str, value: &str, spec: &Spec, namespaces: &Namespaces) -> Result<()> {
    use LinuxNamespaceType::*;
    let error = |message: String| Err(Error::new(ErrorKind::InvalidConfig, message));
    let path = crate::plan::sysctl_path(key);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return error(format!("\"{key}\" is no sysctl"));
    }
    let elsewhere = || error(format!("sysctl \"{key}\" is not in a separate kernel namespace"));
    const IPC: &[&str] = &[
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    if IPC.contains(&&*path) || path.starts_with("fs/mqueue/") {
        return if namespaces.has(Ipc) { Ok(()) } else { elsewhere() };
    }
    if path.starts_with("net/") {
        return if namespaces.has(Network) {
            Ok(())
        } else {
            error(format!("sysctl \"{key}\" not allowed in host network namespace"))
        };
    }
    if path.starts_with("user/") {
        return if namespaces.has(User) { Ok(()) } else { elsewhere() };
    }
    let field = match &*path {
        "kernel/hostname" => ("hostname", spec.hostname()),
        "kernel/domainname" => ("domainname", spec.domainname()),
        _ => return elsewhere(),
    };
    if !namespaces.has(Uts) {
        return elsewhere();
    }
    // The field is the way to set it; the domain name's came later, so that engines write both.
    let other = field.1.as_deref().is_some_and(|name| !name.is_empty() && name != value);
    if field.0 == "hostname" || other {
        return error(format!("sysctl \"{key}\" is not allowed as it conflicts with the OCI \"{}\" field", field.0));
    }
    Ok(())
}

fn hooks(spec: &Spec) -> Result<()> {
    use HookKind::*;
    for kind in [Prestart, CreateRuntime, CreateContainer, StartContainer, Poststart, Poststop] {
        for (index, hook) in crate::plan::hooks_of(spec, kind).iter().enumerate() {
            let origin = |key: &str| format!("/hooks/{}/{index}/{key}", kind.key());
            if !hook.path().is_absolute() {
                return Err(Error::config(origin("path"), "the path of a hook must be absolute"));
            }
            if let Some(timeout) = hook.timeout().filter(|timeout| *timeout <= 0) {
                return Err(Error::config(origin("timeout"), format!("a timeout must be more than 0, not {timeout}")));
            }
            environment(hook.env().as_deref(), &format!("/hooks/{}/{index}", kind.key()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, refused, refused_process};

    #[test]
    fn the_version_has_to_be_one_that_is_known() {
        for (version, message) in [
            ("", "\"\" is no version (semver.org)"),
            ("1.0", "\"1.0\" is no version (semver.org)"),
            ("2.0.0", "version 2.0.0 is not supported, 1.x is"),
        ] {
            refused(&format!(r#"{{"ociVersion": "{version}"}}"#), &format!("config.json: /ociVersion: {message}"));
        }
        check(r#"{"ociVersion": "1.0.2-dev+build"}"#, "/ociVersion", "");
    }

    #[test]
    fn a_process_needs_a_program_and_a_place() {
        refused_process(r#""args": []"#, "/process/args: args must not be empty");
        refused_process(r#""cwd": """#, "/process/cwd: Cwd property must not be empty");
        refused_process(r#""cwd": "tmp""#, "/process/cwd: Cwd must be an absolute path");
        refused_process(r#""env": ["A=1", "secret"]"#, "/process/env/1: invalid environment variable: not NAME=value");
        refused_process(r#""user": {"uid": 4294967295}"#, "/process/user/uid: 4294967295 is no id");
        refused_process(r#""user": {"umask": 512}"#, "/process/user/umask: 512 (01000) is no umask");
        refused_process(r#""oomScoreAdj": 1001"#, "/process/oomScoreAdj: 1001 is not between -1000 and 1000");
        let groups = format!(r#""user": {{"additionalGids": [{}0]}}"#, "0,".repeat(65_536));
        refused_process(&groups, "/process/user/additionalGids: 65537 groups, and the kernel takes 65536");
        let name = format!(r#"{{"hostname": "{}", "linux": {{"namespaces": [{{"type": "uts"}}]}}}}"#, "h".repeat(65));
        refused(&name, "config.json: /hostname: invalid argument: 65 bytes, and the kernel takes 64");
        refused(r#"{"root": {"path": ""}}"#, "config.json: /root/path: root.path must not be empty");
    }

    #[test]
    fn namespaces_are_listed_once_and_by_absolute_paths() {
        refused(
            r#"{"linux": {"namespaces": [{"type": "pid"}, {"type": "uts"}, {"type": "pid"}]}}"#,
            "config.json: /linux/namespaces/2: malformed spec file: duplicated ns pid",
        );
        refused(
            r#"{"linux": {"namespaces": [{"type": "uts", "path": "ns/uts"}]}}"#,
            "config.json: /linux/namespaces/0/path: the path of a namespace must be absolute",
        );
        refused(
            r#"{"linux": {"namespaces": [], "maskedPaths": ["/proc/kcore"]}}"#,
            "config.json: /linux/maskedPaths: unable to restrict sys entries without a private MNT namespace",
        );
    }

    #[test]
    fn a_sysctl_belongs_to_a_namespace_of_the_containers_own() {
        let refused = |namespace: &str, key: &str, message: &str| {
            let config =
                format!(r#"{{"linux": {{"namespaces": [{{"type": "{namespace}"}}], "sysctl": {{"{key}": "1"}}}}}}"#);
            let origin = format!("/linux/sysctl/{}", key.replace('/', "~1"));
            refused(&config, &format!("config.json: {origin}: {message}"));
        };
        refused("mount", "kernel.shmmax", r#"sysctl "kernel.shmmax" is not in a separate kernel namespace"#);
        refused(
            "mount",
            "net.ipv4.ip_forward",
            r#"sysctl "net.ipv4.ip_forward" not allowed in host network namespace"#,
        );
        refused("ipc", "kernel.panic", r#"sysctl "kernel.panic" is not in a separate kernel namespace"#);
        refused("network", "net/../kernel/panic", r#""net/../kernel/panic" is no sysctl"#);
        refused(
            "uts",
            "kernel.hostname",
            r#"sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field"#,
        );
    }

    #[test]
    fn the_domain_name_may_be_said_twice_if_it_is_the_same() {
        let config = |name: &str| {
            format!(
                r#"{{"domainname": "{name}", "linux": {{"namespaces": [{{"type": "uts"}}, {{"type": "mount"}}], "sysctl": {{"kernel.domainname": "sea"}}}}}}"#
            )
        };
        check(&config("sea"), "/linux/sysctl", "init write-sysctl kernel/domainname sea");
        check(&config(""), "/linux/sysctl", "init write-sysctl kernel/domainname sea");
        refused(
            &config("lake"),
            r#"config.json: /linux/sysctl/kernel.domainname: sysctl "kernel.domainname" is not allowed as it conflicts with the OCI "domainname" field"#,
        );
    }

    #[test]
    fn id_maps_have_a_size() {
        refused(
            r#"{"linux": {"namespaces": [{"type": "user"}], "uidMappings": [{"containerID": 0, "hostID": 4294967295, "size": 2}]}}"#,
            "config.json: /linux/uidMappings/0: the range is empty or too large",
        );
    }

    #[test]
    fn hooks_are_absolute_and_may_take_some_time() {
        refused(
            r#"{"hooks": {"poststop": [{"path": "/a"}, {"path": "b"}]}}"#,
            "config.json: /hooks/poststop/1/path: the path of a hook must be absolute",
        );
        refused(
            r#"{"hooks": {"prestart": [{"path": "/a", "timeout": 0}]}}"#,
            "config.json: /hooks/prestart/0/timeout: a timeout must be more than 0, not 0",
        );
    }
}
