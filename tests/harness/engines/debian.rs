//! A root of Debian's with the programs that people run in containers, and what they have to do there.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Engine;
use crate::harness::guests::{self, Kind};
use crate::harness::process::Finished;
use crate::harness::timeouts::{self, WAIT};
use crate::harness::{Missing, SHIFT, debian13};

/// What is in it; systemd is for `packaging/under-systemd`.
const PACKAGES: &str = include_str!("../../debian13/programs");

/// An ordinary user, as which the programs run.
pub(super) const USER: &str = "65534";

const SERVICES: &str = "/mnt/services";

/// The root, which is shared and stays as it is: `/mnt` is to be mounted.
pub(super) fn root() -> Result<PathBuf, Missing> {
    debian13::make_with(PACKAGES.trim(), "debian13-programs", 550)
}

/// Puts into a directory what is to be in `/mnt`.
pub(super) fn make_guests(dir: &Path) -> Result<(), Missing> {
    std::fs::create_dir(dir).unwrap();
    for name in ["now", "timeouts"] {
        let built = guests::copy(&guests::build(name, Kind::Go)?, dir, 0o755);
        std::fs::rename(built, dir.join(name)).unwrap();
    }
    for name in ["Now", "Timeouts"] {
        let classes = guests::build(name, Kind::Java)?;
        for class in std::fs::read_dir(classes).unwrap() {
            guests::copy(&class.unwrap().path(), dir, 0o644);
        }
    }
    guests::copy(&guests::script("timeouts.py"), dir, 0o644);
    guests::copy(&guests::data("debian13/services"), dir, 0o755);
    Ok(())
}

/// A root with nothing in it but what others are mounted over: `/usr` and `/etc` are to be the root's own.
pub(super) fn make_frame(root: &Path, frame: &Path) {
    std::fs::create_dir(frame).unwrap();
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let to = frame.join(entry.file_name());
        match std::fs::read_link(entry.path()) {
            Ok(target) => symlink(target, to).unwrap(),
            Err(_) => {
                // runc gives what it mounts there the same permissions.
                let permissions = entry.metadata().unwrap().permissions();
                std::fs::create_dir(&to).unwrap();
                std::fs::set_permissions(&to, permissions).unwrap();
            }
        }
    }
}

/// The times that Debian's programs tell, and what came of their waits.
fn told(finished: Finished) -> (Finished, Finished) {
    let (times, waits): (Vec<&str>, Vec<&str>) = finished
        .stdout
        .lines()
        .partition(|line| line.starts_with("time "));
    let times: Vec<&str> = times.iter().map(|line| &line["time ".len()..]).collect();
    let times = Finished {
        stdout: times.join("\n"),
        stderr: finished.stderr.clone(),
        words: finished.words.clone(),
        ..finished
    };
    let waits = waits.join("\n");
    (
        times,
        Finished {
            stdout: waits,
            ..finished
        },
    )
}

/// What came of the waits, in one order, where no clock is shifted.
fn expected(engine: &impl Engine) -> &'static [String] {
    static EXPECTED: OnceLock<Vec<String>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let all = engine.run(&[], &[SERVICES, "all", &WAIT.to_string()]);
        let (times, waits) = told(all.succeeded());
        times.host("REALTIME").check_lines(&times.stdout).unwrap();
        let results = timeouts::results(&waits).unwrap_or_else(|why| panic!("{why}\n{waits:#?}"));
        for what in ["redis-pxat", "sql-timeout", "ScheduledExecutor", "context."] {
            assert!(
                results.iter().any(|result| result.starts_with(what)),
                "{waits:#?}"
            );
        }
        results.into_iter().map(str::to_owned).collect()
    })
}

/// Python, Go, Java, Redis and PostgreSQL tell the container's time, and wait as where none is shifted;
/// so do those that join later, also after it has been ended and started again.
pub(crate) fn expect_programs(engine: &impl Engine) {
    let ahead = format!("+{SHIFT}");
    let offsets = [
        ("realtime", ahead.as_str()),
        ("monotonic", "+300d"),
        ("boottime", "+200d"),
    ];
    let expected = expected(engine);
    let (times, waits) = told(engine.run(&offsets, &[SERVICES, "all", &WAIT.to_string()]));
    times.expect_shifted();
    match timeouts::results(&waits) {
        Ok(results) => assert_eq!(results, expected, "{waits:#?}"),
        Err(why) => panic!("{why}\n{waits:#?}"),
    }
    engine.start("servers", &offsets, &[SERVICES, "serve"]);
    for is_second in [false, true] {
        if is_second {
            engine.restart("servers");
        }
        let times = engine.exec("servers", &[SERVICES, "times"]);
        times.expect_shifted();
        assert_eq!(times.stdout.lines().count(), 7, "{times:#?}");
    }
    engine.remove("servers");
}
