//! A program that ticks, dumped and restored, and what its clocks read.

use super::Missing;
use super::clock::{Bracket, Host, SECOND};
use super::criu::{self, Criu};
use super::guests::{self, Kind};
use super::process::Run;
use super::restored::Program;
use super::sys::wait_until;
use std::path::PathBuf;

const DAYS: i128 = 86_400 * SECOND;

/// What the program's clocks read at one tick, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) deadline: i128,
    pub(crate) monotonic: i128,
    pub(crate) boottime: i128,
    pub(crate) realtime: i128,
    pub(crate) tai: i128,
}

impl Tick {
    /// Reads a line of the program's; fails if it says that anything was wrong.
    pub(crate) fn parse(line: &str) -> Self {
        let words: Option<Vec<i128>> = line.split(' ').map(|word| word.parse().ok()).collect();
        let Some([deadline, monotonic, boottime, realtime, tai]) = words.as_deref() else {
            panic!("it says `{line}`");
        };
        Self {
            deadline: *deadline,
            monotonic: *monotonic,
            boottime: *boottime,
            realtime: *realtime,
            tai: *tai,
        }
    }
}

/// Checks that what another program's clocks read lies between these two readings, on each clock.
pub(crate) fn expect_between(before: Tick, ticks: &[Tick], after: Tick) {
    assert!(!ticks.is_empty());
    let clocks = |tick: &Tick| [tick.realtime, tick.tai, tick.monotonic, tick.boottime];
    for tick in ticks {
        let [low, now, high] = [&before, tick, &after].map(clocks);
        for (i, now) in now.iter().enumerate() {
            assert!(
                (low[i]..=high[i]).contains(now),
                "{before:?} {tick:?} {after:?}"
            );
        }
    }
}

/// The program `going_on`, which is dumped and restored.
pub(crate) struct Ticker {
    program: Program,
    file: PathBuf,
}

impl Ticker {
    /// Starts it.
    pub(crate) fn start(run: &Run, criu: &Criu) -> Result<Self, Missing> {
        Self::start_as(Kind::Glibc, run, criu)
    }

    /// Starts it, built in this way.
    pub(crate) fn start_as(kind: Kind, run: &Run, criu: &Criu) -> Result<Self, Missing> {
        let program = guests::build("going_on", kind)?;
        let file = criu.file("ticks");
        let words = [&program, &file].map(|word| word.to_str().unwrap());
        let program = Program::start(run, &words);
        let ticker = Self { program, file };
        ticker.wait_for_more(5);
        Ok(ticker)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.program.pid()
    }

    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.program.is_there()
    }

    /// What it has written; fails if anything was wrong.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let lines = criu::lines(&self.file);
        lines.iter().map(|line| Tick::parse(line)).collect()
    }

    /// Waits until it has ticked so often again.
    pub(crate) fn wait_for_more(&self, count: usize) {
        let had = self.ticks().len();
        wait_until(|| self.ticks().len() >= had + count, "its ticks");
    }

    /// Dumps it, does something, restores it; the last tick before and the first one after, and how the
    /// host's clocks stood around what was done.
    pub(crate) fn through(
        &self,
        criu: &Criu,
        between: impl FnOnce(),
        through: &[&str],
    ) -> (Tick, Tick, Bracket) {
        criu.dump(self.pid());
        let before = Host::now();
        let ticks = self.ticks();
        between();
        let bracket = before.until(Host::now(), "MONOTONIC");
        criu.restore_by(through);
        self.wait_for_more(5);
        let last = ticks.len() - 1;
        (ticks[last], self.ticks()[last + 1], bracket)
    }
}

/// The clocks went on: never back, and by less than the time that has passed, of which the pause is left out.
pub(crate) fn expect_no_pause(before: Tick, after: Tick) {
    for (clock, before, after) in [
        ("MONOTONIC", before.monotonic, after.monotonic),
        ("BOOTTIME", before.boottime, after.boottime),
    ] {
        assert!(
            after >= before,
            "{clock} went back from {before} to {after}"
        );
    }
    // By the host's clock, which goes on.
    let passed = (after.realtime - before.realtime).rem_euclid(DAYS);
    let counted = after.monotonic - before.monotonic;
    assert!(
        counted <= passed - SECOND,
        "{counted} ns of {passed} were counted"
    );
}

/// REALTIME is the host's.
pub(crate) fn expect_true_time(ticker: &Ticker) {
    let before = Host::now();
    ticker.wait_for_more(3);
    let last = *ticker.ticks().last().unwrap();
    let host = before.until(Host::now(), "REALTIME");
    assert!(
        (host.before..=host.after).contains(&last.realtime),
        "{last:?}, {host:?}"
    );
}
