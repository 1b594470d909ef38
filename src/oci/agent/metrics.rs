//! The counts: as a line in the log, and as a file in Prometheus's text format, which its node exporter
//! reads (`--collector.textfile`).

use std::fmt::Write as _;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
        let written = replace(&self.file, &text);
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

/// Puts another file in its place, so that nobody reads half. Everybody may read it, whatever the umask is.
///
/// The directory may be somebody else's: no link there is followed.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.to_owned().into_os_string();
    new.push(".new");
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&new)?;
    written.set_permissions(Permissions::from_mode(0o644))?;
    written.write_all(text.as_bytes())?;
    std::fs::rename(&new, file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_way_is_not_followed_and_all_may_read_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("precious"), "mine").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("counts.new")).unwrap();
        replace(&at("counts"), "text").unwrap();
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(at("counts")).unwrap(), "text");
        let mode = std::fs::metadata(at("counts"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
        assert!(std::fs::symlink_metadata(at("counts.new")).is_err());
    }
}
