//! Programs that wait, on the host and in namespaces that are far from it.

use super::clock::{Host, SECOND};
use super::guests;
use super::process::{Finished, Run};
use std::ffi::{OsStr, OsString};

/// How long each wait of a guest lasts, in milliseconds.
pub(crate) const WAIT: i128 = 100;

/// What runtimes may take off a wait: some count in milliseconds, and round the clock they read.
const ROUNDING: i128 = 10;

/// No wait takes longer; one that ends by the wrong clock takes days.
pub(crate) const LONGEST: i128 = 20_000;

/// Namespaces of elsewhen's own, whose clocks are each shifted by another distance: a deadline that
/// is converted by the wrong clock's offset, or by none, ends at once or never.
///
/// `MONOTONIC` and `BOOTTIME` cannot be negative, so what can be taken off them is what has passed.
pub(crate) fn worlds() -> [(&'static str, Run); 2] {
    let now = Host::now();
    let since_start = now.until(now, "MONOTONIC").before / SECOND;
    let back = [since_start / 2, since_start / 4].map(|seconds| format!("-{seconds}"));
    let inside = |realtime: &str, monotonic: &str, boottime: &str| {
        let offsets = [
            ["--realtime", realtime],
            ["--monotonic", monotonic],
            ["--boottime", boottime],
        ];
        Run::inside(&[&["--backend", "guest"], offsets.as_flattened()].concat())
    };
    [
        ("far ahead", inside("+400d", "+300d", "+200d")),
        ("far back", inside("-400d", &back[0], &back[1])),
    ]
}

/// What a line says that a guest printed: what came of a wait, and how many milliseconds it took.
fn wait(line: &str) -> Result<(&str, i128), String> {
    line.rsplit_once(' ')
        .and_then(|(result, ms)| Some((result, ms.parse().ok()?)))
        .ok_or_else(|| format!("`{line}` tells of no wait"))
}

/// The results of all waits, in one order, if each took as long as it had to.
pub(crate) fn results(run: &Finished) -> Result<Vec<&str>, String> {
    if run.code != 0 {
        return Err(format!("ended with {}", run.code));
    }
    let mut results = Vec::new();
    for line in run.stdout.lines() {
        let (result, ms) = wait(line)?;
        if ms < WAIT - ROUNDING {
            return Err(format!("`{result}` took {ms} ms only"));
        }
        if ms > LONGEST {
            return Err(format!("`{result}` took {ms} ms"));
        }
        results.push(result);
    }
    results.sort_unstable();
    Ok(results)
}

/// Runs a guest on the host and in each namespace: its waits end as on the host, and in time.
pub(crate) fn expect_same_waits<S: AsRef<OsStr>>(command: &[S]) {
    let mut words: Vec<OsString> = command.iter().map(|w| w.as_ref().to_owned()).collect();
    words.push(WAIT.to_string().into());
    let run = |world: &Run| {
        let dir = guests::public_directory();
        world.clone().in_dir(dir.path()).run(&words)
    };
    let host = run(&Run::on_host());
    let expected = results(&host).unwrap_or_else(|why| panic!("on the host: {why}\n{host:#?}"));
    assert!(!expected.is_empty(), "{host:#?}");
    for (name, world) in worlds() {
        let inside = run(&world);
        match results(&inside) {
            Err(why) => panic!("{name}: {why}\n{inside:#?}"),
            Ok(results) => assert_eq!(results, expected, "{name}: {inside:#?}"),
        }
    }
}
