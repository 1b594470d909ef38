//! Messages of protocol buffers, as far as CRIU's images need them: numbers and bytes.

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// All of it, as it stands in the message.
    pub(super) whole: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length.
    Fixed,
}

/// The fields of a message, up to its end or to the first that is damaged.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let (field, behind) = first(rest)?;
        rest = behind;
        Some(field)
    })
}

/// All fields of a message; `None` if it is damaged.
pub(super) fn all_fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let all: Vec<Field<'_>> = fields(message).collect();
    let len: usize = all.iter().map(|field| field.whole.len()).sum();
    (len == message.len()).then_some(all)
}

fn first(message: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = number(message)?;
    let (value, rest) = match key & 7 {
        0 => {
            let (value, rest) = number(rest)?;
            (Value::Number(value), rest)
        }
        1 => (Value::Fixed, rest.get(8..)?),
        2 => {
            let (len, rest) = number(rest)?;
            let len = usize::try_from(len).ok()?;
            (Value::Bytes(rest.get(..len)?), &rest[len..])
        }
        5 => (Value::Fixed, rest.get(4..)?),
        _ => return None,
    };
    let field = Field {
        number: key >> 3,
        value,
        whole: &message[..message.len() - rest.len()],
    };
    Some((field, rest))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// Adds a field that is a number.
pub(super) fn put_number(to: &mut Vec<u8>, field: u64, value: u64) {
    put(to, field << 3);
    put(to, value);
}

/// Adds a field that is bytes.
pub(super) fn put_bytes(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put(to, field << 3 | 2);
    put(to, bytes.len() as u64);
    to.extend(bytes);
}

fn put(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_again() {
        let mut message = Vec::new();
        put_number(&mut message, 2, u64::MAX);
        put_bytes(&mut message, 300, b"abc");
        let all = all_fields(&message).unwrap();
        let found: Vec<_> = all
            .iter()
            .map(|field| (field.number, field.value))
            .collect();
        let expected = [(2, Value::Number(u64::MAX)), (300, Value::Bytes(b"abc"))];
        assert_eq!(found, expected);
        for cut in 1..message.len() {
            let is_whole = cut == 11;
            assert_eq!(all_fields(&message[..cut]).is_some(), is_whole, "{cut}");
        }
    }
}
