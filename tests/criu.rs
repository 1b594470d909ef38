//! Clocks that go on in what CRIU has restored.
//!
//! "Another host" is a time namespace of the kernel's with other offsets around `criu restore`, and a kernel
//! without time namespaces is one where CRIU has not kept its clocks: their image is taken away.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::criu::{self, Criu, LATER};
use harness::guests::Kind;
use harness::need;
use harness::process::Run;
use harness::restored::{Program, SHIFTED, pause};
use harness::ticks::{Ticker, expect_no_pause, expect_true_time};
use std::fs;
use std::time::Duration;

const DAYS: i128 = 86_400 * SECOND;
#[test]
fn the_clocks_of_a_tree_go_on_where_criu_has_kept_them() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let (before, after, _) = ticker.through(&criu, pause, &[]);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_a_tree_go_on_on_another_host() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let (before, after, _) = ticker.through(&criu, pause, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_a_tree_go_on_where_the_kernel_has_no_time_namespaces() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let between = || {
        criu.forget_clocks();
        pause();
    };
    let (before, after, _) = ticker.through(&criu, between, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_a_tree_go_on_whose_clocks_the_kernel_keeps() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED[1..]), &criu));
    let (before, after, _) = ticker.through(&criu, pause, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_programs_that_elsewhen_has_not_started_go_on_too() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::on_host(), &criu));
    let between = || {
        criu.forget_clocks();
        pause();
    };
    let (before, after, _) = ticker.through(&criu, between, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
    // It is a tree as any other now.
    let (before, after, _) = ticker.through(&criu, pause, &[]);
    expect_no_pause(before, after);
}

#[test]
fn each_clock_goes_on_by_its_policy() {
    let criu = need!(Criu::find());
    criu.act_with(&["--policy realtime=continue,monotonic=continue+gap"]);
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let (before, after, paused) = ticker.through(&criu, pause, &[]);
    // The pause is left out of the one, and counted by the other.
    let realtime = after.realtime - before.realtime;
    let monotonic = after.monotonic - before.monotonic;
    let boottime = after.boottime - before.boottime;
    let pause = paused.after - paused.before;
    assert!(realtime >= 0 && boottime >= 0, "{before:?} {after:?}");
    assert!(monotonic >= pause, "{monotonic} of {pause}");
    for left_out in [realtime, boottime, after.tai - before.tai] {
        assert!(left_out <= monotonic - SECOND, "{left_out} of {monotonic}");
    }
}

#[test]
fn a_tree_whose_image_is_laid_out_in_another_way_goes_on() {
    for reads in ["--reads=kernel", "--reads=syscall"] {
        let criu = need!(Criu::find());
        let options = [&[reads], &SHIFTED[..]].concat();
        let ticker = need!(Ticker::start(&Run::inside(&options), &criu));
        let between = || {
            criu.forget_clocks();
            pause();
        };
        let (before, after, _) = ticker.through(&criu, between, &LATER);
        expect_no_pause(before, after);
        expect_true_time(&ticker);
        // The dumped image is there a second time.
        let (before, after, _) = ticker.through(&criu, pause, &LATER);
        expect_no_pause(before, after);
    }
}

/// musl's clock_nanosleep(3) waits at its own place, and a program with nothing else never gets a gate.
#[test]
fn a_wait_at_its_own_place_goes_on_where_the_image_is_laid_out_in_another_way() {
    let criu = need!(Criu::find());
    let options = [&["--reads=kernel"], &SHIFTED[..]].concat();
    let run = Run::inside(&options);
    let ticker = need!(Ticker::start_as(Kind::MuslStatic, &run, &criu));
    let between = || {
        criu.forget_clocks();
        pause();
    };
    let (before, after, _) = ticker.through(&criu, between, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn a_process_that_was_stopped_stays_stopped() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    harness::sys::kill(ticker.pid(), libc::SIGSTOP);
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", ticker.pid())).unwrap();
        stat.contains(") T ")
    };
    harness::sys::wait_until(is_stopped, "its stop");
    criu.dump(ticker.pid());
    let had = ticker.ticks();
    criu.restore();
    harness::sys::wait_until(is_stopped, "its stop");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticker.ticks().len(), had.len());
    assert!(is_stopped());
    harness::sys::kill(ticker.pid(), libc::SIGCONT);
    ticker.wait_for_more(3);
    let after = ticker.ticks()[had.len()];
    assert!(after.monotonic >= had.last().unwrap().monotonic);
}

#[test]
fn programs_that_are_started_after_the_restore_have_the_clocks() {
    let criu = need!(Criu::find());
    let answers = criu.file("answers");
    let script = format!(
        "while :; do date +%s.%N >> '{}'; sleep 0.1; done",
        answers.display()
    );
    criu.act_with(&["--policy realtime=continue"]);
    let words = ["sh", "-c", &script];
    let shell = Program::start(&Run::inside(&SHIFTED), &words);
    let wait = || criu::wait_for_more(&answers, 4, "its answers");
    wait();
    for _ in 0..2 {
        criu.dump(shell.pid());
        criu.restore();
        wait();
    }
    let before = Host::now();
    wait();
    let last = criu::lines(&answers).pop().unwrap();
    let host = before.until(Host::now(), "REALTIME");
    let last = harness::clock::Reading::parse(&last).unwrap().nanos;
    let expected = host.shifted(400 * DAYS);
    // Less what the two pauses took.
    assert!(last <= expected.after, "{last} {expected:?}");
    assert!(
        last >= expected.before - 600 * SECOND,
        "{last} {expected:?}"
    );
}
