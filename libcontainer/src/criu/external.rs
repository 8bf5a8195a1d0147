//! Mounts that CRIU saves by a name only (`--external mnt[…]`).
//!
//! CRIU reads `mnt[KEY]:VALUE` back with nothing escaped, so neither may hold a `]`. At the checkpoint the key is where the mount
//! is, which the container has a say in, and the value is a name; at the restore the key is that name, and the value a path of
//! the host's that config.json gives.
#![forbid(unsafe_code)]
use super::{Message, option};
use crate::mountinfo::{Mount, Mounts};
use crate::plan::ExternalMount;
use crate::{Error, ErrorKind, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Filesystems that CRIU makes anew, with what is in them.
const SAVED: [&str; 7] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];

/// What of `mounts`, and of those that were `added` later, is mounted in the container of `init`, by where it is.
pub(crate) fn for_dump(
    mut options: Message,
    mounts: &[ExternalMount],
    added: &[ExternalMount],
    init: i32,
) -> Result<Message> {
    let there = Mounts::of(init)?;
    for (mount, is_added) in mounts.iter().map(|mount| (mount, false)).chain(added.iter().map(|mount| (mount, true))) {
        // The container may have unmounted it.
        let Some(found) = find(mount, &there)? else { continue };
        if is_added && found.root == Path::new("/") && SAVED.contains(&&*found.fstype) {
            continue;
        }
        // The cover of a directory, or what the root filesystem was mounted from.
        if mount.is_mask && found.root == Path::new("/") || found.point == Path::new("/") {
            continue;
        }
        let key = readable(&found.point, mount)?;
        options = options.message(option::EXT_MNT, &Message::default().text(1, key).text(2, mount.name()));
    }
    Ok(options)
}

/// What the names in the images stand for.
pub(crate) fn for_restore(mut options: Message, mounts: &[ExternalMount]) -> Result<Message> {
    let mut names = Vec::new();
    // Of two at the same place the later one is seen.
    for mount in mounts.iter().rev() {
        let name = mount.name();
        if !names.contains(&name) {
            // CRIU takes a path for a directory and a name in it, and goes wrong at `.`, `..` and a slash in the end. What is not
            // there is for it to say.
            #[expect(clippy::disallowed_methods, reason = "CRIU takes nothing but a path, and looks it up itself")]
            // may fail: as was just said.
            let resolved = std::fs::canonicalize(&mount.source).unwrap_or_else(|_| mount.source.clone());
            let source = readable(&resolved, mount)?;
            options = options.message(option::EXT_MNT, &Message::default().text(1, &name).text(2, source));
            names.push(name);
        }
    }
    Ok(options)
}

fn readable<'a>(path: &'a Path, mount: &ExternalMount) -> Result<&'a [u8]> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&b']') {
        let message = format!("CRIU cannot be told of a path with a ']': {path:?}");
        return Err(Error::new(ErrorKind::Unsupported, message).at(mount.origin.clone()));
    }
    Ok(bytes)
}

/// The mount that is seen at the target: there literally, or where symbolic links of the image lead.
fn find<'a>(mount: &ExternalMount, there: &'a Mounts) -> Result<Option<&'a Mount>> {
    if let Some(found) = there.all.iter().rev().find(|found| found.point == mount.target) {
        return Ok(Some(found));
    }
    let found = there.look(&mount.target).map_err(|error| error.at(mount.origin.clone()))?;
    Ok(found.filter(|found| found.is_mount).and_then(|found| found.mount))
}

#[cfg(test)]
mod tests {
    use super::{Message, for_restore};
    use crate::plan::ExternalMount;

    fn mount(target: &str, source: &str) -> ExternalMount {
        ExternalMount {
            origin: "/mounts/7".to_owned(),
            target: target.into(),
            source: source.into(),
            read_only: false,
            is_mask: false,
        }
    }

    #[test]
    fn of_two_mounts_at_the_same_place_the_later_one_is_meant() {
        let expected = Message::default().message(23, &Message::default().text(1, "/a").text(2, "/2"));
        assert_eq!(for_restore(Message::default(), &[mount("/a", "/1"), mount("/a", "/2")]).unwrap(), expected);
    }

    #[test]
    fn a_source_that_criu_would_cut_in_two_is_refused() {
        let error = for_restore(Message::default(), &[mount("/a", "/srv/]:/etc")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config.json: /mounts/7: CRIU cannot be told of a path with a ']': \"/srv/]:/etc\""
        );
    }
}
