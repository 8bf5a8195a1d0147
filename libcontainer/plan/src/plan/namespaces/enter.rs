//! From the clone into the container's namespaces: what init enters, and in which order.
#![forbid(unsafe_code)]

use super::{CGROUP, MOUNT, Namespaces, PID, TIME, USER, undumpable};
use crate::plan::line::{InitStep, Line};
use crate::plan::{Context, id_mappings, init, time_offsets};
use crate::{CgroupManager, Result};

/// One part of entering. It has no lines where the container has nothing of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// init makes the user namespace, or joins it.
    User,
    /// The host writes the id maps of the user namespace that init has made.
    IdMaps,
    /// init takes ids that are mapped in the user namespace.
    Ids,
    /// init makes a time namespace and sets its offsets. One without offsets is among `New`.
    TimeOffsets,
    /// init makes the other namespaces that clone3 has not made.
    New,
    /// init joins the other namespaces.
    Joined,
    /// init cannot be traced any more: no process of the container may reach the host through it.
    Undumpable,
    /// init forks into its pid namespace.
    Fork,
}

/// Whose user namespace the container has, and whether the caller is root of the host: what the order depends on.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// No other than the host's.
    Host,
    NewByRoot,
    NewByUser,
    JoinedByRoot,
    JoinedByUser,
    JoinedByUserWithTimeOffsets,
}

const ON: bool = true;
const __: bool = false;

/// The order in which init enters: a row per part, from top to bottom, and a column per `Case`.
#[rustfmt::skip]
const ORDER: [(Part, [bool; 6]); 13] = [
    //                user namespace:   host   new         joined
    //                caller:           any    root  user  root  user  user, time offsets
    // The file of the offsets in procfs belongs to init while it is dumpable, and to root after that.
    (Part::TimeOffsets,                [__,    __,   __,   ON,   __,   __]),
    // Before the processes in a user namespace that is joined can see init.
    (Part::Undumpable,                 [__,    __,   __,   ON,   ON,   __]),
    // Root may join what does not belong to the user namespace, but only as long as it is outside.
    (Part::Joined,                     [__,    ON,   __,   ON,   __,   __]),
    (Part::User,                       [__,    ON,   ON,   ON,   ON,   ON]),
    (Part::IdMaps,                     [__,    ON,   ON,   __,   __,   __]),
    (Part::TimeOffsets,                [__,    ON,   ON,   __,   __,   ON]),
    (Part::Undumpable,                 [__,    __,   __,   __,   __,   ON]),
    // Before the others are made: what they hold (/dev/mqueue, say) then belongs to a user of the container.
    (Part::Ids,                        [__,    ON,   ON,   ON,   ON,   ON]),
    (Part::New,                        [ON,    ON,   ON,   ON,   ON,   ON]),
    (Part::TimeOffsets,                [ON,    __,   __,   __,   __,   __]),
    // Not earlier: the host could not write the id maps, nor init its time offsets.
    (Part::Undumpable,                 [ON,    ON,   ON,   __,   __,   __]),
    // An ordinary user may join nothing before it is in the user namespace.
    (Part::Joined,                     [ON,    __,   ON,   __,   ON,   ON]),
    // Membership of a pid namespace begins with a fork.
    (Part::Fork,                       [ON,    ON,   ON,   ON,   ON,   ON]),
];

impl Namespaces<'_> {
    /// The lines that bring init from the clone into the container's namespaces, without a trace of the host's
    /// being open to the container's processes.
    pub(in crate::plan) fn enter(&self, context: &Context) -> Result<Vec<Line>> {
        let case = self.case(context) as usize;
        let parts = ORDER.iter().filter(|(_, cases)| cases[case]);
        let mut lines = Vec::new();
        for (part, _) in parts {
            lines.extend(self.lines_of(*part, context)?);
        }
        Ok(lines)
    }

    fn case(&self, context: &Context) -> Case {
        match (self.has(USER), self.is_new(USER), context.facts.privileged) {
            (false, ..) => Case::Host,
            (true, true, true) => Case::NewByRoot,
            (true, true, false) => Case::NewByUser,
            (true, false, true) => Case::JoinedByRoot,
            (true, false, false) if self.time_offsets(context).is_some() => Case::JoinedByUserWithTimeOffsets,
            (true, false, false) => Case::JoinedByUser,
        }
    }

    fn lines_of(&self, part: Part, context: &Context) -> Result<Vec<Line>> {
        let lines = match part {
            Part::User => vec![match self.joined.iter().find(|joined| joined.namespace == USER) {
                Some(user) => self.join(user)?,
                None => self.unshare(USER),
            }],
            Part::IdMaps => vec![id_mappings::line(context.spec, context.facts)],
            Part::Ids if self.is_new(USER) => vec![init(self.become_owner(context.spec), "/linux/uidMappings")],
            Part::Ids => vec![init(InitStep::BecomeRoot, self.origin(USER))],
            Part::TimeOffsets => {
                self.time_offsets(context).map(|line| vec![self.unshare(TIME), line]).unwrap_or_default()
            }
            Part::New => match self.made_by_init(context) & !PID {
                0 => Vec::new(),
                namespaces => vec![self.unshare(namespaces)],
            },
            Part::Joined => {
                let others = self.joined.iter().filter(|joined| joined.namespace != USER);
                // The mount namespace last: the other paths are the runtime's.
                let (mount, others): (Vec<_>, Vec<_>) = others.partition(|joined| joined.namespace == MOUNT);
                others.into_iter().chain(mount).map(|joined| self.join(joined)).collect::<Result<_>>()?
            }
            Part::Undumpable => vec![undumpable()],
            Part::Fork => {
                // clone3 was the fork, unless a new pid namespace has to belong to a user namespace.
                let made = self.made_by_init(context) & PID;
                // Of a new one nobody else is a member.
                let joined = self.joined(PID).is_some() && !context.forks_late();
                if made != 0 || joined { vec![self.fork(made)] } else { Vec::new() }
            }
        };
        Ok(lines)
    }

    /// The offsets of a time namespace that is new.
    fn time_offsets(&self, context: &Context) -> Option<Line> {
        time_offsets::line(context.spec).filter(|_| self.is_new(TIME))
    }

    /// What init has to make, besides the user namespace and a time namespace with offsets.
    fn made_by_init(&self, context: &Context) -> u32 {
        let mut namespaces = self.new & !(self.by_clone() | USER);
        if context.options.cgroup_manager == CgroupManager::Systemd {
            // Later: `unshare_cgroup`.
            namespaces &= !CGROUP;
        }
        if self.time_offsets(context).is_some() {
            namespaces &= !TIME;
        }
        namespaces
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, ORDER, Part};
    use crate::facts::HostFacts;
    use crate::plan::namespaces::Namespaces;
    use crate::plan::tests::{facts, spec_of};
    use crate::plan::{Context, PlanOptions};

    const MAPS: &str = r#""uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]"#;
    const NO_ROOT: &str = r#""uidMappings": [{"containerID": 5, "hostID": 1000, "size": 1}],
        "gidMappings": [{"containerID": 5, "hostID": 1000, "size": 1}]"#;
    const OFFSETS: &str = r#""timeOffsets": {"boottime": {"secs": 5}}"#;

    const ROOT: bool = true;
    const USER: bool = false;

    /// The caller, the namespaces that are listed (`network=/n` with a path), what else is in `linux`, and the lines.
    type Row = (bool, &'static str, &'static [&'static str], &'static [&'static str]);

    const TABLE: &[Row] = &[
        (ROOT, "", &[], &["host clone", "init set-undumpable"]),
        (ROOT, "pid network ipc uts mount", &[], &["host clone pid,network,ipc,uts,mount", "init set-undumpable"]),
        // The cgroup namespace begins where init is then.
        (ROOT, "mount cgroup", &[], &["host clone mount", "init unshare cgroup", "init set-undumpable"]),
        (
            ROOT,
            "mount time",
            &[OFFSETS],
            &["host clone mount", "init unshare time", "init set-time-offsets boottime 5 0", "init set-undumpable"],
        ),
        // Kubernetes: a pod's namespaces are joined.
        (
            ROOT,
            "pid network=/n ipc=/i uts=/u mount",
            &[],
            &[
                "host clone pid,mount",
                "init set-undumpable",
                "init join network /n",
                "init join ipc /i",
                "init join uts /u",
            ],
        ),
        // A joined pid namespace takes a fork, but not here.
        (ROOT, "mount pid=/p", &[], &["host clone mount", "init set-undumpable", "init join pid /p"]),
        // The path of the network namespace is the host's, not that of the mount namespace.
        (
            ROOT,
            "mount=/m network=/n",
            &[],
            &["host clone", "init set-undumpable", "init join network /n", "init join mount /m"],
        ),
        // Everything that is new has to belong to the new user namespace.
        (
            ROOT,
            "user pid network mount cgroup",
            &[MAPS],
            &[
                "host clone",
                "init unshare user",
                "host write-id-maps uid 0:1000:1 gid 0:1000:1",
                "init become-root",
                "init unshare network,mount,cgroup",
                "init set-undumpable",
                "init fork pid",
            ],
        ),
        (
            ROOT,
            "user time mount",
            &[MAPS, OFFSETS],
            &[
                "host clone",
                "init unshare user",
                "host write-id-maps uid 0:1000:1 gid 0:1000:1",
                "init unshare time",
                "init set-time-offsets boottime 5 0",
                "init become-root",
                "init unshare mount",
                "init set-undumpable",
            ],
        ),
        (
            USER,
            "user pid mount",
            &[MAPS],
            &[
                "host clone",
                "init unshare user",
                "host write-id-maps uid 0:1000:1 gid 0:1000:1 setgroups denied",
                "init become-root",
                "init unshare mount",
                "init set-undumpable",
                "init fork pid",
            ],
        ),
        // Joined with the host's privilege, before it is given up.
        (
            ROOT,
            "user network=/n mount pid",
            &[MAPS],
            &[
                "host clone",
                "init join network /n",
                "init unshare user",
                "host write-id-maps uid 0:1000:1 gid 0:1000:1",
                "init become-root",
                "init unshare mount",
                "init set-undumpable",
                "init fork pid",
            ],
        ),
        (
            ROOT,
            "user=/u pid=/p mount",
            &[],
            &[
                "host clone",
                "init set-undumpable",
                "init join pid /p",
                "init join user /u",
                "init become-root",
                "init unshare mount",
            ],
        ),
        // An ordinary user has no privilege outside of the user namespace.
        (
            USER,
            "user=/u pid=/p network=/n mount",
            &[],
            &[
                "host clone",
                "init set-undumpable",
                "init join user /u",
                "init become-root",
                "init unshare mount",
                "init join pid /p",
                "init join network /n",
            ],
        ),
        (
            USER,
            "user=/u time mount",
            &[OFFSETS],
            &[
                "host clone",
                "init join user /u",
                "init unshare time",
                "init set-time-offsets boottime 5 0",
                "init set-undumpable",
                "init become-root",
                "init unshare mount",
            ],
        ),
        // No root to become.
        (
            ROOT,
            "user mount",
            &[NO_ROOT],
            &[
                "host clone",
                "init unshare user",
                "host write-id-maps uid 5:1000:1 gid 5:1000:1",
                "init set-ids 5:5",
                "init unshare mount",
                "init set-undumpable",
            ],
        ),
    ];

    fn entry(root: bool, listed: &str, more: &[&str]) -> Vec<String> {
        let listed = listed.split_whitespace().map(|entry| match entry.split_once('=') {
            Some((kind, path)) => format!(r#"{{"type": "{kind}", "path": "{path}"}}"#),
            None => format!(r#"{{"type": "{entry}"}}"#),
        });
        let namespaces = format!(r#""namespaces": [{}]"#, listed.collect::<Vec<_>>().join(", "));
        let members = [&[namespaces.as_str()], more].concat().join(", ");
        let spec = spec_of(&format!(r#"{{"linux": {{{members}}}}}"#));
        let user = HostFacts { euid: 1000, egid: 1000, ..Default::default() };
        let facts = if root { facts() } else { user };
        let options = PlanOptions::default();
        let namespaces = Namespaces::of(&spec);
        let context = Context { bundle: "/b".as_ref(), spec: &spec, facts: &facts, options: &options, namespaces };
        let mut lines = vec![context.namespaces.clone_line(None, &[])];
        lines.extend(context.namespaces.enter(&context).unwrap());
        lines.iter().map(|line| line.brief(None)).collect()
    }

    #[test]
    fn entering_is_a_table() {
        for (root, listed, more, expected) in TABLE {
            assert_eq!(entry(*root, listed, more), *expected, "\nfor {listed}");
        }
    }

    #[test]
    fn each_case_has_each_part_once() {
        let cases = [
            Case::Host,
            Case::NewByRoot,
            Case::NewByUser,
            Case::JoinedByRoot,
            Case::JoinedByUser,
            Case::JoinedByUserWithTimeOffsets,
        ];
        for case in cases {
            let parts: Vec<_> = ORDER.iter().filter(|(_, cases)| cases[case as usize]).map(|(part, _)| part).collect();
            let count = |part: &Part| parts.iter().filter(|other| **other == part).count();
            for part in [Part::New, Part::Joined, Part::Undumpable, Part::Fork] {
                assert_eq!(count(&part), 1, "{part:?} in {case:?}");
            }
            let own = usize::from(!matches!(case, Case::Host));
            assert_eq!([count(&Part::User), count(&Part::Ids)], [own; 2], "{case:?}");
            assert!(count(&Part::IdMaps) <= 1 && count(&Part::TimeOffsets) <= 1, "{case:?}");
        }
    }
}
