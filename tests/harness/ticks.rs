//! A program that ticks, dumped and restored, and what its clocks read.

use super::clock::{Bracket, Host};
use super::criu::{self, Criu};
use super::guests::{self, Kind};
use super::process::{Run, Running};
use super::sys::wait_until;
use super::{Missing, supervisor};
use std::path::PathBuf;

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

/// The program `going_on`, which is dumped and restored.
pub(crate) struct Ticker {
    /// What it was started by: dropped, all of its processes are killed, restored ones too.
    _started: Running,
    pub(crate) pid: i32,
    program: String,
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
        let words = [program.to_str().unwrap(), file.to_str().unwrap()];
        // A program that waits to be asked by its terminal would not be dumped.
        let started = run.clone().through(&["setsid", "--wait"]).start(&words);
        let pid = supervisor::wait_for("program", || criu::process_of(&words));
        let ticker = Self {
            _started: started,
            pid,
            program: words[0].to_owned(),
            file,
        };
        ticker.wait_for_more(5);
        Ok(ticker)
    }

    /// Whether it is there, by what it was started with.
    pub(crate) fn is_there(&self) -> bool {
        criu::process_of(&[&self.program, self.file.to_str().unwrap()]).is_some()
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
        criu.dump(self.pid);
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

impl Drop for Ticker {
    fn drop(&mut self) {
        criu::end(self.pid);
        if !std::thread::panicking() {
            wait_until(|| !criu::has_keepers(self.pid), "the keepers' end");
        }
    }
}
