//! [POSIX-platform hooks](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-platform-hooks)
//! that belong to `create` and `start`. `poststart` and `poststop` are run by those who start and delete.
#![forbid(unsafe_code)]

use super::line::{HookKind, HostStep, InitStep, Line};
use super::{Context, Slots, block, host, init, process, z};
use crate::{Error, Result};
use oci_spec::runtime::{Hook, Spec};
use step::Slot;

/// The hooks of one kind.
pub fn of(spec: &Spec, kind: HookKind) -> &[Hook] {
    let Some(hooks) = spec.hooks() else { return &[] };
    #[allow(deprecated)] // prestart is, and engines use it.
    let hooks = match kind {
        HookKind::Prestart => hooks.prestart(),
        HookKind::CreateRuntime => hooks.create_runtime(),
        HookKind::CreateContainer => hooks.create_container(),
        HookKind::StartContainer => hooks.start_container(),
        HookKind::Poststart => hooks.poststart(),
        HookKind::Poststop => hooks.poststop(),
    };
    hooks.as_deref().unwrap_or_default()
}

fn origin(kind: HookKind, index: usize) -> String {
    format!("/hooks/{}/{index}", kind.key())
}

/// `prestart` and `createRuntime` in the runtime's namespaces, `createContainer` in the container's: the root
/// filesystem is ready, but `/` is the host's still.
pub(super) fn before_pivot(context: &Context, slots: &mut Slots) -> Result<Vec<Line>> {
    let spec = context.spec;
    let mut lines = Vec::new();
    for kind in [HookKind::Prestart, HookKind::CreateRuntime] {
        let hooks = 0..of(spec, kind).len();
        lines.extend(hooks.map(|index| host(HostStep::RunHook { kind, index }, origin(kind, index))));
    }
    let inside = of(spec, HookKind::CreateContainer);
    if !inside.is_empty() {
        let state = slots.take()?;
        lines.push(host(HostStep::SendState { status: "creating" }, "/hooks/createContainer"));
        for (index, hook) in inside.iter().enumerate() {
            lines.push(run(hook, HookKind::CreateContainer, index, &[], state)?);
        }
    }
    Ok(lines)
}

/// What `startContainer` hooks read; written while there is somebody to write it.
pub(super) fn start_state(spec: &Spec, slots: &mut Slots) -> Result<Option<(Slot, Line)>> {
    if of(spec, HookKind::StartContainer).is_empty() {
        return Ok(None);
    }
    Ok(Some((slots.take()?, host(HostStep::SendState { status: "created" }, "/hooks/startContainer"))))
}

/// As the user of the process and under its limits and filter. Their environment is its own by default.
pub(super) fn start_container(spec: &Spec, state: Option<Slot>) -> Result<Vec<Line>> {
    let Some(state) = state else { return Ok(Vec::new()) };
    let env = process::environment(spec.process().as_ref(), 0);
    (of(spec, HookKind::StartContainer).iter().enumerate())
        .map(|(index, hook)| run(hook, HookKind::StartContainer, index, &env, state))
        .collect()
}

fn run(hook: &Hook, kind: HookKind, index: usize, default_env: &[String], state: Slot) -> Result<Line> {
    let origin = origin(kind, index);
    let timeout = match hook.timeout() {
        None => 0,
        Some(seconds) => u32::try_from(seconds)
            .map_err(|_| Error::config(format!("{origin}/timeout"), format!("{seconds} seconds are no timeout")))?,
    };
    let argv = match hook.args().as_deref().unwrap_or_default() {
        // Without `args`, the path is what execv(3) gets as argv[0].
        [] => block([hook.path()], &origin)?,
        args => block(args, &format!("{origin}/args"))?,
    };
    let env = block(hook.env().as_deref().unwrap_or(default_env), &format!("{origin}/env"))?;
    let process_env = hook.env().is_none() && kind == HookKind::StartContainer;
    Ok(init(InitStep::RunHook { path: z(hook.path(), &origin)?, argv, env, process_env, timeout, state }, origin))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check;

    #[test]
    fn hooks_run_where_their_kind_says() {
        check(
            r#"{"process": {"args": ["sh"], "env": ["A=1"], "cwd": "/", "user": {"uid": 0, "gid": 0}}, "hooks": {
                "prestart": [{"path": "/a"}],
                "createRuntime": [{"path": "/b"}, {"path": "/c"}],
                "createContainer": [{"path": "/d", "args": ["d", "x"], "env": ["K=V"], "timeout": 5}],
                "startContainer": [{"path": "/e"}],
                "poststart": [{"path": "/f"}], "poststop": [{"path": "/g"}]}}"#,
            "/hooks",
            "host run-hook prestart 0
             host run-hook createRuntime 0
             host run-hook createRuntime 1
             host send-state creating → fd:2
             init run-hook /d: d x env K at most 5 s, state fd:2
             host send-state created → fd:3
             init run-hook /e: /e env A, state fd:3",
        );
    }
}
