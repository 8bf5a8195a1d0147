//! What holds for every list of options: said once more, name by name, for tests and the fuzzer.
use super::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, Options, PRIVATE, RDONLY, REC, SHARED, SLAVE,
    STRICTATIME, UNBINDABLE, names, parse,
};
use step::Attributes;

/// Which names set and clear what; of the two the last in the list counts.
const SWITCHES: [(&str, &str, u64); 6] = [
    ("ro", "rw", RDONLY),
    ("nosuid", "suid", NOSUID),
    ("nodev", "dev", NODEV),
    ("noexec", "exec", NOEXEC),
    ("nodiratime", "diratime", NODIRATIME),
    ("nosymfollow", "symfollow", NOSYMFOLLOW),
];

pub fn hold(options: &[String]) {
    let parsed = parse(options);
    attributes_are_as_the_last_names_say(options, &parsed);
    flags_are_as_the_names_say(options, &parsed);
    the_rest_is_the_filesystems(options, &parsed);
    a_bind_mount_has_what_it_asks_for(options, &parsed);
}

/// Which of these names comes last.
fn last<'a>(options: &'a [String], of: &[&str]) -> Option<&'a str> {
    options.iter().rev().map(String::as_str).find(|option| of.contains(option))
}

fn is_on(options: &[String], on: &str, off: &str) -> bool {
    last(options, &[on, off]) == Some(on)
}

fn attributes_are_as_the_last_names_say(options: &[String], parsed: &Options<'_>) {
    for (attributes, recursive) in [(parsed.attributes, ""), (parsed.recursive_attributes, "r")] {
        let name = |name: &str| format!("{recursive}{name}");
        let mut known = ATIME;
        for (set, clear, bit) in SWITCHES {
            let (set, clear) = (name(set), name(clear));
            let last = last(options, &[&set, &clear]);
            assert_eq!(attributes.set & bit != 0, last == Some(&set), "{set} in {options:?}");
            assert_eq!(attributes.clear & bit != 0, last == Some(&clear), "{clear} in {options:?}");
            known |= bit;
        }
        // mount_setattr(2) takes none of these for a value of the field unless the field is cleared.
        let times = attributes.set & ATIME;
        assert!(times == 0 || attributes.clear & ATIME == ATIME, "{options:?}");
        let strict = is_on(options, &name("strictatime"), &name("nostrictatime"));
        let no = is_on(options, &name("noatime"), &name("atime"));
        assert_eq!(times, if strict { STRICTATIME } else { u64::from(no) * NOATIME }, "{options:?}");
        assert_eq!((attributes.set | attributes.clear) & !known, 0, "{options:?}");
        assert_eq!(attributes.set & attributes.clear & !ATIME, 0, "{options:?}");
    }
}

fn flags_are_as_the_names_say(options: &[String], parsed: &Options<'_>) {
    let kinds = [("private", PRIVATE), ("shared", SHARED), ("slave", SLAVE), ("unbindable", UNBINDABLE)];
    let all: Vec<_> =
        (kinds.iter()).flat_map(|(name, bits)| [(name.to_string(), *bits), (format!("r{name}"), bits | REC)]).collect();
    let named = options.iter().rev().find_map(|option| all.iter().find(|(name, _)| name == option));
    assert_eq!(parsed.propagation, named.map_or(0, |(_, bits)| *bits), "{options:?}");

    let has = |name: &str| options.iter().any(|option| option == name);
    assert_eq!(parsed.bind, (has("bind") || has("rbind")).then(|| has("rbind")), "{options:?}");
    assert_eq!((parsed.source_nofollow, parsed.target_nofollow), (has("src-nofollow"), has("dest-nofollow")));
    assert_eq!(
        (parsed.remount, parsed.copy_up, parsed.copy_symlink),
        (has("remount"), has("tmpcopyup"), has("copy-symlink"))
    );
    for (on, off) in [("sync", "async"), ("dirsync", ""), ("lazytime", "nolazytime"), ("mand", "nomand")] {
        let count = parsed.filesystem.iter().filter(|name| **name == on).count();
        assert_eq!(count, usize::from(has(on) && (off.is_empty() || is_on(options, on, off))), "{on} in {options:?}");
    }
}

/// None of it lost, and nothing known among it.
fn the_rest_is_the_filesystems(options: &[String], parsed: &Options<'_>) {
    let known = names();
    let is_known =
        |option: &String| known.contains(option) || option.starts_with("idmap=") || option.starts_with("ridmap=");
    for (index, option) in options.iter().enumerate() {
        let parts: Vec<_> = parsed.data.iter().filter(|(at, _)| *at == index).map(|(_, part)| *part).collect();
        if is_known(option) {
            assert!(parts.is_empty(), "{option:?}");
        } else {
            let without_commas = |text: &str| text.replace(',', "");
            assert_eq!(without_commas(&parts.concat()), without_commas(option));
            assert!(parts.iter().all(|part| !part.is_empty()), "{option:?}");
        }
    }
    assert!(parsed.data.is_sorted_by_key(|(index, _)| *index));
}

/// A bind mount never gets less than it asks for; in a user namespace it does not touch what the kernel has locked.
fn a_bind_mount_has_what_it_asks_for(options: &[String], parsed: &Options<'_>) {
    for inside in [false, true] {
        let Attributes { set, clear } = parsed.bind_attributes(inside);
        assert_eq!(set, parsed.attributes.set);
        assert_eq!(clear & parsed.attributes.clear, parsed.attributes.clear);
        assert_eq!(set & clear & !ATIME, 0, "{options:?}");
        assert!(!inside || clear & !parsed.attributes.clear & !NOSYMFOLLOW == 0, "{options:?}");
    }
}
