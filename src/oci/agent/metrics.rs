//! The counts: as a line in the log, and as a file in Prometheus's text format, which its node exporter
//! reads (`--collector.textfile`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::log::Line;
use crate::line::shown;
use crate::supervisor::Counters;
use crate::{Error, Result, file};

/// Names, what they count, and how many.
fn counts(counters: &Counters) -> [(&'static str, &'static str, u64); 7] {
    [
        (
            "namespaces",
            "Namespaces made for containers.",
            counters.namespaces.get(),
        ),
        (
            "joined",
            "Processes that joined a container later.",
            counters.joined.get(),
        ),
        (
            "refusals",
            "Requests that were refused.",
            counters.refusals.get(),
        ),
        (
            "traps",
            "System calls that were looked at.",
            counters.traps.get(),
        ),
        (
            "injections",
            "Programs that were given their clocks.",
            counters.injections.get(),
        ),
        (
            "visits",
            "Threads with an absolute time that were led to the gate.",
            counters.visits.get(),
        ),
        (
            "workers_replaced",
            "Workers that had died.",
            counters.replaced.get(),
        ),
    ]
}

/// The counts as a line.
pub(super) fn line(counters: &Counters) -> Line {
    let counts = counts(counters).into_iter();
    counts.fold(Line::info("counts"), |line, (name, _, count)| {
        line.with(name, count)
    })
}

/// How often the file is written, if the counts have changed.
const EVERY: Duration = Duration::from_secs(2);

/// A file with the counts.
pub(super) struct Metrics {
    file: PathBuf,
    counters: &'static Counters,
    last: String,
    next: Instant,
    has_failed: bool,
}

impl Metrics {
    pub(super) fn new(file: PathBuf, counters: &'static Counters) -> Self {
        Self {
            file,
            counters,
            last: String::new(),
            next: Instant::now(),
            has_failed: false,
        }
    }

    /// When the file is looked at again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Writes the file if it is not up to date, and it is time.
    ///
    /// # Errors
    /// It cannot be written. It is tried again, and that it still cannot be is not said again.
    pub(super) fn write(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + EVERY;
        let text = text(self.counters);
        if text == self.last {
            return Ok(());
        }
        let written = file::replace(&self.file, text.as_bytes());
        let had_failed = std::mem::replace(&mut self.has_failed, written.is_err());
        match written {
            Ok(()) => self.last = text,
            Err(_) if had_failed => {}
            Err(e) => {
                let file = shown(self.file.as_os_str());
                return Err(Error::os(format!("cannot write `--metrics {file}`"), e));
            }
        }
        Ok(())
    }
}

fn text(counters: &Counters) -> String {
    let mut text = String::new();
    for (name, help, count) in counts(counters) {
        let name = format!("elsewhen_{name}_total");
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}"
        );
    }
    text
}
