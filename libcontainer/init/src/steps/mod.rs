//! A file per step, or per family of steps. `run` is the only match that runs them.
mod await_start;
mod bind_mount;
mod capabilities;
mod chdir;
mod close_descriptors;
mod copy_up;
pub mod default_home;
pub mod enter;
mod exec;
mod exec_label;
mod hide_host;
mod join_cgroup;
mod make_device;
pub mod mask_path;
mod mount;
mod mount_cgroup;
mod mount_whole;
mod open_console;
mod open_rootfs;
mod pivot_root;
mod process;
mod propagation;
mod remount;
mod reopen_streams;
mod resolve_program;
mod run_hook;
mod set_ids;
mod symlink;
#[cfg(test)]
mod tests;
mod unmount;
mod write_sysctl;

use crate::fault::{At, Result};
use crate::{Init, Line, host, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Mode;
use step::{Attributes, Call, FromInit, Step};

/// What is left to do with a mount in its place: its propagation, and to keep it where a later line needs it.
fn hold(init: &mut Init, mounted: OwnedFd, propagation: u32, keep: bool) -> Result {
    bind_mount::set_propagation(mounted.as_fd(), propagation)?;
    if keep { init.slots.put(mounted) } else { Ok(()) }
}

/// Does one line.
#[inline(never)]
pub(crate) fn run(init: &mut Init, step: &Line<'_>) -> Result {
    match *step {
        Step::Host { fills } => init.meet_host(fills),

        Step::SetOomScoreAdj { value } => process::set_oom_score_adj(value),
        Step::SetCpuAffinity { mask } => process::set_cpu_affinity(mask),
        Step::JoinCgroup { first, count } => join_cgroup::run(init, first, count),
        Step::Join { path, namespace } => enter::join(init, path.0, namespace),
        Step::JoinProcess { slot, namespaces } => enter::join_process(init, slot, namespaces),
        Step::EnterRoot { slot } => pivot_root::enter_root(init, slot),
        Step::Unshare { namespaces } => sys::unshare(namespaces).at(Call::Unshare),
        Step::OpenPidNamespace { slot } => enter::open_pid_namespace(init, slot),
        Step::Fork { namespaces } => enter::fork(init, namespaces),
        Step::SetTimeOffsets { offsets } => process::write_host_file(c"/proc/self/timens_offsets", offsets),
        Step::BecomeRoot => set_ids::become_root(),
        Step::SetUndumpable => process::set_undumpable(),
        Step::JoinSessionKeyring { name } => process::join_session_keyring(name.0),
        Step::SetLoopbackUp => enter::set_loopback_up(),

        Step::SetRootPropagation { propagation } => propagation::of_host_tree(init, propagation),
        Step::OpenNull => {
            init.covers.open_null();
            Ok(())
        }
        Step::OpenRootfs { path } => open_rootfs::run(init, path.0),
        Step::AttachRootfs { path } => open_rootfs::attach(init, path.0),
        Step::Mount { fstype, source, target, kind, options, attributes, propagation, copy_up, or_bind, keep } => {
            let mount = mount::Mount { fstype: fstype.0, source: source.0, options, attributes, copy_up };
            let mounted = mount::run(init, &mount, target.0, kind, or_bind.map(|path| path.0))?;
            hold(init, mounted, propagation, keep)
        }
        Step::BindMount {
            ref source,
            target,
            kind,
            recursive,
            attributes,
            recursive_attributes,
            propagation,
            link,
            keep,
        } => {
            let bind = bind_mount::BindMount { source, recursive, attributes, recursive_attributes, link };
            match bind_mount::run(init, &bind, target.0, kind)? {
                Some(mounted) => hold(init, mounted, propagation, keep),
                None => Ok(()),
            }
        }
        Step::OpenSource { path, recursive, link } => bind_mount::open_source(init, path.0, recursive, link),
        Step::MakeMount { fstype, source, target, options, copy_up } => {
            let attributes = Attributes::default();
            let mount = mount::Mount { fstype: fstype.0, source: source.0, options, attributes, copy_up };
            mount::make(init, &mount, target.0)
        }
        Step::ShowMount { slot } => {
            init.rider = Some(init.slots.take(slot)?);
            Ok(())
        }
        Step::FindMount { target, mount } => unmount::look_for(init, target.0, mount),
        Step::Unmount { target, mount } => unmount::run(init, target.0, mount),
        Step::Remount { ref mount, attributes, recursive_attributes, propagation, options, keep } => {
            let mounted = remount::run(init, mount, attributes, recursive_attributes, options)?;
            hold(init, mounted, propagation, keep)
        }
        Step::MountCgroup2 { target, options, attributes, propagation, fallback, keep } => {
            let mounted = mount_cgroup::run(init, target.0, options, attributes, fallback.0)?;
            hold(init, mounted, propagation, keep)
        }
        Step::MakeDevice { path, device, mode, uid, gid, present } => {
            make_device::run(init, path.0, &make_device::Node { device, mode, uid, gid, present })
        }
        Step::BindDevice { ref source, path, device, present } => {
            make_device::bind(init, source, path.0, device, present)
        }
        Step::Symlink { target, path, replace } => symlink::run(init, target.0, path.0, replace),
        Step::MakeDirectory { path } => chdir::make_directory(init, path.0),
        Step::MaskPath { path } => mask_path::run(init, path.0),
        Step::ReadonlyPath { path } => mask_path::readonly(init, path.0),
        Step::WriteSysctl { key, value } => write_sysctl::run(key.0, value.0),
        Step::SetHostname { name } => rustix::system::sethostname(name.0.to_bytes()).at(Call::Sethostname),
        Step::SetDomainname { name } => sys::setdomainname(name.0).at(Call::Setdomainname),
        Step::PivotRoot => pivot_root::pivot(init),
        Step::MoveRoot => pivot_root::move_root(init),
        Step::ChangeRoot => pivot_root::change_root(init),
        Step::SetRootReadonly => propagation::set_root_readonly(init),
        Step::SetPropagation { propagation } => propagation::of_root(init, propagation),

        Step::NewSession => rustix::process::setsid().at(Call::Setsid).map(drop),
        Step::OpenConsole { height, width, uid, on_dev_console } => {
            open_console::run(init, height, width, uid, on_dev_console)
        }
        Step::ReopenStreams => reopen_streams::run(init),
        Step::SetControllingTerminal => open_console::set_controlling(),
        Step::ChownStdio { uid } => process::chown_stdio(uid),
        Step::SetUmask { mask } => {
            init.umask = Mode::from_raw_mode(mask);
            Ok(())
        }
        Step::SetRlimit { resource, soft, hard } => sys::setrlimit(resource, soft, hard).at(Call::Setrlimit),
        Step::RaiseRlimit { resource, to } => process::raise_rlimit(resource, to),
        Step::SetScheduler { policy, flags, nice, priority, runtime, deadline, period } => {
            let size = 48;
            let attr = sys::SchedAttr { size, policy, flags, nice, priority, runtime, deadline, period };
            sys::sched_setattr(&attr).at(Call::SchedSetattr)
        }
        Step::SetIoPriority { value } => sys::ioprio_set(value).at(Call::IoprioSet),
        Step::SetPersonality { domain } => sys::personality(domain).at(Call::Personality),
        Step::SetMemoryPolicy { mode, nodes } => sys::set_mempolicy(mode, nodes).at(Call::SetMempolicy),
        Step::SetExecLabel { lsm, label } => exec_label::run(init, lsm, label.0),
        Step::SetNoNewPrivs => process::set_no_new_privs(),
        Step::DropBoundingSet { keep } => capabilities::drop_bounding_set(keep),
        Step::Chdir { path, uid, gid } => chdir::run(init, path.0, uid, gid),
        Step::SetGroups { gids } => set_ids::set_groups(gids),
        Step::SetIds { uid, gid } => set_ids::run(uid, gid),
        Step::SetCapabilities { effective, permitted, inheritable, ambient } => {
            capabilities::set(init, [effective, permitted, inheritable], ambient)
        }
        Step::KeepCapabilities { effective, permitted } => capabilities::keep(init, effective, permitted),
        Step::LoadSeccomp { flags, filter } => {
            let listener = sys::seccomp(flags, filter).at(Call::Seccomp)?;
            init.rider = listener.or(init.rider.take());
            Ok(())
        }
        Step::DefaultHome { uid } => default_home::run(init, uid),
        Step::ResolveProgram { name, search } => resolve_program::run(init, name.0, search.0),
        Step::RunHook { path, argv, env, process_env, timeout, state } => {
            let hook = run_hook::Hook { path: path.0, argv, env, process_env, timeout };
            run_hook::run(init, &hook, state)
        }
        Step::HoldNamespaces { namespaces } => enter::hold(init, namespaces),
        Step::PrepareToWait => {
            await_start::prepare()?;
            Ok(())
        }
        Step::AwaitStart { start, said, door } => await_start::run(init, start, said, door),
        Step::CloseDescriptors { preserve } => close_descriptors::run(init, preserve),
        Step::PrepareExec { pointers } => exec::prepare(init, pointers),
        Step::AnnounceExec => host::send(init.host.as_fd(), &FromInit::Executing, None),
        Step::Exec { program, argv, env } => exec::run(init, program, argv, env),
    }
}
