//! The options of a mount: runtime-spec, ["Linux mount options"](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-mount-options).
#![forbid(unsafe_code)]

#[cfg(any(test, fuzzing, feature = "laws"))]
pub mod laws;

use step::Attributes;

// linux/mount.h: propagation
pub const UNBINDABLE: u32 = 1 << 17;
pub const PRIVATE: u32 = 1 << 18;
pub const SLAVE: u32 = 1 << 19;
pub const SHARED: u32 = 1 << 20;
pub const REC: u32 = 1 << 14;

// linux/mount.h: attributes of a mount
pub const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
/// The field that says when access times are kept; `relatime` is 0 in it.
pub(super) const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// Names of the attributes, for people.
pub const ATTRIBUTES: &[(&str, u64)] = &[
    ("ro", RDONLY),
    ("nosuid", NOSUID),
    ("nodev", NODEV),
    ("noexec", NOEXEC),
    ("noatime", NOATIME),
    ("strictatime", STRICTATIME),
    ("nodiratime", NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW),
];

/// What mount(2) calls them: (name, attribute, `MS_*`). Some are flags of a filesystem and no attributes.
pub(super) const MOUNT_FLAGS: &[(&str, u64, u32)] = &[
    ("ro", RDONLY, 0x1),
    ("nosuid", NOSUID, 0x2),
    ("nodev", NODEV, 0x4),
    ("noexec", NOEXEC, 0x8),
    ("noatime", NOATIME, 0x400),
    ("strictatime", STRICTATIME, 0x100_0000),
    ("nodiratime", NODIRATIME, 0x800),
    ("nosymfollow", NOSYMFOLLOW, 0x100),
    ("sync", 0, 0x10),
    ("mand", 0, 0x40),
    ("dirsync", 0, 0x80),
    ("lazytime", 0, 0x200_0000),
];

/// What an option asks for.
#[derive(Clone, Copy)]
enum Effect {
    /// An attribute of the mount. With an `r` before the name also of the mounts below.
    Set(u64),
    Clear(u64),
    /// Access times are three flags in mount(2), of which the last in this order wins: relatime, noatime, strictatime.
    Atime(u64, bool),
    /// A flag of the filesystem (fsconfig(2)), on or off.
    Filesystem(&'static str, bool),
    Propagation(u32),
    Bind {
        recursive: bool,
    },
    Remount,
    CopyUp,
    IdMap {
        recursive: bool,
    },
    CopySymlink,
    SourceNofollow,
    TargetNofollow,
    /// What is the case anyway: `defaults`; `silent` and `loud`, which set how much the kernel says in its log and
    /// mean nothing to fsconfig(2); `iversion`, which filesystems that have it keep always since 6.1.
    Nothing,
}

const TABLE: &[(&str, Effect)] = &[
    ("async", Effect::Filesystem("sync", false)),
    ("atime", Effect::Atime(NOATIME, false)),
    ("bind", Effect::Bind { recursive: false }),
    ("copy-symlink", Effect::CopySymlink),
    ("defaults", Effect::Nothing),
    ("dest-nofollow", Effect::TargetNofollow),
    ("dev", Effect::Clear(NODEV)),
    ("diratime", Effect::Clear(NODIRATIME)),
    ("dirsync", Effect::Filesystem("dirsync", true)),
    ("exec", Effect::Clear(NOEXEC)),
    ("idmap", Effect::IdMap { recursive: false }),
    ("iversion", Effect::Nothing),
    ("lazytime", Effect::Filesystem("lazytime", true)),
    ("loud", Effect::Nothing),
    ("mand", Effect::Filesystem("mand", true)),
    ("noatime", Effect::Atime(NOATIME, true)),
    ("nodev", Effect::Set(NODEV)),
    ("nodiratime", Effect::Set(NODIRATIME)),
    ("noexec", Effect::Set(NOEXEC)),
    ("noiversion", Effect::Nothing),
    ("nolazytime", Effect::Filesystem("lazytime", false)),
    ("nomand", Effect::Filesystem("mand", false)),
    ("norelatime", Effect::Atime(0, false)),
    ("nostrictatime", Effect::Atime(STRICTATIME, false)),
    ("nosuid", Effect::Set(NOSUID)),
    ("nosymfollow", Effect::Set(NOSYMFOLLOW)),
    ("private", Effect::Propagation(PRIVATE)),
    ("rbind", Effect::Bind { recursive: true }),
    ("relatime", Effect::Atime(0, true)),
    ("remount", Effect::Remount),
    ("ridmap", Effect::IdMap { recursive: true }),
    ("ro", Effect::Set(RDONLY)),
    ("rprivate", Effect::Propagation(PRIVATE | REC)),
    ("rshared", Effect::Propagation(SHARED | REC)),
    ("rslave", Effect::Propagation(SLAVE | REC)),
    ("runbindable", Effect::Propagation(UNBINDABLE | REC)),
    ("rw", Effect::Clear(RDONLY)),
    ("shared", Effect::Propagation(SHARED)),
    ("silent", Effect::Nothing),
    ("slave", Effect::Propagation(SLAVE)),
    ("src-nofollow", Effect::SourceNofollow),
    ("strictatime", Effect::Atime(STRICTATIME, true)),
    ("suid", Effect::Clear(NOSUID)),
    ("symfollow", Effect::Clear(NOSYMFOLLOW)),
    ("sync", Effect::Filesystem("sync", true)),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Effect::Propagation(UNBINDABLE)),
];

/// What turns a flag of a filesystem off (fsconfig(2)).
const OFF: [(&str, &str); 3] = [("sync", "async"), ("lazytime", "nolazytime"), ("mand", "nomand")];

/// Every option that is known by name, sorted: for `features`.
pub fn names() -> Vec<String> {
    let recursive = TABLE.iter().filter(|(_, effect)| is_attribute(*effect)).map(|(name, _)| format!("r{name}"));
    let mut names: Vec<_> = TABLE.iter().map(|(name, _)| (*name).to_owned()).chain(recursive).collect();
    names.sort();
    names
}

fn is_attribute(effect: Effect) -> bool {
    matches!(effect, Effect::Set(_) | Effect::Clear(_) | Effect::Atime(..))
}

/// `MS_*` bits of `rshared` and the like.
pub fn propagation(name: &str) -> Option<u32> {
    match find(name)? {
        Effect::Propagation(bits) => Some(bits),
        _ => None,
    }
}

fn find(name: &str) -> Option<Effect> {
    let index = TABLE.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(TABLE[index].1)
}

/// `idmap` or `ridmap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdMapOption<'a> {
    /// Which option it was.
    pub(super) index: usize,
    pub(super) recursive: bool,
    /// What is behind a `=`: crun's way to give mappings.
    pub(super) maps: &'a str,
}

/// All options of one mount, sorted by what they act on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options<'a> {
    pub(super) attributes: Attributes,
    /// Whether any option was about them, even one that changes nothing.
    pub(super) attributes_given: bool,
    pub(super) recursive_attributes: Attributes,
    pub(super) propagation: u32,
    /// `bind`, or `rbind` if true.
    pub(super) bind: Option<bool>,
    pub(super) remount: bool,
    pub(super) copy_up: bool,
    pub(super) id_map: Option<IdMapOption<'a>>,
    pub(super) copy_symlink: bool,
    pub(super) source_nofollow: bool,
    pub(super) target_nofollow: bool,
    /// Flags of the filesystem that are on.
    pub(super) filesystem: Vec<&'static str>,
    /// What turns off those that are not to be on: of what is new they are not.
    pub(super) filesystem_off: Vec<&'static str>,
    /// What is not in the table is for the filesystem: (which option it was, key or key=value).
    pub(super) data: Vec<(usize, &'a str)>,
}

impl Options<'_> {
    /// What a bind mount gets: as with runc, one that names any attribute has those that it names and no others, while
    /// one that names none is as its source is. In a user namespace the kernel holds on to what the source has
    /// (mount_namespaces(7)), but for `nosymfollow`.
    pub(super) fn bind_attributes(&self, in_user_namespace: bool) -> Attributes {
        const ALL: u64 = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;
        let Attributes { set, clear } = self.attributes;
        let mut others = if in_user_namespace { NOSYMFOLLOW } else { ALL };
        if clear & ATIME != 0 && !in_user_namespace {
            others |= NODIRATIME;
        }
        Attributes { set, clear: clear | if self.attributes_given { others & !set } else { 0 } }
    }
}

/// Access times, as mount(2) has them.
#[derive(Default)]
struct Atime {
    given: bool,
    relatime: bool,
    noatime: bool,
    strictatime: bool,
}

impl Atime {
    fn apply(&mut self, flag: u64, on: bool) {
        self.given = true;
        match flag {
            NOATIME => self.noatime = on,
            STRICTATIME => self.strictatime = on,
            // `relatime` undoes the others only in mount(8); here it is the default.
            _ => self.relatime = on,
        }
    }

    /// Taking flags away does not change what there is: mount(2), "remount".
    fn any(&self) -> bool {
        self.relatime || self.noatime || self.strictatime
    }

    fn add_to(&self, attributes: &mut Attributes) {
        if self.given {
            // mount_setattr(2) wants the whole field cleared before any of its values is set.
            attributes.clear |= ATIME;
            attributes.set |= if self.strictatime {
                STRICTATIME
            } else if self.noatime {
                NOATIME
            } else {
                0
            };
        }
    }
}

pub(super) fn parse(options: &[String]) -> Options<'_> {
    let mut parsed = Options::default();
    let (mut atime, mut recursive_atime) = (Atime::default(), Atime::default());
    for (index, option) in options.iter().enumerate() {
        if let Some((name @ ("idmap" | "ridmap"), maps)) = option.split_once('=') {
            parsed.id_map = Some(IdMapOption { index, recursive: name == "ridmap", maps });
            continue;
        }
        let recursive = || option.strip_prefix('r').and_then(find).filter(|effect| is_attribute(*effect));
        let (effect, attributes, atime) = match find(option) {
            Some(effect) => (effect, &mut parsed.attributes, &mut atime),
            None => match recursive() {
                Some(effect) => (effect, &mut parsed.recursive_attributes, &mut recursive_atime),
                None => {
                    parsed.data.extend(split(option).map(|part| (index, part)));
                    continue;
                }
            },
        };
        parsed.attributes_given |= recursive().is_none() && is_attribute(effect);
        match effect {
            // The last word counts.
            Effect::Set(bits) => {
                *attributes = Attributes { set: attributes.set | bits, clear: attributes.clear & !bits }
            }
            Effect::Clear(bits) => {
                *attributes = Attributes { set: attributes.set & !bits, clear: attributes.clear | bits }
            }
            Effect::Atime(flag, on) => atime.apply(flag, on),
            Effect::Filesystem(name, on) => {
                let off = OFF.iter().find(|(on, _)| *on == name).map(|(_, off)| *off);
                parsed.filesystem.retain(|other| *other != name);
                parsed.filesystem_off.retain(|other| Some(*other) != off);
                match off {
                    _ if on => parsed.filesystem.push(name),
                    off => parsed.filesystem_off.extend(off),
                }
            }
            Effect::Propagation(bits) => parsed.propagation = bits,
            Effect::Bind { recursive } => parsed.bind = Some(recursive || parsed.bind == Some(true)),
            Effect::Remount => parsed.remount = true,
            Effect::CopyUp => parsed.copy_up = true,
            Effect::IdMap { recursive } => parsed.id_map = Some(IdMapOption { index, recursive, maps: "" }),
            Effect::CopySymlink => parsed.copy_symlink = true,
            Effect::SourceNofollow => parsed.source_nofollow = true,
            Effect::TargetNofollow => parsed.target_nofollow = true,
            Effect::Nothing => {}
        }
    }
    atime.given = atime.any() || parsed.attributes.set & NODIRATIME != 0;
    atime.add_to(&mut parsed.attributes);
    recursive_atime.add_to(&mut parsed.recursive_attributes);
    parsed
}

/// One entry may hold several options with commas between them, as in fstab(5): mount(2) takes them all as one
/// string. A comma in double quotes (`context="…:c1,c2"`) does not count, nor one after a backslash (overlay's), nor one
/// between the nodes of tmpfs (`mpol=bind:0,2`, `shmem_parse_monolithic()`).
fn split(option: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (at, letter) in option.char_indices() {
        let plain = !escaped;
        escaped = letter == '\\' && plain;
        quoted ^= letter == '"' && plain;
        let node =
            || option[start..].starts_with("mpol=") && option[at + 1..].starts_with(|next: char| next.is_ascii_digit());
        if letter == ',' && plain && !quoted && !node() {
            parts.push(start..at);
            start = at + 1;
        }
    }
    parts.push(start..option.len());
    parts.into_iter().map(|part| &option[part]).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn all_options_that_the_spec_names_are_known() {
        let spec = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime \
            noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate rshared \
            rslave runbindable rw shared silent slave strictatime suid sync unbindable mand nomand tmpcopyup nosymfollow \
            symfollow ratime rdev rdiratime rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid \
            rnosymfollow rrelatime rro rrw rstrictatime rsuid rsymfollow idmap ridmap";
        for name in options(spec) {
            assert!(names().contains(&name), "{name}");
            assert_eq!(parse(std::slice::from_ref(&name)).data, [], "{name}");
        }
    }

    #[test]
    fn the_last_word_counts() {
        let list = options("ro nosuid rw noexec exec suid nosuid");
        assert_eq!(parse(&list).attributes, Attributes { set: NOSUID, clear: RDONLY | NOEXEC });
        let list = options("sync async dirsync");
        assert_eq!(parse(&list).filesystem, ["dirsync"]);
        let list = options("private rshared");
        assert_eq!(parse(&list).propagation, SHARED | REC);
    }

    #[test]
    fn access_times_are_one_field() {
        let atime = |text: &str| parse(&options(text)).attributes;
        assert_eq!(atime("noatime"), Attributes { set: NOATIME, clear: ATIME });
        assert_eq!(atime("noatime atime"), Attributes::default());
        assert_eq!(atime("norelatime"), Attributes::default());
        assert_eq!(atime("relatime"), Attributes { set: 0, clear: ATIME });
        assert_eq!(atime("noatime strictatime relatime"), Attributes { set: STRICTATIME, clear: ATIME });
        assert_eq!(atime("strictatime nostrictatime"), Attributes::default());
        assert_eq!(atime("nodiratime"), Attributes { set: NODIRATIME, clear: ATIME });
    }

    #[test]
    fn a_bind_mount_has_what_it_names_or_what_its_source_has() {
        let bind = |text: &str| parse(&options(text)).bind_attributes(false);
        assert_eq!(bind("rbind rprivate rro"), Attributes::default());
        assert_eq!(bind("bind ro"), Attributes { set: RDONLY, clear: NOSUID | NODEV | NOEXEC | NOSYMFOLLOW });
        assert_eq!(bind("bind atime"), Attributes { set: 0, clear: RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW });
        let inside = |text: &str| parse(&options(text)).bind_attributes(true);
        assert_eq!(inside("bind ro"), Attributes { set: RDONLY, clear: NOSYMFOLLOW });
        assert_eq!(inside("bind rw"), Attributes { set: 0, clear: RDONLY | NOSYMFOLLOW });
    }

    #[test]
    fn an_r_before_an_attribute_makes_it_recursive() {
        let list = options("rbind rro nosuid rstrictatime relatime");
        let parsed = parse(&list);
        assert_eq!(parsed.bind, Some(true));
        assert_eq!(parsed.attributes, Attributes { set: NOSUID, clear: ATIME });
        assert_eq!(parsed.recursive_attributes, Attributes { set: RDONLY | STRICTATIME, clear: ATIME });
    }

    #[test]
    fn the_rest_is_for_the_filesystem() {
        let list = options(r#"size=1m,mode=755 lowerdir=/a\,b:/c context="u:r:t:c1,c2" rsize=3 mpol=bind:0,2-3,uid=1"#);
        let data = [
            (0, "size=1m"),
            (0, "mode=755"),
            (1, r"lowerdir=/a\,b:/c"),
            (2, r#"context="u:r:t:c1,c2""#),
            (3, "rsize=3"),
            (4, "mpol=bind:0,2-3"),
            (4, "uid=1"),
        ];
        assert_eq!(parse(&list).data, data);
    }
}
