//! The part of classic BPF that seccomp has: what a filter says to a call. Only for filters that were compiled here.
#![forbid(unsafe_code)]
use super::emit::{AND, EQUAL, GREATER, GREATER_OR_EQUAL, Instruction, JUMP, LOAD, RETURN};

/// `struct seccomp_data`
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Data {
    pub(super) number: u32,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
    /// Of the host that is simulated.
    pub(super) big_endian: bool,
}

impl Data {
    /// What may be loaded.
    fn word(&self, offset: u32) -> Option<u32> {
        let argument = |i: u32, shift: u32| (self.arguments[i as usize] >> shift & 0xffff_ffff).try_into().ok();
        match offset {
            0 => Some(self.number),
            4 => Some(self.architecture),
            16..64 if offset % 4 == 0 => {
                let low = (offset % 8 == 0) != self.big_endian;
                argument((offset - 16) / 8, if low { 0 } else { 32 })
            }
            _ => None,
        }
    }
}

pub(super) fn decode(filter: &[u8]) -> Vec<Instruction> {
    let instruction = |raw: &[u8]| match *raw {
        [a, b, jt, jf, c, d, e, f] => {
            Instruction { code: u16::from_ne_bytes([a, b]), jt, jf, k: u32::from_ne_bytes([c, d, e, f]) }
        }
        _ => panic!("not a whole instruction"),
    };
    filter.chunks(8).map(instruction).collect()
}

#[cfg(any(test, fuzzing, feature = "laws"))]
/// Whether the kernel would take it: bpf_check_classic() and seccomp_check_filter().
pub(super) fn is_accepted(program: &[Instruction]) -> bool {
    let inside = |at: usize, jump: u32| at + 1 + (jump as usize) < program.len();
    let fits = |(at, one): (usize, &Instruction)| match one.code {
        LOAD => Data::default().word(one.k).is_some(),
        AND | RETURN => true,
        JUMP => inside(at, one.k),
        EQUAL | GREATER | GREATER_OR_EQUAL => inside(at, one.jt.into()) && inside(at, one.jf.into()),
        _ => false,
    };
    let ends = program.last().is_some_and(|last| last.code == RETURN);
    ends && program.len() <= super::MOST_INSTRUCTIONS && program.iter().enumerate().all(fits)
}

/// What the kernel would do. A program that its checker would refuse panics.
pub(super) fn run(program: &[Instruction], data: &Data) -> u32 {
    const JUMP_IF_SET: u16 = 0x45;
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        let jump = |condition: bool| usize::from(if condition { jt } else { jf });
        at += 1;
        match code {
            LOAD => accumulator = data.word(k).expect("aligned, and inside of seccomp_data"),
            AND => accumulator &= k,
            JUMP => at += k as usize,
            EQUAL => at += jump(accumulator == k),
            GREATER => at += jump(accumulator > k),
            GREATER_OR_EQUAL => at += jump(accumulator >= k),
            JUMP_IF_SET => at += jump(accumulator & k != 0),
            RETURN => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}
