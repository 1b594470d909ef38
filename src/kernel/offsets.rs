//! The text of `/proc/PID/timens_offsets`.

use crate::clock::{ClockOffsets, Offset};

/// What to write so that `offsets` come on top of those that the file states.
pub(super) fn added(file: &str, offsets: &ClockOffsets) -> Option<String> {
    let monotonic = stated(file, "monotonic")?.checked_add(offsets.monotonic)?;
    let boottime = stated(file, "boottime")?.checked_add(offsets.boottime)?;
    Some(format!(
        "monotonic {} {}\nboottime {} {}\n",
        monotonic.secs(),
        monotonic.subsec_nanos(),
        boottime.secs(),
        boottime.subsec_nanos()
    ))
}

/// The offset that the file states for a clock.
pub(crate) fn stated(file: &str, clock: &str) -> Option<Offset> {
    file.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        if fields.next()? != clock {
            return None;
        }
        let sec = fields.next()?.parse().ok()?;
        Offset::new(sec, fields.next()?.parse().ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_come_on_top_of_those_in_force() {
        let file = "monotonic         500 900000000\nboottime            0         0\n";
        let offsets = ClockOffsets {
            monotonic: Offset::from_nanos(200_000_000).unwrap(),
            boottime: Offset::from_nanos(-250_000_000).unwrap(),
            ..ClockOffsets::default()
        };
        assert_eq!(
            added(file, &offsets).as_deref(),
            Some("monotonic 501 100000000\nboottime -1 750000000\n")
        );
        assert_eq!(added("", &offsets), None);
    }
}
