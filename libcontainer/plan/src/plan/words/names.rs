//! The words that host and init share: names of numbers, lists, maps, command lines.
#![forbid(unsafe_code)]

use super::EnvValues;
use crate::plan::line::IdMap;
use oci_spec::runtime::LinuxNamespaceType;
use std::fmt::{self, Write as _};
use step::{Device, Link};

pub(super) fn push(detail: &mut String, more: &str) {
    if !more.is_empty() {
        detail.push(' ');
        detail.push_str(more);
    }
}

pub(super) fn joined<T: fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

pub(super) fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text.trim_start().to_owned() }
}

pub(super) fn limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

/// As it is if that is one word.
pub(super) fn quoted(text: &str) -> String {
    let plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '"';
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

pub(super) fn namespace_names(namespaces: u32) -> String {
    use LinuxNamespaceType::*;
    const NAMES: &[(LinuxNamespaceType, &str)] = &[
        (User, "user"),
        (Pid, "pid"),
        (Network, "network"),
        (Ipc, "ipc"),
        (Uts, "uts"),
        (Mount, "mount"),
        (Cgroup, "cgroup"),
        (Time, "time"),
    ];
    joined(NAMES.iter().filter(|(kind, _)| namespaces & *kind as u32 != 0).map(|(_, name)| name), ",")
}

/// `0-3,7` for a bit mask of native words.
pub(super) fn bits(mask: &[u8]) -> String {
    let words: Vec<usize> = mask
        .chunks_exact(size_of::<usize>())
        .map(|bytes| usize::from_ne_bytes(bytes.try_into().unwrap_or_default()))
        .collect();
    let width = usize::BITS as usize;
    let is_set = |bit: usize| words.get(bit / width).is_some_and(|word| word & (1 << (bit % width)) != 0);
    let mut ranges: Vec<String> = Vec::new();
    let mut bit = 0;
    while bit < words.len() * width {
        if is_set(bit) {
            let last = (bit..).find(|next| !is_set(next + 1)).unwrap_or(bit);
            ranges.push(if bit == last { bit.to_string() } else { format!("{bit}-{last}") });
            bit = last;
        }
        bit += 1;
    }
    ranges.join(",")
}

/// The strings of a block.
pub(super) fn strings(block: &[u8]) -> Vec<String> {
    let texts = block.split_inclusive(|byte| *byte == 0).map(|text| text.strip_suffix(&[0]).unwrap_or(text));
    texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

pub(super) fn command(argv: &[u8], environment: &[u8], env: EnvValues) -> String {
    let mut detail = joined(strings(argv).iter().map(|text| quoted(text)), " ");
    let entries = strings(environment);
    if !entries.is_empty() {
        let shown = |entry: &String| match entry.split_once('=') {
            Some((name, _)) if env == EnvValues::Hidden => name.to_owned(),
            _ => quoted(entry),
        };
        let _ = write!(detail, " env {}", joined(entries.iter().map(shown), " "));
    }
    detail
}

/// `c 1:3`
pub(super) fn number(device: &Device) -> String {
    let Device { kind, major, minor } = device;
    match kind >> 12 {
        0o2 => format!("c {major}:{minor}"),
        0o6 => format!("b {major}:{minor}"),
        _ => "p".to_owned(),
    }
}

/// `c 1:3 0666`, and whose it is if not root's.
pub(super) fn node(device: &Device, mode: u32, uid: u32, gid: u32) -> String {
    let owner = if (uid, gid) == (0, 0) { String::new() } else { format!(" {uid}:{gid}") };
    format!("{} {mode:04o}{owner}", number(device))
}

pub(super) fn link_name(link: Link) -> &'static str {
    match link {
        Link::Follow => "",
        Link::Copy => "copy-symlink",
        Link::Bind => "src-nofollow",
    }
}

pub(super) fn maps(maps: &[IdMap]) -> String {
    joined(maps.iter().map(|map| format!("{}:{}:{}", map.container_id, map.host_id, map.size)), ",")
}

pub(super) fn both_maps(uid: &[IdMap], gid: &[IdMap]) -> String {
    format!("uid {} gid {}", maps(uid), maps(gid))
}
