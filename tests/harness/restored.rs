//! Programs that CRIU dumps and restores.

use super::clock::SECOND;
use super::criu;
use super::process::{Run, Running};
use super::supervisor;
use super::sys::wait_until;
use std::time::Duration;

/// All clocks shifted, and kept by elsewhen.
pub(crate) const SHIFTED: [&str; 7] = [
    "--backend=guest",
    "--monotonic",
    "+100d",
    "--boottime",
    "+50d",
    "--realtime",
    "+400d",
];

/// How long a pause is, in nanoseconds.
pub(crate) const PAUSE: i128 = 2 * SECOND;

/// Passes some time between a dump and a restore.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_nanos(u64::try_from(PAUSE).unwrap()));
}

/// A process that is dumped and restored. Dropped, it is ended: once restored, it is nobody's child here.
pub(crate) struct Restored {
    pub(crate) pid: i32,
    /// By what it is known: while it is dumped another process can have its number.
    line: Vec<u8>,
}

impl Restored {
    /// This process, which is there.
    pub(crate) fn new(pid: i32) -> Self {
        let line = command_line(pid).unwrap();
        Self { pid, line }
    }

    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        command_line(self.pid).is_some_and(|line| line == self.line)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if self.is_there() {
            criu::end(self.pid);
        }
    }
}

/// The keepers of a restored tree, by its first process. Dropped, it waits for their end.
struct Keepers(i32);

impl Drop for Keepers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            wait_until(|| !criu::has_keepers(self.0), "the keepers' end");
        }
    }
}

fn command_line(pid: i32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/cmdline")).ok()
}

/// A program that a test starts, to be dumped and restored.
pub(crate) struct Program {
    // They are dropped in this order.
    process: Restored,
    /// What it was started by: dropped, all of its processes are killed, restored ones too.
    _started: Running,
    _keepers: Keepers,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(run: &Run, words: &[&str]) -> Self {
        Self::start_by(run, words, words)
    }

    /// Starts a command that becomes the program of these words, or starts it.
    pub(crate) fn start_by(run: &Run, command: &[&str], words: &[&str]) -> Self {
        // A program that waits to be asked by its terminal would not be dumped.
        let started = run.clone().through(&["setsid", "--wait"]).start(command);
        let pid = supervisor::wait_for("program", || criu::process_of(words));
        Self {
            process: Restored::new(pid),
            _started: started,
            _keepers: Keepers(pid),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.process.is_there()
    }
}
