//! STUB until the real one is merged.
pub(crate) mod cgroup;
pub(crate) mod line;
pub use line::{Line, Origin};
use crate::container::CgroupManager;
use crate::{Bundle, HostFacts, Result};
use line::*;
use oci_spec::runtime::{Process, Spec};
use std::path::{Path, PathBuf};
use step::{Attributes, Step, Target};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(crate) lines: Vec<Line>,
    pub(crate) cgroups: Vec<cgroup::Group>,
}
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    pub id: String,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    pub preserve_fds: u32,
    pub listen_fds: u32,
    pub cgroup_manager: CgroupManager,
}
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecPlanOptions {
    pub(crate) tasks: Vec<PathBuf>,
    pub(crate) into_cgroup: Option<PathBuf>,
    pub(crate) preserve_fds: u32,
}
fn i(s: InitStep) -> Line { Line { action: Action::Init(s), origin: Origin("(default)".into()) } }
fn h(s: HostStep) -> Line { Line { action: Action::Host(s), origin: Origin("(default)".into()) } }
fn z(s: &str) -> ZString { ZString::new(s).unwrap() }
impl Plan {
    pub fn new(bundle: &Bundle, facts: &HostFacts, options: &PlanOptions) -> Result<Plan> {
        create(bundle.path(), bundle.spec(), facts, options)
    }
}
pub(crate) fn create(bundle: &Path, spec: &Spec, facts: &HostFacts, options: &PlanOptions) -> Result<Plan> {
    let cg = cgroup::plan(spec, facts, &options.id, options.cgroup_manager)?;
    let p = spec.process().as_ref().unwrap();
    let n = cg.tasks.len() as u16;
    let mut lines = cg.lines;
    lines.push(h(HostStep::Clone { namespaces: 0x20000000 | 0x40000000 | 0x20000 | 0x4000000 | 0x8000000, into_cgroup: cg.into_cgroup, tasks: cg.tasks }));
    lines.push(i(Step::JoinCgroup { first: 0, count: n }));
    lines.push(i(Step::Unshare { namespaces: 0x2000000 }));
    lines.push(i(Step::SetUndumpable));
    lines.push(i(Step::SetLoopbackUp));
    lines.push(i(Step::SetRootPropagation { propagation: 0x80000 | 0x4000 }));
    lines.push(i(Step::OpenRootfs { path: z(&bundle.join(spec.root().as_ref().unwrap().path()).to_string_lossy()) }));
    for (t, d, o) in [("proc", "/proc", ""), ("tmpfs", "/dev", "mode=755\0size=65536k\0"), ("devpts", "/dev/pts", "newinstance\0ptmxmode=0666\0mode=0620\0"), ("sysfs", "/sys", "")] {
        lines.push(i(Step::Mount { fstype: z(t), source: z(t), target: z(d), kind: if d == "/proc" || d == "/sys" { Target::OrdinaryDirectory } else { Target::Any }, options: o.as_bytes().to_vec(), attributes: Attributes::default(), propagation: 0, copy_up: false }));
    }
    lines.push(i(Step::MakeDevice { path: z("/dev/null"), kind: 0o20000, major: 1, minor: 3, mode: 0o666, uid: 0, gid: 0 }));
    lines.push(i(Step::PivotRoot));
    lines.push(i(Step::NewSession));
    lines.push(i(Step::ReadonlyPath { path: z("/proc/sys") }));
    lines.push(i(Step::MaskPath { path: z("/proc/kcore") }));
    lines.push(i(Step::Chdir { path: z("/"), uid: 0, gid: 0 }));
    lines.extend(proc_lines(p));
    lines.push(h(HostStep::ListenForStart));
    lines.push(h(HostStep::SaveState));
    lines.push(i(Step::AwaitStart { slot: n }));
    lines.extend(exec_lines(p));
    Ok(Plan { lines, cgroups: cg.groups })
}
fn proc_lines(p: &Process) -> Vec<Line> {
    vec![i(Step::ResolveProgram { name: z(&p.args().as_ref().unwrap()[0]), search: z("/bin:/usr/bin") })]
}
fn exec_lines(p: &Process) -> Vec<Line> {
    let b = |v: &Vec<String>| v.iter().flat_map(|s| s.bytes().chain([0])).collect::<Vec<u8>>();
    vec![i(Step::CloseDescriptors { preserve: 0 }), i(Step::Exec { argv: b(p.args().as_ref().unwrap()), env: b(p.env().as_ref().unwrap_or(&vec![])) })]
}
pub(crate) fn exec(_spec: &Spec, p: &Process, _facts: &HostFacts, o: &ExecPlanOptions) -> Result<Plan> {
    let n = o.tasks.len() as u16;
    let mut lines = vec![h(HostStep::Clone { namespaces: 0, into_cgroup: o.into_cgroup.clone(), tasks: o.tasks.clone() }), h(HostStep::OpenProcess)];
    lines.push(i(Step::JoinCgroup { first: 0, count: n }));
    lines.push(i(Step::SetUndumpable));
    lines.push(i(Step::JoinProcess { slot: n, namespaces: 0x20000000 | 0x40000000 | 0x20000 | 0x4000000 | 0x8000000 | 0x2000000 }));
    lines.push(i(Step::Fork { namespaces: 0 }));
    lines.push(i(Step::Chdir { path: z("/"), uid: 0, gid: 0 }));
    lines.extend(proc_lines(p));
    lines.push(h(HostStep::SaveState));
    lines.extend(exec_lines(p));
    Ok(Plan { lines, cgroups: vec![] })
}
impl Line {
    pub(crate) fn words(&self) -> String { format!("{:?}", self.action) }
}
