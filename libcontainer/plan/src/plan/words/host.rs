//! The words for what the host does.
#![forbid(unsafe_code)]

use super::EnvValues;
use super::init::init_words;
use super::names::{both_maps, joined, limit, link_name, namespace_names, node, push, quoted};
use crate::plan::line::{HostStep, IdMappedMount, Tolerate};
use std::fmt::Write as _;

pub(super) fn host_words(step: &HostStep) -> (&'static str, String) {
    match step {
        HostStep::CreateCgroup { groups } => {
            ("create-cgroup", joined(groups.iter().map(|group| group.directory.display()), " "))
        }
        HostStep::WriteCgroup { file, value, tolerate } => {
            let otherwise = match tolerate {
                Tolerate::Nothing => String::new(),
                Tolerate::Missing => " if it is there".to_owned(),
                Tolerate::Forbidden { value: Some(value) } => format!(" or {}", quoted(value)),
                Tolerate::Forbidden { value: None } => " if it may be".to_owned(),
                Tolerate::Otherwise { file, value } => format!(" or {} {}", file.display(), quoted(value)),
            };
            ("write-cgroup", format!("{} {}{otherwise}", file.display(), quoted(value)))
        }
        HostStep::AttachDeviceProgram { directory, program } => {
            ("attach-device-program", format!("{} instructions to {}", program.len() / 8, directory.display()))
        }
        HostStep::ChownCgroup { directory, uid } => ("chown-cgroup", format!("{} to {uid}", directory.display())),
        HostStep::StartScope { unit, properties } => {
            let whose = if unit.user { " of the user's" } else { "" };
            ("start-scope", format!("{}{whose} {}", unit.name, joined(properties.iter(), " ")))
        }
        HostStep::AwaitScope { groups } => {
            ("await-scope", joined(groups.iter().map(|group| group.directory.display()), " "))
        }
        HostStep::AttachToScope { unit, below } => ("attach-to-scope", format!("{} {below}", unit.name)),
        HostStep::Clone { namespaces, into_cgroup, tasks } => {
            let mut detail = namespace_names(*namespaces);
            if let Some(directory) = into_cgroup {
                let _ = write!(detail, " into {}", directory.display());
            }
            for (slot, directory) in tasks.iter().enumerate() {
                let _ = write!(detail, " {} → fd:{slot}", directory.display());
            }
            ("clone", detail.trim_start().to_owned())
        }
        HostStep::JoinCgroup { directory } => ("join-cgroup", directory.display().to_string()),
        HostStep::WriteIdMaps { uid, gid, deny_setgroups } => {
            let denied = if *deny_setgroups { " setgroups denied" } else { "" };
            ("write-id-maps", format!("{}{denied}", both_maps(uid, gid)))
        }
        HostStep::OpenProcess => ("open-process", String::new()),
        HostStep::SetScheduler { step } => init_words(step, EnvValues::Hidden),
        HostStep::OpenRoot => ("open-root", String::new()),
        HostStep::OpenMount { source, recursive, link, shared, id_map } => {
            let mut detail = source.display().to_string();
            push(&mut detail, link_name(*link));
            if *recursive {
                detail.push_str(" recursive");
            }
            if *shared {
                detail.push_str(" shared with the host");
            }
            if let Some(map) = id_map {
                let recursively = if map.recursive { " recursively" } else { "" };
                let _ = write!(detail, "{recursively} id-mapped {}", id_map_of(map));
            }
            ("open-mount", detail)
        }
        HostStep::IdMapMount { id_map } => {
            let recursively = if id_map.recursive { "recursively " } else { "" };
            ("id-map-mount", format!("{recursively}{}", id_map_of(id_map)))
        }
        HostStep::MakeNode { device, mode, uid, gid } => ("make-node", node(device, *mode, *uid, *gid)),
        HostStep::NoteMount { destination } => ("note-mount", destination.display().to_string()),
        HostStep::Meet => ("meet", String::new()),
        HostStep::MoveNetDevice { name, new_name } if name == new_name => ("move-net-device", name.clone()),
        HostStep::MoveNetDevice { name, new_name } => ("move-net-device", format!("{name} as {new_name}")),
        HostStep::MakeRdtClass { directory, schemata, shared } => {
            let shared = if *shared { " unless it is there" } else { "" };
            let schemata = schemata.join(", ");
            ("make-rdt-class", format!("{} {schemata}", directory.display()).trim_end().to_owned() + shared)
        }
        HostStep::MakeRdtMonitor { directory } => ("make-rdt-monitor", directory.display().to_string()),
        HostStep::JoinRdtGroup { directory } => ("join-rdt-group", directory.display().to_string()),
        HostStep::RunHook { kind, index } => ("run-hook", format!("{} {index}", kind.key())),
        HostStep::SendState { status } => ("send-state", (*status).to_owned()),
        HostStep::SetRlimit { name, soft, hard, .. } => {
            ("set-rlimit", format!("{name} {}:{}", limit(*soft), limit(*hard)))
        }
        HostStep::ForwardConsole => ("forward-console", String::new()),
        HostStep::ForwardSeccompListener { path, .. } => ("forward-seccomp-listener", path.display().to_string()),
        HostStep::ChownStreams { uid } => ("chown-streams", uid.to_string()),
        HostStep::ListenForStart => ("listen-for-start", String::new()),
        HostStep::AnswerStart => ("answer-start", String::new()),
        HostStep::ListenForExec => ("listen-for-exec", String::new()),
        HostStep::HoldProgram => ("hold-program", String::new()),
        HostStep::SaveState => ("save-state", String::new()),
    }
}

fn id_map_of(map: &IdMappedMount) -> String {
    match &map.of {
        Some(path) => format!("as {}", path.display()),
        None => both_maps(&map.uid, &map.gid),
    }
}
