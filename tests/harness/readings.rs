//! What the guest `clocks` prints: every clock, read in every way.

use super::clock::{Bracket, Reading, SECOND, TICK};
use super::process::Finished;

/// One line of the guest `clocks`.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) way: String,
    pub(crate) clock: String,
    pub(crate) nanos: i128,
}

pub(crate) fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 4, "{line}");
    let number = |i: usize| words[i].parse::<i128>().unwrap();
    assert!((0..SECOND).contains(&number(3)), "not normalised: {line}");
    Line {
        way: words[0].into(),
        clock: words[1].into(),
        nanos: number(2) * SECOND + number(3),
    }
}

pub(crate) fn lines(run: &Finished) -> Vec<Line> {
    assert_eq!(run.code, 0, "{run:#?}");
    run.stdout.lines().map(parse).collect()
}

/// Checks each clock against the host's and its four readings against each other.
pub(crate) fn expect_shifts(run: &Finished, shift_of: impl Fn(&str) -> i128) {
    let lines = lines(run);
    let mut clocks: Vec<&str> = lines.iter().map(|l| l.clock.as_str()).collect();
    clocks.dedup();
    assert_eq!(clocks.len(), 10, "{run:#?}");
    for clock in clocks.into_iter().filter(|c| *c != "OTHER") {
        let readings: Vec<i128> = lines
            .iter()
            .filter(|l| l.clock == clock)
            .map(|l| l.nanos)
            .collect();
        assert_eq!(readings.len(), 4);
        assert!(readings.is_sorted(), "{clock} went back: {readings:?}");
        for nanos in readings {
            let reading = Reading {
                nanos,
                resolution: 1,
            };
            let expected = if clock.ends_with("CPUTIME") {
                // A clock of its own for each process: no shift may reach it.
                Bracket {
                    before: 0,
                    after: 60 * SECOND,
                }
            } else {
                run.host(clock).shifted(shift_of(clock) * SECOND)
            };
            assert!(
                expected.contains(reading),
                "{clock}: {nanos} not in {expected:?}"
            );
        }
    }
}

/// Checks that whatever tells the time of day lies between the first and the last reading.
pub(crate) fn expect_agreement(run: &Finished) {
    let lines: Vec<Line> = lines(run)
        .into_iter()
        .filter(|l| l.clock == "OTHER")
        .collect();
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert_eq!((first.way.as_str(), last.way.as_str()), ("first", "last"));
    for line in &lines {
        // What has microseconds or seconds was cut off; what has seconds also lags by a tick.
        let (resolution, lag) = if line.way.contains("gettimeofday") || line.way.contains("adj") {
            (1_000, 0)
        } else if line.way.contains("time") && line.way != "timespec_get" {
            (SECOND, TICK)
        } else {
            (1, 0)
        };
        assert!(
            line.nanos + resolution > first.nanos - lag && line.nanos <= last.nanos,
            "{line:?} not between {first:?} and {last:?}"
        );
    }
}
