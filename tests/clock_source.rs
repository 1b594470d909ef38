//! Programs that run while the kernel changes its clock source read on as before.
//!
//! All clocks of the machine depend on it, so this is a test binary of its own: Cargo runs those one
//! after another.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::{need, skip};

const DIRECTORY: &str = "/sys/devices/system/clocksource/clocksource0";

/// How long the programs read, and how often the source changes there and back meanwhile.
const SECONDS: u64 = 6;
const CHANGES: u32 = 10;

/// The clock source as it was, which returns when this is dropped.
struct Source {
    before: String,
    /// Sets it when its input ends, and so also after this process was killed.
    keeper: Option<Child>,
}

impl Source {
    fn current() -> String {
        let text = fs::read_to_string(format!("{DIRECTORY}/current_clocksource")).unwrap();
        text.trim().to_owned()
    }

    fn kept() -> Self {
        let before = Self::current();
        let script = format!(
            "trap '' HUP INT TERM; cat >/dev/null; echo {before} >{DIRECTORY}/current_clocksource"
        );
        let keeper = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            before,
            keeper: Some(keeper),
        }
    }

    fn set(name: &str) {
        fs::write(format!("{DIRECTORY}/current_clocksource"), name).unwrap();
        assert_eq!(Self::current(), name);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Waits, and closes its input before.
        let ended = self.keeper.take().map(|mut keeper| keeper.wait());
        eprintln!("the clock source is {} again: {ended:?}", Self::current());
    }
}

#[test]
fn a_program_reads_on_exactly_while_the_clock_source_changes() {
    need!(harness::root());
    let bracket = need!(guests::build("bracket", Kind::Glibc));
    let sources = fs::read_to_string(format!("{DIRECTORY}/available_clocksource"));
    let sources = sources.unwrap_or_default();
    let others: Vec<&str> = sources
        .split_whitespace()
        .filter(|name| *name != "tsc")
        .collect();
    if others.is_empty() || Source::current() != "tsc" {
        skip!("this machine has no TSC clock source, or no other");
    }

    let offsets = ["+1000000.000000001", "-5.5", "+77.999999999", "-0.25"];
    let nanos = [
        1_000_000_000_000_001_i64,
        -5_500_000_000,
        77_999_999_999,
        -250_000_000,
    ];
    let mut words = vec![bracket.into_os_string(), SECONDS.to_string().into()];
    words.extend(nanos.map(|offset| offset.to_string().into()));
    let members: Vec<_> = ["direct", "kernel", "syscall"]
        .into_iter()
        .map(|reads| {
            let [realtime, tai, monotonic, boottime] = offsets;
            let options = [
                "--backend=guest".to_owned(),
                format!("--reads={reads}"),
                format!("--realtime={realtime}"),
                format!("--tai={tai}"),
                format!("--monotonic={monotonic}"),
                format!("--boottime={boottime}"),
            ];
            (reads, Run::inside(&options).start(&words))
        })
        .collect();

    let source = Source::kept();
    let pause = Duration::from_secs(SECONDS - 1) / (2 * CHANGES);
    for n in 0..CHANGES as usize {
        sleep(pause);
        Source::set(others[n % others.len()]);
        sleep(pause);
        Source::set(&source.before);
    }
    drop(source);
    assert_eq!(Source::current(), "tsc");

    for (reads, member) in members {
        let run = member.finish();
        assert_eq!(run.code, 0, "{reads}: {run:#?}");
        let rounds: u32 = run.stdout.split(' ').next().unwrap().parse().unwrap();
        assert!(rounds > 100, "{reads}: {run:#?}");
    }
}
