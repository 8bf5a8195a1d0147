//! Groups that systemd makes.
#![forbid(unsafe_code)]
use super::place::{in_hierarchy_of, is_at};
use crate::plan::cgroup::Group;
use crate::{Error, ErrorKind, Result};

/// Puts `pid`, which systemd has moved into a scope, into those of its groups that systemd has not made. The group that it
/// tracks the scope by has to be where the plan says: everything else that is done to the container goes by that.
pub(crate) fn settle_in_scope(groups: &[Group], pid: i32) -> Result<()> {
    let file = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Error::io("look where systemd has put init", format!("read({file})"), &error))?;
    for group in groups {
        let place = in_hierarchy_of(group, &text);
        if place.is_some_and(|place| is_at(&group.directory, place)) {
            // systemd hands down those that it knows; a limit on huge pages, say, may also come with an update.
            if group.unified {
                super::create::enable_controllers_above(&group.directory);
            }
            continue;
        }
        if group.unified && groups.len() == 1 || group.has("name=systemd") {
            let place = place.unwrap_or("no group at all");
            let message = format!("systemd has put init into {place}, not into {}", group.directory.display());
            return Err(Error::new(ErrorKind::System, message));
        }
        super::create(std::slice::from_ref(group))?;
        super::write(&group.directory.join("cgroup.procs"), &pid.to_string(), &crate::plan::line::Tolerate::Nothing)?;
    }
    Ok(())
}
