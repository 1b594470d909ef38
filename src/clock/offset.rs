//! An offset of one clock, and the four of a namespace.

use std::fmt;

/// Nanoseconds in a second.
pub(crate) const NSEC_PER_SEC: i64 = 1_000_000_000;

/// A signed distance between a namespace's clock and the host's, to the nanosecond.
///
/// The nanoseconds always lie in `0..10⁹`: −0.25 s is `(-1, 750_000_000)`, as in a `timespec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    sec: i64,
    nsec: u32,
}

impl Offset {
    /// No distance at all.
    pub const ZERO: Offset = Offset { sec: 0, nsec: 0 };

    /// The offset of `sec` seconds and `nsec` nanoseconds, or `None` if `nsec` ≥ 10⁹.
    #[must_use]
    pub const fn new(sec: i64, nsec: u32) -> Option<Self> {
        if nsec < 1_000_000_000 {
            Some(Self { sec, nsec })
        } else {
            None
        }
    }

    /// The offset of a whole number of seconds.
    #[must_use]
    pub const fn from_secs(sec: i64) -> Self {
        Self { sec, nsec: 0 }
    }

    /// The offset of `nanos` nanoseconds, or `None` if its seconds do not fit in 64 bits.
    #[must_use]
    pub fn from_nanos(nanos: i128) -> Option<Self> {
        let sec = i64::try_from(nanos.div_euclid(NSEC_PER_SEC.into())).ok()?;
        let nsec = u32::try_from(nanos.rem_euclid(NSEC_PER_SEC.into())).ok()?;
        Some(Self { sec, nsec })
    }

    /// The offset in nanoseconds.
    #[must_use]
    pub fn as_nanos(self) -> i128 {
        i128::from(self.sec) * i128::from(NSEC_PER_SEC) + i128::from(self.nsec)
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.sec
    }

    /// Nanoseconds beyond [`secs`](Self::secs), in `0..10⁹`.
    #[must_use]
    pub const fn subsec_nanos(self) -> u32 {
        self.nsec
    }

    /// Whether the two clocks agree.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.sec == 0 && self.nsec == 0
    }

    /// The sum of two offsets, or `None` if it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::from_nanos(self.as_nanos().checked_add(other.as_nanos())?)
    }

    /// The distance from another offset to this one, or `None` if it does not fit.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::from_nanos(self.as_nanos().checked_sub(other.as_nanos())?)
    }

    /// A reading of the host's clock plus this offset, with the carry done.
    pub(crate) fn add_to(self, sec: i64, nsec: i64) -> (i64, u32) {
        let nsec = nsec + i64::from(self.nsec);
        let sec = sec
            .saturating_add(self.sec)
            .saturating_add(nsec.div_euclid(NSEC_PER_SEC));
        let nsec = u32::try_from(nsec.rem_euclid(NSEC_PER_SEC)).expect("below 10⁹");
        (sec, nsec)
    }

    /// The word that an image holds: `sec << 30 | nsec`, one aligned load for a reader.
    ///
    /// `None` beyond ±2³³ seconds (272 years).
    #[must_use]
    pub fn packed(self) -> Option<u64> {
        if self.sec >= -(1 << 33) && self.sec < 1 << 33 {
            Some(((self.sec << 30) | i64::from(self.nsec)).cast_unsigned())
        } else {
            None
        }
    }

    /// The offset that [`packed`](Self::packed) made `word` from.
    ///
    /// `None` if the nanoseconds are not below 10⁹.
    #[must_use]
    pub fn from_packed(word: u64) -> Option<Self> {
        let nsec = u32::try_from(word & ((1 << 30) - 1)).ok()?;
        Self::new(word.cast_signed() >> 30, nsec)
    }
}

impl fmt::Display for Offset {
    /// Seconds with a sign, and a fraction if there is one: `+864000`, `-0.25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.as_nanos();
        let sign = if nanos < 0 { '-' } else { '+' };
        let nanos = nanos.unsigned_abs();
        let per_sec = u128::from(NSEC_PER_SEC.unsigned_abs());
        write!(f, "{sign}{}", nanos / per_sec)?;
        match nanos % per_sec {
            0 => Ok(()),
            rest => {
                let digits = format!("{rest:09}");
                write!(f, ".{}", digits.trim_end_matches('0'))
            }
        }
    }
}

/// The offsets of a time namespace: each clock is the host's plus its offset.
///
/// `COARSE`, `RAW` and `ALARM` clocks follow their base clock, as in the kernel's table
/// (`kernel/time/namespace.c: timens_setup_vdso_clock_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClockOffsets {
    /// Offset of `CLOCK_REALTIME` and its `COARSE` and `ALARM` variants.
    pub realtime: Offset,
    /// Offset of `CLOCK_TAI`.
    pub tai: Offset,
    /// Offset of `CLOCK_MONOTONIC`, `CLOCK_MONOTONIC_COARSE` and `CLOCK_MONOTONIC_RAW`.
    pub monotonic: Offset,
    /// Offset of `CLOCK_BOOTTIME` and `CLOCK_BOOTTIME_ALARM`.
    pub boottime: Offset,
}

impl ClockOffsets {
    /// The offset that a clock id takes, or `None` if the clock belongs to a process or a device.
    #[must_use]
    pub const fn of(&self, clock: i32) -> Option<Offset> {
        match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_REALTIME_ALARM => {
                Some(self.realtime)
            }
            libc::CLOCK_TAI => Some(self.tai),
            libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW => {
                Some(self.monotonic)
            }
            libc::CLOCK_BOOTTIME | libc::CLOCK_BOOTTIME_ALARM => Some(self.boottime),
            _ => None,
        }
    }

    /// The sum of two namespaces' offsets, clock by clock, or `None` if one does not fit.
    ///
    /// An image holds less than what fits here ([`Offset::packed`]).
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.each(other, Offset::checked_add)
    }

    /// How far these offsets lie behind others, clock by clock, or `None` if one does not fit.
    #[must_use]
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.each(other, Offset::checked_sub)
    }

    fn each(&self, other: &Self, of: impl Fn(Offset, Offset) -> Option<Offset>) -> Option<Self> {
        Some(Self {
            realtime: of(self.realtime, other.realtime)?,
            tai: of(self.tai, other.tai)?,
            monotonic: of(self.monotonic, other.monotonic)?,
            boottime: of(self.boottime, other.boottime)?,
        })
    }

    /// The offsets in the order in which an image holds them.
    pub(crate) const fn in_order(&self) -> [Offset; 4] {
        [self.realtime, self.tai, self.monotonic, self.boottime]
    }

    /// The four words that an image holds; `None` if an offset is too great ([`Offset::packed`]).
    pub(crate) fn packed(&self) -> Option<[u64; 4]> {
        let mut words = [0; 4];
        for (word, offset) in words.iter_mut().zip(self.in_order()) {
            *word = offset.packed()?;
        }
        Some(words)
    }

    /// The offsets that [`packed`](Self::packed) made `words` from; `None` if these are no such words.
    pub(crate) fn from_packed(words: [u64; 4]) -> Option<Self> {
        let [realtime, tai, monotonic, boottime] = words.map(Offset::from_packed);
        Some(Self {
            realtime: realtime?,
            tai: tai?,
            monotonic: monotonic?,
            boottime: boottime?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_prints_its_sign_and_fraction() {
        assert_eq!(Offset::from_secs(864_000).to_string(), "+864000");
        assert_eq!(
            Offset::from_nanos(-250_000_000).unwrap().to_string(),
            "-0.25"
        );
    }

    #[test]
    fn packing_keeps_the_offset_to_the_nanosecond() {
        for nanos in [
            0,
            1,
            -1,
            999_999_999,
            -999_999_999,
            86_400 * NSEC_PER_SEC,
            -(1 << 60),
        ] {
            let offset = Offset::from_nanos(nanos.into()).unwrap();
            assert_eq!(Offset::from_packed(offset.packed().unwrap()), Some(offset));
        }
    }

    #[test]
    fn an_offset_beyond_272_years_does_not_pack() {
        assert!(Offset::from_secs((1 << 33) - 1).packed().is_some());
        assert!(Offset::from_secs(1 << 33).packed().is_none());
        assert!(Offset::from_secs(-(1 << 33)).packed().is_some());
        assert!(Offset::from_secs(-(1 << 33) - 1).packed().is_none());
    }

    /// All clocks are shifted by `others`, but the one of this place in the image's order by `offset`.
    fn offsets(place: usize, offset: Offset, others: Offset) -> ClockOffsets {
        let mut all = [others; 4];
        all[place] = offset;
        let [realtime, tai, monotonic, boottime] = all;
        ClockOffsets {
            realtime,
            tai,
            monotonic,
            boottime,
        }
    }

    #[test]
    fn offsets_are_added_and_taken_away_clock_by_clock_with_the_carry() {
        let nanos = |nanos: i64| Offset::from_nanos(nanos.into()).unwrap();
        for place in 0..4 {
            let one = offsets(place, nanos(1_600_000_000), nanos(-1));
            let other = offsets(place, nanos(700_000_000), nanos(2));
            let sum = offsets(place, nanos(2_300_000_000), nanos(1));
            let difference = offsets(place, nanos(900_000_000), nanos(-3));
            assert_eq!(one.checked_add(&other), Some(sum));
            assert_eq!(one.checked_sub(&other), Some(difference));
            assert_eq!(sum.checked_sub(&other), Some(one));
        }
    }

    #[test]
    fn a_sum_or_difference_of_offsets_that_does_not_fit_for_any_clock_is_none() {
        let least = Offset::from_secs(i64::MIN);
        let most = Offset::new(i64::MAX, 999_999_999).unwrap();
        let step = Offset::new(0, 1).unwrap();
        let back = Offset::from_nanos(-1).unwrap();
        let none = ClockOffsets::default();
        for place in 0..4 {
            let of = |offset| offsets(place, offset, Offset::ZERO);
            assert_eq!(of(most).checked_add(&of(step)), None, "{place}");
            assert_eq!(of(most).checked_sub(&of(back)), None, "{place}");
            assert_eq!(of(least).checked_add(&of(back)), None, "{place}");
            assert_eq!(of(least).checked_sub(&of(step)), None, "{place}");
            assert_eq!(none.checked_sub(&of(least)), None, "{place}");
            // The limits themselves fit.
            assert_eq!(of(most).checked_add(&none), Some(of(most)));
            assert_eq!(of(least).checked_sub(&none), Some(of(least)));
            assert_eq!(of(most).checked_add(&of(least)), Some(of(back)));
        }
    }
}
