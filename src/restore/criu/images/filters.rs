//! The filters in `seccomp.img` (criu: `images/seccomp.proto`).
//!
//! Those of elsewhen's have lost their listener with the dump, and what they notified is to be allowed. They are
//! known by the cookie that they compare with. Filters of anybody else's stay as they are, byte for byte: who
//! refuses calls by asking somebody must not allow them for want of an answer.

use super::MAGIC_LEN;
use super::protobuf::{Value, all_fields, put_bytes, put_number};
use crate::page::COOKIE;

/// `seccomp_entry.seccomp_filters`; and of each its program, and the one that was there before it.
const FILTERS: u64 = 1;
const PROGRAM: u64 = 1;
const BEFORE: u64 = 2;

/// The length of a BPF instruction.
const INSTRUCTION: usize = 8;

/// `BPF_RET | BPF_K` with `SECCOMP_RET_USER_NOTIF`, and with `SECCOMP_RET_ALLOW`.
const NOTIFY: [u8; INSTRUCTION] = [6, 0, 0, 0, 0, 0, 0xc0, 0x7f];
const ALLOW: [u8; INSTRUCTION] = [6, 0, 0, 0, 0, 0, 0xff, 0x7f];

struct Filter<'a> {
    program: Vec<u8>,
    before: Option<u64>,
    others: Vec<&'a [u8]>,
}

/// A file of filters that notify no supervisor of elsewhen's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passing {
    pub(super) file: Vec<u8>,
    /// Whether one of them notifies somebody else.
    pub(super) has_foreign: bool,
}

/// The file with filters of ours that allow what they notified; one that does nothing else is left out of
/// the line of those behind it. `None` if it is of an unknown form.
pub(super) fn let_pass(file: &[u8]) -> Option<Passing> {
    let (magic, rest) = file.split_at_checked(MAGIC_LEN)?;
    let (len, message) = rest.split_at_checked(4)?;
    if message.len() as u64 != u64::from(u32::from_le_bytes(len.try_into().ok()?)) {
        return None;
    }
    let mut filters = Vec::new();
    for field in all_fields(message)? {
        match (field.number, field.value) {
            (FILTERS, Value::Bytes(filter)) => filters.push(Filter::read(filter)?),
            _ => return None,
        }
    }
    // One stands behind those before it.
    for at in 0..filters.len() {
        let mut before = filters[at].before;
        while let Some(other) = before.and_then(|other| filters.get(usize::try_from(other).ok()?))
            && other.program == ALLOW
            && other.before < before
        {
            before = other.before;
        }
        filters[at].before = before;
    }
    let mut message = Vec::new();
    for filter in &filters {
        put_bytes(&mut message, FILTERS, &filter.written());
    }
    let mut file = magic.to_vec();
    file.extend(u32::try_from(message.len()).ok()?.to_le_bytes());
    file.extend(message);
    Some(Passing {
        file,
        has_foreign: filters.iter().any(|filter| notifies(&filter.program)),
    })
}

impl<'a> Filter<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut filter = Self {
            program: Vec::new(),
            before: None,
            others: Vec::new(),
        };
        for field in all_fields(message)? {
            match (field.number, field.value) {
                (PROGRAM, Value::Bytes(program)) => filter.program = passing(program)?,
                (BEFORE, Value::Number(before)) => filter.before = Some(before),
                _ => filter.others.push(field.whole),
            }
        }
        (!filter.program.is_empty()).then_some(filter)
    }

    fn written(&self) -> Vec<u8> {
        let mut message = Vec::new();
        put_bytes(&mut message, PROGRAM, &self.program);
        if let Some(before) = self.before {
            put_number(&mut message, BEFORE, before);
        }
        message.extend(self.others.concat());
        message
    }
}

/// The program; one of ours with all that was notified allowed.
fn passing(program: &[u8]) -> Option<Vec<u8>> {
    let (instructions, []) = program.as_chunks::<INSTRUCTION>() else {
        return None;
    };
    if !notifies(program) || !is_ours(instructions) {
        return Some(program.to_vec());
    }
    let passing = instructions.iter().map(|one| match *one {
        NOTIFY => ALLOW,
        other => other,
    });
    let passing: Vec<[u8; INSTRUCTION]> = passing.collect();
    // `BPF_CLASS`: all that can be returned.
    let mut returns = passing.iter().filter(|one| one[0] & 7 == 6);
    Some(match returns.all(|one| *one == ALLOW) {
        true => ALLOW.to_vec(),
        false => passing.concat(),
    })
}

fn notifies(program: &[u8]) -> bool {
    program.as_chunks::<INSTRUCTION>().0.contains(&NOTIFY)
}

/// Whether both halves of the cookie are compared with: by each filter that `elsewhen run` makes, and by each that
/// a runtime makes of a profile of ours.
fn is_ours(instructions: &[[u8; INSTRUCTION]]) -> bool {
    let [low, high] = [COOKIE, COOKIE >> 32].map(|half| half.to_le_bytes());
    [low, high].iter().all(|half| {
        // `BPF_JMP` with `BPF_K`.
        let compares = |one: &[u8; INSTRUCTION]| one[0] & 0xf == 5 && one[4..] == half[..4];
        instructions.iter().any(compares)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: [u8; 8] = [0x20, 0, 0, 0, 4, 0, 0, 0];
    const REFUSE: [u8; 8] = [6, 0, 0, 0, 1, 0, 5, 0];

    /// `jeq #k, next, next`.
    fn compare(k: u64) -> [u8; 8] {
        let k = k.to_le_bytes();
        [0x15, 0, 0, 0, k[0], k[1], k[2], k[3]]
    }

    /// A program that asks for the cookie, and then does this.
    fn ours(rest: &[[u8; 8]]) -> Vec<[u8; 8]> {
        [&[compare(COOKIE), compare(COOKIE >> 32)], rest].concat()
    }

    fn file(filters: &[(Vec<[u8; 8]>, Option<u64>)]) -> Vec<u8> {
        let mut message = Vec::new();
        for (program, before) in filters {
            let filter = Filter {
                program: program.concat(),
                before: *before,
                others: vec![&[0x18, 1]],
            };
            put_bytes(&mut message, FILTERS, &filter.written());
        }
        let len = u32::try_from(message.len()).unwrap().to_le_bytes();
        [b"magic123", &len[..], &message].concat()
    }

    fn passed(file: Vec<u8>, has_foreign: bool) -> Option<Passing> {
        Some(Passing { file, has_foreign })
    }

    #[test]
    fn a_filter_that_only_notifies_is_left_out_of_the_line() {
        let before = [
            (vec![LOAD, REFUSE, ALLOW], None),
            (vec![ALLOW], Some(0)),
            (ours(&[NOTIFY, ALLOW]), Some(1)),
            (ours(&[REFUSE, NOTIFY]), Some(2)),
        ];
        let after = [
            (vec![LOAD, REFUSE, ALLOW], None),
            (vec![ALLOW], Some(0)),
            (vec![ALLOW], Some(0)),
            (ours(&[REFUSE, ALLOW]), Some(0)),
        ];
        assert_eq!(let_pass(&file(&before)), passed(file(&after), false));
        // Once more changes nothing.
        assert_eq!(let_pass(&file(&after)), passed(file(&after), false));
    }

    #[test]
    fn a_filter_of_somebody_elses_goes_on_to_notify() {
        let half = [compare(COOKIE), NOTIFY, ALLOW].to_vec();
        for foreign in [vec![LOAD, NOTIFY, REFUSE], vec![NOTIFY], half] {
            let before = [
                (foreign.clone(), None),
                (ours(&[NOTIFY, ALLOW]), Some(0)),
                (vec![LOAD, REFUSE], Some(1)),
            ];
            let after = [
                (foreign, None),
                (vec![ALLOW], Some(0)),
                (vec![LOAD, REFUSE], Some(0)),
            ];
            assert_eq!(let_pass(&file(&before)), passed(file(&after), true));
        }
    }

    #[test]
    fn each_filter_of_a_tree_is_known_for_ours() {
        for bits in 0..64 {
            let has = |bit: u32| bits >> bit & 1 == 1;
            let program = crate::filter::program(crate::filter::Rules {
                strict: has(0),
                x32: has(1),
                shifted: crate::filter::Shifted {
                    realtime: true,
                    monotonic: has(2),
                    boottime: has(3),
                },
                timens: has(4),
                views: has(5),
            });
            let bytes = program.iter().map(|one| {
                let [c0, c1] = one.code.to_le_bytes();
                let [k0, k1, k2, k3] = one.k.to_le_bytes();
                [c0, c1, one.jt, one.jf, k0, k1, k2, k3]
            });
            let bytes: Vec<[u8; 8]> = bytes.collect();
            assert!(notifies(&bytes.concat()) && is_ours(&bytes), "{bits:b}");
        }
    }

    #[test]
    fn a_damaged_file_is_not_understood() {
        let whole = file(&[(vec![LOAD, NOTIFY], None), (vec![ALLOW], Some(0))]);
        for cut in 0..whole.len() {
            assert_eq!(let_pass(&whole[..cut]), None, "{cut}");
        }
        // No program of whole instructions.
        let mut odd = Vec::new();
        put_bytes(&mut odd, PROGRAM, &[1, 2, 3]);
        assert!(Filter::read(&odd).is_none());
    }
}
