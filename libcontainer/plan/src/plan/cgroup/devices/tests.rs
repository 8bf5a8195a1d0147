use super::*;
use proptest::prelude::*;

fn compiled(json: &str) -> Result<Rules> {
    rules(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).unwrap())
}

#[track_caller]
fn check(json: &str, expected: &str) {
    let printed = match compiled(json) {
        Ok(rules) => {
            let lines = rules.v1().into_iter().map(|(file, value)| format!("{} {value}", &file["devices.".len()..]));
            // What every container may do is in a test of its own.
            let default = rules_of(&[]).v1();
            let is_default = |line: &String| !rules.allow && default.iter().any(|(_, value)| line.ends_with(value));
            lines.filter(|line| line.ends_with(" a") || !is_default(line)).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(printed, expected.lines().map(str::trim).collect::<Vec<_>>().join("\n"));
}

/// Rules after the default ones.
fn rules_of(more: &[Rule]) -> Rules {
    let mut rules = super::rules(&[]).unwrap();
    for rule in more {
        rules.apply(*rule).unwrap();
    }
    rules
}

#[test]
fn everything_is_denied_at_first() {
    check("[]", "deny a");
    // GHSA-g54h-m393-cpwq: a list that does not begin with "deny everything".
    check(r#"[{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"}]"#, "deny a");
    check(
        r#"[{"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rw"}]"#,
        "deny a
         allow b 8:0 rwm",
    );
}

#[test]
fn a_rule_without_fields_is_about_everything() {
    check(r#"[{"allow": false}]"#, "deny a");
    check(r#"[{"allow": true}]"#, "allow a");
    check(r#"[{"allow": true, "type": "a", "major": -1, "minor": -1, "access": "rwm"}]"#, "allow a");
    check(r#"[{"allow": true, "type": "c"}]"#, "deny a\nallow c *:* rwm");
    check(r#"[{"allow": true, "access": "r"}]"#, "deny a\nallow b *:* rm\nallow c *:* rm");
}

/// runc and cgroup v1 take `a 1:3 r` for "everything".
#[test]
fn type_a_with_numbers_is_about_these_numbers() {
    check(
        r#"[{"allow": true, "type": "a", "major": 7, "minor": 1, "access": "r"}]"#,
        "deny a
         allow b 7:1 rm
         allow c 7:1 rm",
    );
}

#[test]
fn later_rules_win() {
    check(
        r#"[{"allow": true, "type": "c", "major": 9, "minor": 1, "access": "rwm"},
            {"allow": true, "type": "c", "major": 9, "minor": 2, "access": "rwm"},
            {"allow": false, "type": "c", "major": 9, "minor": 2, "access": "w"},
            {"allow": true, "type": "b", "major": 9, "access": "rw"},
            {"allow": false, "type": "b", "access": "rwm"}]"#,
        "deny a
         allow c 9:1 rwm
         allow c 9:2 rm",
    );
    check(
        r#"[{"allow": true}, {"allow": false, "type": "b", "major": 8, "minor": 0, "access": "rwm"}]"#,
        "allow a
         deny b 8:0 rw",
    );
}

#[test]
fn a_hole_in_a_wider_rule_is_an_error() {
    check(
        r#"[{"allow": true, "type": "c", "access": "rwm"},
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rw"}]"#,
        "config.json: /linux/resources/devices/1: the rule c 10:229 rw cannot punch a hole in the wider rule \
         c *:* rwm before it",
    );
    // Not if there is nothing to cut out.
    check(
        r#"[{"allow": true, "type": "c", "access": "r"},
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "w"}]"#,
        "deny a
         allow c *:* rm",
    );
}

#[test]
fn where_two_rules_cross_a_third_adds_them_up() {
    check(
        r#"[{"allow": true, "type": "b", "major": 8, "access": "r"}, {"allow": true, "type": "b", "minor": 1, "access": "w"}]"#,
        "deny a
         allow b *:1 wm
         allow b 8:* rm
         allow b 8:1 rwm",
    );
}

#[test]
fn mistakes_name_their_rule() {
    let prefix = "config.json: /linux/resources/devices/0";
    check(r#"[{"allow": true, "type": "p"}]"#, &format!("{prefix}/type: a FIFO is no device"));
    check(r#"[{"allow": true, "major": -2}]"#, &format!("{prefix}/major: -2 is no device number"));
    check(r#"[{"allow": true, "minor": 2147483648}]"#, &format!("{prefix}/minor: 2147483648 is no device number"));
    check(r#"[{"allow": true, "access": "rx"}]"#, &format!("{prefix}/access: 'x' is none of r, w and m"));
}

/// What is asked of the kernel: one device, some kinds of access at once.
type Request = (Kind, u32, u32, Access);

/// The law: the last rule that matches decides, for each kind of access.
fn last_match(rules: &[Rule], (kind, major, minor, access): Request) -> bool {
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let matches = |rule: &&Rule| {
            rule.access & bit != 0
                && rule.kind.is_none_or(|each| each == kind)
                && rule.major.is_none_or(|each| each == major)
                && rule.minor.is_none_or(|each| each == minor)
        };
        rules.iter().rev().find(matches).is_some_and(|rule| rule.allow)
    })
}

/// cgroup v1 of the kernel (`security/device_cgroup.c`).
fn v1(writes: &[(&str, String)], (kind, major, minor, access): Request) -> bool {
    let mut allows = true;
    let mut exceptions: Vec<(Devices, Access)> = Vec::new();
    for (file, value) in writes {
        let allow = *file == "devices.allow";
        if value == "a" {
            (allows, exceptions) = (allow, Vec::new());
            continue;
        }
        assert_ne!(allow, allows, "only exceptions are written");
        let parts: Vec<&str> = value.split([' ', ':']).collect();
        let number = |text: &str| text.parse::<u32>().ok();
        let kind = if parts[0] == "b" { Kind::Block } else { Kind::Char };
        let bit = |letter| match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => panic!("{letter}"),
        };
        let devices = Devices { kind, major: number(parts[1]), minor: number(parts[2]) };
        exceptions.push((devices, parts[3].chars().fold(0, |sum, letter| sum | bit(letter))));
    }
    let device = Devices { kind, major: Some(major), minor: Some(minor) };
    if allows {
        // match_exception_partial
        !exceptions.iter().any(|(devices, denied)| devices.covers(device) && denied & access != 0)
    } else {
        // match_exception: one alone has to allow it all
        exceptions.iter().any(|(devices, allowed)| devices.covers(device) && access & !allowed == 0)
    }
}

/// The eBPF machine, as far as it is needed.
fn run(program: &[u8], (kind, major, minor, access): Request) -> bool {
    let context = [u32::from(access) << 16 | kind as u32, major, minor];
    let mut registers = [0_u64; 11];
    let mut counter = 0_usize;
    for _ in 0..100_000 {
        let code = &program[counter * 8..counter * 8 + 8];
        let (dst, src) = (usize::from(code[1] & 15), usize::from(code[1] >> 4));
        let offset = i16::from_ne_bytes([code[2], code[3]]);
        let immediate = i32::from_ne_bytes([code[4], code[5], code[6], code[7]]);
        let word = u32::from_ne_bytes(immediate.to_ne_bytes());
        let wide = i64::from(immediate) as u64;
        let low = |register: u64| u32::try_from(register & 0xffff_ffff).unwrap();
        counter += 1;
        let jump = match code[0] {
            LDX_W => {
                assert_eq!(src, 1, "only the context is read");
                registers[dst] = context[usize::try_from(offset).unwrap() / 4].into();
                false
            }
            MOV32_REG => {
                registers[dst] = low(registers[src]).into();
                false
            }
            AND32 => {
                registers[dst] = (low(registers[dst]) & word).into();
                false
            }
            RSH32 => {
                registers[dst] = (low(registers[dst]) >> word).into();
                false
            }
            MOV64 => {
                registers[dst] = wide;
                false
            }
            JA => true,
            JNE => registers[dst] != wide,
            JSET => registers[dst] & wide != 0,
            EXIT => {
                assert!(registers[0] < 2, "the verifier wants 0 or 1");
                return registers[0] == 1;
            }
            other => panic!("unknown code {other:#x}"),
        };
        if jump {
            counter = counter.checked_add_signed(offset.into()).unwrap();
        }
    }
    panic!("the program does not end");
}

fn number() -> impl Strategy<Value = Option<u32>> {
    proptest::option::weighted(0.6, prop_oneof![0..3_u32, Just(136), Just(i32::MAX as u32)])
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Block), Just(Kind::Char)]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let rule = (any::<bool>(), proptest::option::weighted(0.8, any_kind()), number(), number(), 1..=ALL);
    rule.prop_map(|(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access })
}

fn requests() -> Vec<Request> {
    let mut requests = Vec::new();
    for kind in [Kind::Block, Kind::Char] {
        for major in [0, 1, 2, 3, 136, i32::MAX as u32] {
            for minor in [0, 1, 2, 3, 136, i32::MAX as u32] {
                requests.extend((1..=ALL).map(|access| (kind, major, minor, access)));
            }
        }
    }
    requests
}

proptest! {
    /// Whatever the rules, the model, cgroup v1 and the program of v2 all obey the law; and no rule is refused
    /// but those that cut a hole.
    #[test]
    fn the_last_matching_rule_decides(all in proptest::collection::vec(any_rule(), 0..9)) {
        let mut rules = Rules::default();
        let mut taken = Vec::new();
        for rule in all {
            let before = rules.clone();
            match rules.apply(rule) {
                Ok(()) => taken.push(rule),
                // It stays as it was but for bits that the refused rule was to change anyway; start over from there.
                Err(message) => {
                    prop_assert!(message.contains("punch a hole"));
                    rules = before;
                }
            }
        }
        let (writes, program) = (rules.v1(), rules.program());
        for request in requests() {
            let expected = last_match(&taken, request);
            prop_assert_eq!(v1(&writes, request), expected, "v1: {:?} {:?} {:?}", request, &taken, &writes);
            prop_assert_eq!(run(&program, request), expected, "v2: {:?} {:?}", request, &taken);
        }
    }
}

#[test]
fn the_default_rules_open_the_default_devices() {
    let program = rules_of(&[]).program();
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 77), (10, 200)] {
        assert!(run(&program, (Kind::Char, major, minor, READ | WRITE)), "{major}:{minor}");
    }
    for (kind, major, minor) in
        [(Kind::Char, 1, 1), (Kind::Char, 1, 11), (Kind::Char, 10, 229), (Kind::Block, 8, 0), (Kind::Block, 1, 3)]
    {
        assert!(!run(&program, (kind, major, minor, READ)), "{kind:?} {major}:{minor}");
        // Everything may be made; opening it is another matter.
        assert!(run(&program, (kind, major, minor, MKNOD)), "{kind:?} {major}:{minor}");
    }
}
