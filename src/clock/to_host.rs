//! Absolute times on their way to the kernel.

use super::offset::{NSEC_PER_SEC, Offset};

impl Offset {
    /// The host's time at the namespace's time `sec` and `nsec`, both as in a `timespec`.
    ///
    /// Saturates as the kernel does (`kernel/time/namespace.c: do_timens_ktime_to_host`,
    /// `include/linux/ktime.h: ktime_set`): what lies before the host's zero becomes the host's
    /// first nanosecond, which is past too, and does not disarm a timer as zero would. Zero itself
    /// stays zero, and disarms.
    ///
    /// `None` if the kernel would say `EINVAL` (`include/linux/time64.h: timespec64_valid`).
    pub(crate) fn to_host(self, sec: i64, nsec: i64) -> Option<(i64, i64)> {
        if sec < 0 || !(0..NSEC_PER_SEC).contains(&nsec) {
            return None;
        }
        if (sec, nsec) == (0, 0) {
            return Some((0, 0));
        }
        let guest = sec.saturating_mul(NSEC_PER_SEC).saturating_add(nsec);
        let host = (i128::from(guest) - self.as_nanos()).max(1);
        let host = i64::try_from(host).unwrap_or(i64::MAX);
        Some((host / NSEC_PER_SEC, host % NSEC_PER_SEC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: (i64, i64) = (i64::MAX / NSEC_PER_SEC, i64::MAX % NSEC_PER_SEC);

    fn offset(nanos: i128) -> Offset {
        Offset::from_nanos(nanos).unwrap()
    }

    #[test]
    fn a_time_loses_the_offset_to_the_nanosecond() {
        let quarter = offset(250_000_000);
        assert_eq!(quarter.to_host(10, 300_000_000), Some((10, 50_000_000)));
        assert_eq!(quarter.to_host(10, 0), Some((9, 750_000_000)));
        let back = offset(-250_000_000);
        assert_eq!(back.to_host(10, 750_000_000), Some((11, 0)));
        assert_eq!(back.to_host(0, 1), Some((0, 250_000_001)));
        assert_eq!(Offset::ZERO.to_host(7, 999_999_999), Some((7, 999_999_999)));
    }

    #[test]
    fn a_time_before_the_hosts_zero_is_past_and_not_zero() {
        let year = Offset::from_secs(31_536_000);
        for (sec, nsec) in [(0, 1), (31_535_999, 999_999_999), (31_536_000, 0)] {
            assert_eq!(year.to_host(sec, nsec), Some((0, 1)), "{sec}.{nsec}");
        }
        assert_eq!(year.to_host(31_536_000, 1), Some((0, 1)));
        assert_eq!(year.to_host(31_536_000, 2), Some((0, 2)));
    }

    #[test]
    fn zero_stays_zero_and_disarms() {
        for offset in [offset(5), offset(0), offset(-5)] {
            assert_eq!(offset.to_host(0, 0), Some((0, 0)));
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_not_converted() {
        for (sec, nsec) in [
            (-1, 0),
            (i64::MIN, 0),
            (0, -1),
            (1, NSEC_PER_SEC),
            (1, i64::MAX),
            (1, i64::MIN),
        ] {
            assert_eq!(offset(5).to_host(sec, nsec), None, "{sec} {nsec}");
        }
    }

    #[test]
    fn a_time_beyond_the_kernels_range_saturates_before_and_after() {
        assert_eq!(Offset::ZERO.to_host(i64::MAX, 999_999_999), Some(MAX));
        assert_eq!(offset(-1).to_host(i64::MAX, 0), Some(MAX));
        assert_eq!(
            Offset::from_secs(-(1 << 33)).to_host(MAX.0 - 5, 0),
            Some(MAX)
        );
        // The kernel takes a positive offset from its largest time, and so does this.
        assert_eq!(
            Offset::from_secs(1).to_host(i64::MAX, 0),
            Some((MAX.0 - 1, MAX.1))
        );
    }
}
