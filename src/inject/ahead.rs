//! Bytes of a thread's memory that are read ahead of their use, in one call for several places.

use crate::sys::memory;

/// Places and bytes at most.
const PLACES: usize = 4;
const BYTES: usize = 128;

/// Places of a thread's memory, and what lies there.
pub(super) struct Ahead {
    places: [(u64, usize); PLACES],
    bytes: [u8; BYTES],
    /// How many bytes could be read.
    read: usize,
}

impl Ahead {
    /// Reads what can be read of `places`, in their order; what is too much is left out.
    pub(super) fn read(tid: i32, places: impl IntoIterator<Item = (u64, usize)>) -> Self {
        let mut ahead = Self {
            places: [(0, 0); PLACES],
            bytes: [0; BYTES],
            read: 0,
        };
        let mut len = 0;
        for (to, place) in ahead.places.iter_mut().zip(places) {
            if len + place.1 <= BYTES {
                *to = place;
                len += place.1;
            }
        }
        ahead.read = memory::read_places_by_pid(tid, &ahead.places, &mut ahead.bytes[..len]);
        ahead
    }

    /// What lies at a place; `None` unless all of it has been read.
    pub(super) fn get(&self, at: u64, len: usize) -> Option<&[u8]> {
        let mut start = 0;
        for place in self.places {
            let end = start + place.1;
            if place == (at, len) && len != 0 && end <= self.read {
                return self.bytes.get(start..end);
            }
            start = end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_before_a_wrong_address_is_read() {
        let here = [*b"abcdefgh", *b"ijklmnop"];
        let at = here.as_ptr() as u64;
        let me = std::process::id().cast_signed();
        let ahead = Ahead::read(me, [(at + 8, 8), (at, 4), (8, 8), (at + 4, 4)]);
        assert_eq!(ahead.get(at + 8, 8), Some(&b"ijklmnop"[..]));
        assert_eq!(ahead.get(at, 4), Some(&b"abcd"[..]));
        assert_eq!(ahead.get(at, 8), None);
        assert_eq!(ahead.get(8, 8), None);
        assert_eq!(ahead.get(at + 4, 4), None);
        assert_eq!(ahead.get(0, 0), None);
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let here = [7_u8; BYTES];
        let at = here.as_ptr() as u64;
        let me = std::process::id().cast_signed();
        let ahead = Ahead::read(me, [(at, 8), (at, BYTES), (at + 8, 8)]);
        assert_eq!(ahead.get(at, 8), Some(&[7; 8][..]));
        assert_eq!(ahead.get(at, BYTES), None);
        assert_eq!(ahead.get(at + 8, 8), Some(&[7; 8][..]));
    }
}
