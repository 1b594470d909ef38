//! Random order.

use rustix::rand::{GetRandomFlags, getrandom};

/// A small generator of numbers without a pattern that matters here (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        let mut seed = [0; 8];
        // Without a seed the order is the same each time, which is no harm.
        let _ = getrandom(&mut seed, GetRandomFlags::empty());
        Self(u64::from_le_bytes(seed) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Puts `items` into random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}
