//! The counts: as a line in the log, and as a file in Prometheus's text format, which its node exporter
//! reads (`--collector.textfile`).

use std::fmt::Write as _;
use std::path::PathBuf;

use super::log::Line;
use crate::line::shown;
use crate::supervisor::Counters;
use crate::{Error, Result};

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

/// A file with the counts.
pub(super) struct Metrics {
    file: PathBuf,
    counters: &'static Counters,
    last: String,
}

impl Metrics {
    pub(super) fn new(file: PathBuf, counters: &'static Counters) -> Self {
        Self {
            file,
            counters,
            last: String::new(),
        }
    }

    /// Writes the file if it is not up to date: another takes its place, so that nobody reads half.
    ///
    /// # Errors
    /// It cannot be written; that is said once.
    pub(super) fn write(&mut self) -> Result<()> {
        let text = text(self.counters);
        if text == self.last {
            return Ok(());
        }
        self.last = text;
        let mut new = self.file.clone().into_os_string();
        new.push(".new");
        std::fs::write(&new, &self.last)
            .and_then(|()| std::fs::rename(&new, &self.file))
            .map_err(|e| {
                let file = shown(self.file.as_os_str());
                Error::os(format!("cannot write `--metrics {file}`"), e)
            })
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
