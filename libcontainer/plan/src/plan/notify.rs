//! [sd_notify(3)](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html): the container gets a socket of its
//! own, and whoever starts it passes on that it is ready.
#![forbid(unsafe_code)]
use super::line::{Line, Origin};
use oci_spec::runtime::{MountBuilder, Spec};
use std::path::{Path, PathBuf};

/// Where the container finds the socket, as in runc.
const DIRECTORY: &str = "/run/notify";
pub const SOCKET: &str = "notify.sock";

/// config.json with a mount of the socket's `directory` and a variable that names it.
pub(super) fn with_socket(spec: &Spec, directory: &Path) -> Spec {
    let mut spec = spec.clone();
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
    let mount =
        MountBuilder::default().destination(DIRECTORY).source(directory).typ("bind").options(options).build().ok();
    let mounts = spec.mounts().iter().flatten().cloned().chain(mount).collect();
    spec.set_mounts(Some(mounts));
    if let Some(mut process) = spec.process().clone() {
        let mut env = process.env().clone().unwrap_or_default();
        env.retain(|variable| !variable.starts_with("NOTIFY_SOCKET="));
        env.push(format!("NOTIFY_SOCKET={DIRECTORY}/{SOCKET}"));
        process.set_env(Some(env));
        spec.set_process(Some(process));
    }
    spec
}

/// The mount is ours, not one that config.json asks for.
pub(super) fn disown(lines: &mut [Line], spec: &Spec, notify: &Option<PathBuf>) {
    if notify.is_none() {
        return;
    }
    let ours = format!("/mounts/{}", spec.mounts().as_ref().map_or(0, Vec::len).saturating_sub(1));
    for line in lines.iter_mut().filter(|line| line.origin() == ours) {
        line.origin = Origin(Origin::LIFECYCLE.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use crate::HostFacts;
    use crate::plan::{PlanOptions, create, tests::options};

    #[test]
    fn the_socket_is_mounted_and_named() {
        let json = r#"{"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": {"namespaces": [{"type": "mount"}]},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/", "env": ["NOTIFY_SOCKET=/host"]}}"#;
        let spec = serde_json::from_str(json).unwrap();
        let manager = crate::CgroupManager::Disabled;
        let options = PlanOptions { notify: Some("/run/x/notify".into()), cgroup_manager: manager, ..options() };
        let plan = create("/bundle".as_ref(), &spec, &HostFacts::default(), &options).unwrap();
        let text = plan.to_text(crate::EnvValues::Shown);
        let mount = text.lines().find(|line| line.contains("/run/notify ")).expect("a mount");
        assert!(mount.contains("/run/x/notify") && mount.ends_with("(lifecycle)"), "{mount}");
        assert!(text.contains("NOTIFY_SOCKET=/run/notify/notify.sock") && !text.contains("=/host"), "{text}");
    }
}
