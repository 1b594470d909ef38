//! The filters in `seccomp.img` (criu: `images/seccomp.proto`).

use super::MAGIC_LEN;
use super::protobuf::{Value, all_fields, put_bytes, put_number};

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

/// The file with filters that allow what they notified; one that does nothing else is left out of the
/// line of those behind it. `None` if it is of an unknown form.
pub(super) fn let_pass(file: &[u8]) -> Option<Vec<u8>> {
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
    Some(file)
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

/// The program with all that was notified allowed.
fn passing(program: &[u8]) -> Option<Vec<u8>> {
    let (instructions, []) = program.as_chunks::<INSTRUCTION>() else {
        return None;
    };
    if !instructions.contains(&NOTIFY) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: [u8; 8] = [0x20, 0, 0, 0, 4, 0, 0, 0];
    const REFUSE: [u8; 8] = [6, 0, 0, 0, 1, 0, 5, 0];

    fn file(filters: &[(&[[u8; 8]], Option<u64>)]) -> Vec<u8> {
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

    #[test]
    fn a_filter_that_only_notifies_is_left_out_of_the_line() {
        let before: &[(&[[u8; 8]], _)] = &[
            (&[LOAD, REFUSE, ALLOW], None),
            (&[ALLOW], Some(0)),
            (&[LOAD, NOTIFY, ALLOW], Some(1)),
            (&[LOAD, REFUSE, NOTIFY], Some(2)),
        ];
        let after: &[(&[[u8; 8]], _)] = &[
            (&[LOAD, REFUSE, ALLOW], None),
            (&[ALLOW], Some(0)),
            (&[ALLOW], Some(0)),
            (&[LOAD, REFUSE, ALLOW], Some(0)),
        ];
        assert_eq!(let_pass(&file(before)), Some(file(after)));
        // Once more changes nothing.
        assert_eq!(let_pass(&file(after)), Some(file(after)));
    }

    #[test]
    fn a_damaged_file_is_not_understood() {
        let whole = file(&[(&[LOAD, NOTIFY], None), (&[ALLOW], Some(0))]);
        for cut in 0..whole.len() {
            assert_eq!(let_pass(&whole[..cut]), None, "{cut}");
        }
        // No program of whole instructions.
        let mut odd = Vec::new();
        put_bytes(&mut odd, PROGRAM, &[1, 2, 3]);
        assert!(Filter::read(&odd).is_none());
    }
}
