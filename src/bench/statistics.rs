//! Medians.

/// The middle one; 0 of none.
pub(super) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// The median, and the interval that holds the true one in 95 of 100 cases, whatever the
/// distribution: by how many of the samples may lie on either side of it (the sign test).
pub(super) fn median_and_interval(mut samples: Vec<f64>) -> (f64, [f64; 2]) {
    samples.sort_unstable_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    let middle = samples.len() / 2;
    let half = (0..=last)
        .find(|half| half * half * 100 >= samples.len() * 97)
        .unwrap_or(last);
    let at = |index: usize| samples.get(index.min(last)).copied().unwrap_or_default();
    (
        at(middle),
        [at(middle.saturating_sub(half)), at(middle + half)],
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "nothing is computed")]

    use super::*;

    #[test]
    fn a_median_is_one_of_the_samples() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 4.0);
    }

    #[test]
    fn an_interval_holds_its_median_and_shrinks() {
        let samples = |n: u16| (0..n).map(f64::from).collect::<Vec<_>>();
        assert_eq!(median_and_interval(vec![]), (0.0, [0.0, 0.0]));
        assert_eq!(median_and_interval(samples(1)), (0.0, [0.0, 0.0]));
        assert_eq!(median_and_interval(samples(4)), (2.0, [0.0, 3.0]));
        assert_eq!(median_and_interval(samples(100)), (50.0, [40.0, 60.0]));
        assert_eq!(median_and_interval(samples(400)), (200.0, [180.0, 220.0]));
    }
}
