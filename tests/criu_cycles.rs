//! The time that a tree counts which CRIU dumps and restores again and again.
//!
//! `ELSEWHEN_STORM` set, it is fifty times.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, TICK};
use harness::criu::Criu;
use harness::need;
use harness::process::Run;
use harness::restored::SHIFTED;
use harness::ticks::Ticker;
use std::fs;
use std::time::Duration;

/// MONOTONIC and, of the host, BOOTTIME in a file of clocks, in nanoseconds.
fn saved(criu: &Criu) -> (i128, i128) {
    let text = fs::read_to_string(criu.clocks()).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let nanos = |part: &str, clock: &str| {
        let text = file[part][clock].as_str().unwrap();
        harness::clock::Reading::parse(text).unwrap().nanos
    };
    (nanos("clocks", "monotonic"), nanos("host", "boottime"))
}

/// What a tree's MONOTONIC counts from one dump to the next is the time from the restore between them to the
/// second, by the host's clock: but for what lies within the stages of CRIU's at which the clocks are
/// saved and go on.
///
/// | from | what the clocks go on from | when |
/// | --- | --- | --- |
/// | our file | `post-dump`, which the file names | as CRIU starts |
/// | the kernel's time namespace | behind `pre-dump`, before `post-dump` | behind `pre-restore`, before `post-restore` |
fn counts_the_time_that_it_ran(by_file: bool) {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let rounds = match std::env::var_os("ELSEWHEN_STORM") {
        Some(_) => 50,
        None => 3,
    };
    criu.note_stages();
    let filters = || {
        let status = fs::read_to_string(format!("/proc/{}/status", ticker.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("Seccomp_filters:"));
        let count: u32 = line.unwrap()[16..].trim().parse().unwrap();
        assert!(count <= 2, "{count} filters");
    };
    let mut total = [0; 3];
    let mut last: Option<(i128, [i128; 2])> = None;
    for round in 0..rounds {
        criu.dump(ticker.pid());
        let (counts, at) = saved(&criu);
        let ticks = ticker.ticks();
        assert!(ticks.last().unwrap().monotonic <= counts, "round {round}");
        let frozen = criu.stage("pre-dump");
        if let Some((before, [first, latest])) = last {
            // All that lies between, on either side.
            let (ran, counted) = ([at - latest, at - first], counts - before);
            assert!(
                (ran[0]..=ran[1]).contains(&counted),
                "round {round}: {counted} not in {ran:?}"
            );
            for (sum, of) in total.iter_mut().zip([ran[0], counted, ran[1]]) {
                *sum += of;
            }
        }
        if by_file {
            criu.forget_clocks();
        }
        std::thread::sleep(Duration::from_millis(100));
        let start = Host::now();
        let start = start.until(start, "BOOTTIME").before;
        criu.restore();
        filters();
        ticker.wait_for_more(5);
        let after = ticker.ticks()[ticks.len()];
        assert!(after.monotonic >= ticks.last().unwrap().monotonic);
        last = Some(match by_file {
            true => {
                assert!(after.monotonic >= counts, "round {round}: {after:?}");
                // The file goes on as old as CRIU is, in whole ticks of the kernel's.
                (counts, [start - TICK, criu.stage("pre-restore") + TICK])
            }
            // What has passed before CRIU read the clocks has been counted a second time.
            false => {
                let twice = at - frozen + TICK;
                let until = criu.stage("post-restore") + TICK;
                (counts, [criu.stage("pre-restore"), until + twice])
            }
        });
    }
    // All of it is what has passed, less the pauses.
    assert!(total[0] <= total[1] && total[1] <= total[2], "{total:?}");
    println!("{rounds} rounds: {} ns of {total:?}", total[1]);
}

#[test]
fn a_tree_that_is_dumped_again_and_again_counts_the_time_that_it_ran() {
    counts_the_time_that_it_ran(false);
}

#[test]
fn it_does_so_where_the_kernel_has_no_time_namespaces() {
    counts_the_time_that_it_ran(true);
}
