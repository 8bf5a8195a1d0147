//! [Allowed devices](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#allowed-device-list):
//! one model of the rules for both versions of control groups.
//!
//! The law of the model: everything is denied at first, and for each device and kind of access the last rule
//! that matches decides. The state is what cgroup v1 keeps, a default and its exceptions, so a rule that would
//! cut a hole into a wider exception is an error: v1 would silently ignore it.
//!
//! Rules are never replayed one by one, and never onto what the group had before (GHSA-g54h-m393-cpwq).
#![forbid(unsafe_code)]
use super::resources::invalid;
use super::systemd::{Property, Value};
use crate::Result;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::collections::BTreeMap;

/// What an open or a mknod asks for; the bits are the kernel's `BPF_DEVCG_ACC_*`.
pub(super) type Access = u8;
pub(super) const MKNOD: Access = 1;
pub(super) const READ: Access = 2;
pub(super) const WRITE: Access = 4;
pub(super) const ALL: Access = MKNOD | READ | WRITE;

/// The values are the kernel's `BPF_DEVCG_DEV_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block = 1,
    Char = 2,
}

/// Some devices: `None` stands for every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Devices {
    pub kind: Kind,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

impl Devices {
    fn covers(self, other: Devices) -> bool {
        let wider = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && wider(self.major, other.major) && wider(self.minor, other.minor)
    }

    fn meets(self, other: Devices) -> bool {
        let common = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && common(self.major, other.major) && common(self.minor, other.minor)
    }
}

impl std::fmt::Display for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = if self.kind == Kind::Block { 'b' } else { 'c' };
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// `rwm`, as cgroup v1 reads and prints it.
fn letters(access: Access) -> String {
    [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')].iter().filter(|(bit, _)| access & bit != 0).map(|(_, c)| *c).collect()
}

/// A default and what is different from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    allow: bool,
    exceptions: BTreeMap<Devices, Access>,
}

/// One rule of config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub allow: bool,
    /// `None` for both.
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: Access,
}

/// What every container may do, whatever config.json says: make any node, and use the devices that the default
/// `/dev` holds, its terminals and tun.
const DEFAULT: [(Kind, Option<u32>, Option<u32>, Access); 11] = [
    (Kind::Char, None, None, MKNOD),
    (Kind::Block, None, None, MKNOD),
    (Kind::Char, Some(1), Some(3), ALL),    // null
    (Kind::Char, Some(1), Some(8), ALL),    // random
    (Kind::Char, Some(1), Some(7), ALL),    // full
    (Kind::Char, Some(5), Some(0), ALL),    // tty
    (Kind::Char, Some(1), Some(5), ALL),    // zero
    (Kind::Char, Some(1), Some(9), ALL),    // urandom
    (Kind::Char, Some(136), None, ALL),     // pts
    (Kind::Char, Some(5), Some(2), ALL),    // ptmx
    (Kind::Char, Some(10), Some(200), ALL), // tun
];

/// The state after the rules of config.json and the default ones, which go last and so win.
pub(super) fn rules(devices: &[LinuxDeviceCgroup]) -> Result<Rules> {
    let mut rules = Rules::default();
    for (i, device) in devices.iter().enumerate() {
        let origin = format!("/devices/{i}");
        rules.apply(rule(device, &origin)?).map_err(|message| invalid(&origin, message))?;
    }
    for (kind, major, minor, access) in DEFAULT {
        let rule = Rule { allow: true, kind: Some(kind), major, minor, access };
        rules.apply(rule).map_err(|message| invalid("/devices", format!("default device rules: {message}")))?;
    }
    Ok(rules)
}

/// A field that is not there does not restrict the rule.
fn rule(device: &LinuxDeviceCgroup, origin: &str) -> Result<Rule> {
    let kind = match device.typ().unwrap_or_default() {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(Kind::Block),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Char),
        LinuxDeviceType::P => {
            return Err(invalid(&format!("{origin}/type"), "a FIFO is no device"));
        }
    };
    let number = |key: &str, number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        // The program compares signed 32 bits; the kernel's numbers have 12 and 20.
        Some(number) => match i32::try_from(number).ok().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(&format!("{origin}/{key}"), format!("{number} is no device number"))),
        },
    };
    let mut access = 0;
    for letter in device.access().as_deref().unwrap_or_default().chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            // Not in the spec, but runc passes over it: `a` is a type, not an access.
            'a' => 0,
            _ => {
                return Err(invalid(&format!("{origin}/access"), format!("{letter:?} is none of r, w and m")));
            }
        };
    }
    let access = if access == 0 { ALL } else { access };
    let (major, minor) = (number("major", device.major())?, number("minor", device.minor())?);
    Ok(Rule { allow: device.allow(), kind, major, minor, access })
}

impl Rules {
    /// The state after one more rule, or why that cannot be expressed.
    pub(super) fn apply(&mut self, rule: Rule) -> std::result::Result<(), String> {
        let Rule { allow, kind, major, minor, access } = rule;
        if kind.is_none() && major.is_none() && minor.is_none() && access == ALL {
            *self = Rules { allow, exceptions: BTreeMap::new() };
            return Ok(());
        }
        let kinds = [Kind::Block, Kind::Char].into_iter().filter(|each| kind.is_none_or(|kind| kind == *each));
        for devices in kinds.map(|kind| Devices { kind, major, minor }) {
            if allow != self.allow {
                *self.exceptions.entry(devices).or_default() |= access;
                continue;
            }
            for (exception, excepted) in &mut self.exceptions {
                if devices.covers(*exception) {
                    *excepted &= !access;
                } else if devices.meets(*exception) && *excepted & access != 0 {
                    let (devices, access) = (format!("{devices} {}", letters(access)), letters(*excepted));
                    return Err(format!(
                        "the rule {devices} cannot punch a hole in the wider rule {exception} {access} before it"
                    ));
                }
            }
            self.exceptions.retain(|_, excepted| *excepted != 0);
        }
        Ok(())
    }

    /// The exceptions in a form where one alone decides: the kernel's v1 does not add up what several
    /// exceptions allow, so each gets what wider ones give, and where two cross there is a third.
    fn exceptions(&self) -> BTreeMap<Devices, Access> {
        let mut all = self.exceptions.clone();
        for a in self.exceptions.keys() {
            for b in self.exceptions.keys() {
                if a.meets(*b) && a.minor.is_none() && b.major.is_none() {
                    all.entry(Devices { kind: a.kind, major: a.major, minor: b.minor }).or_default();
                }
            }
        }
        let sum = |devices: Devices| {
            let covering = self.exceptions.iter().filter(|(wider, _)| wider.covers(devices));
            covering.fold(0, |sum, (_, access)| sum | access)
        };
        for (devices, access) in &mut all {
            *access = sum(*devices);
        }
        // What a wider exception says already need not be said again.
        let said = |devices: Devices, access: Access| {
            let wider = all.iter().filter(|(wider, _)| **wider != devices && wider.covers(devices));
            wider.into_iter().any(|(_, wider)| access & !wider == 0)
        };
        all.iter().filter(|(devices, access)| !said(**devices, **access)).map(|(d, a)| (*d, *a)).collect()
    }

    /// cgroup v1: what is written to which file.
    pub(super) fn v1(&self) -> Vec<(&'static str, String)> {
        let (default, exception) =
            if self.allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
        let mut writes = vec![(default, "a".to_owned())];
        writes.extend(
            self.exceptions().iter().map(|(devices, access)| (exception, format!("{devices} {}", letters(*access)))),
        );
        writes
    }

    /// The same to systemd, which cannot say everything: with cgroup v2, where our program decides as well, it allows rather
    /// too much than too little, and with cgroup v1, where it is alone after a daemon-reload, the other way round.
    pub(super) fn systemd(&self, unified: bool) -> Vec<Property> {
        if self.allow {
            return Vec::new();
        }
        let said = |(devices, access): (Devices, Access)| {
            let kind = if devices.kind == Kind::Block { "block" } else { "char" };
            let name = match (devices.major, devices.minor) {
                (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
                (Some(major), None) => format!("{kind}-{major}"),
                (None, Some(_)) if !unified => return None,
                (None, _) => format!("{kind}-*"),
            };
            Some((name, letters(access)))
        };
        let allowed = self.exceptions().into_iter().filter_map(said).collect();
        let policy = Property { name: "DevicePolicy", value: Value::Text("strict".to_owned()) };
        vec![policy, Property { name: "DeviceAllow", value: Value::Pairs(allowed) }]
    }

    /// cgroup v2: a program of type `BPF_PROG_TYPE_CGROUP_DEVICE` (instructions of 8 bytes, native order).
    pub(super) fn program(&self) -> Vec<u8> {
        let mut code = vec![
            insn(LDX_W, 2, 1, 0, 0), // r2 = ctx->access_type: the kind in the low half, the access in the high
            insn(LDX_W, 3, 1, 4, 0), // r3 = ctx->major
            insn(LDX_W, 4, 1, 8, 0), // r4 = ctx->minor
            insn(MOV32_REG, 5, 2, 0, 0),
            insn(AND32, 5, 0, 0, 0xffff), // r5 = kind
            insn(RSH32, 2, 0, 0, 16),     // r2 = access that is asked for
        ];
        for (devices, access) in self.exceptions() {
            let body = if self.allow {
                vec![
                    // A bit of what is asked for is denied: return 0.
                    insn(JSET, 2, 0, 1, i32::from(access)),
                    insn(JA, 0, 0, 2, 0),
                    insn(MOV64, 0, 0, 0, 0),
                    insn(EXIT, 0, 0, 0, 0),
                ]
            } else {
                vec![
                    // Every bit of what is asked for is allowed: return 1.
                    insn(JSET, 2, 0, 2, i32::from(!access & ALL)),
                    insn(MOV64, 0, 0, 0, 1),
                    insn(EXIT, 0, 0, 0, 0),
                ]
            };
            let mut conditions = vec![(5, Some(devices.kind as u32)), (3, devices.major), (4, devices.minor)];
            conditions.retain(|(_, number)| number.is_some());
            for (i, (register, number)) in conditions.iter().enumerate() {
                // At most three conditions and four instructions; numbers fit by `rule`.
                let skip = i16::try_from(conditions.len() - 1 - i + body.len()).unwrap_or_default();
                let number = number.and_then(|number| i32::try_from(number).ok()).unwrap_or(-1);
                code.push(insn(JNE, *register, 0, skip, number));
            }
            code.extend(body);
        }
        code.push(insn(MOV64, 0, 0, 0, i32::from(self.allow)));
        code.push(insn(EXIT, 0, 0, 0, 0));
        code.concat()
    }
}

// Operation codes of eBPF (kernel: `Documentation/bpf/standardization/instruction-set.rst`).
const LDX_W: u8 = 0x61;
const MOV32_REG: u8 = 0xbc;
const AND32: u8 = 0x54;
const RSH32: u8 = 0x74;
const MOV64: u8 = 0xb7;
const JA: u8 = 0x05;
const JNE: u8 = 0x55;
const JSET: u8 = 0x45;
const EXIT: u8 = 0x95;

fn insn(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> [u8; 8] {
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
    [code, registers, o0, o1, i0, i1, i2, i3]
}

#[cfg(test)]
mod tests;
