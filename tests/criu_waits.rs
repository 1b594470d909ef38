//! Waits and timers that are pending while CRIU dumps and restores a program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND, TICK};
use harness::criu::{self, Criu, LATER};
use harness::guests::{self, Kind};
use harness::need;
use harness::process::Run;
use harness::restored::{Program, SHIFTED, pause};
use harness::sys::wait_until;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What each way of waiting has said, until all have.
fn wait_for_ends(file: &Path) -> Vec<(String, i128, i32)> {
    const WAYS: usize = 5;
    wait_until(|| criu::lines(file).len() > WAYS, "the ends of all waits");
    let parse = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [way, late, result] = words[..] else {
            panic!("it says `{line}`");
        };
        (
            way.to_owned(),
            late.parse().unwrap(),
            result.parse().unwrap(),
        )
    };
    criu::lines(file).into_iter().skip(1).map(parse).collect()
}

/// Waits and timers that were pending at the dump end when they were to, on a host that was started later.
fn waits_go_on(run: &Run, has_time_namespaces: bool) {
    let criu = need!(Criu::find());
    let program = need!(guests::build("pending", Kind::Glibc));
    let file = criu.file("ends");
    let words = [program.to_str().unwrap(), file.to_str().unwrap(), "6000"];
    let program = Program::start(run, &words);
    wait_until(|| !criu::lines(&file).is_empty(), "its start");
    std::thread::sleep(Duration::from_millis(500));
    criu.dump(program.pid());
    pause();
    if !has_time_namespaces {
        criu.forget_clocks();
    }
    criu.restore_by(&LATER);
    for (way, late, result) in wait_for_ends(&file) {
        let expected = match way.as_str() {
            "futex" | "condition" => libc::ETIMEDOUT,
            "timerfd" => 8,
            _ => 0,
        };
        assert_eq!(result, expected, "{way}");
        // CRIU sets a timerfd without the part of a second that the clock reads then.
        let early = if way == "timerfd" { SECOND } else { 0 };
        assert!(late >= -early, "{way} is {late} ns late");
        // By the host's clock it would be hours, or never.
        assert!(late < 20 * SECOND, "{way} is {late} ns late");
    }
}

#[test]
fn what_is_waited_for_comes_when_it_is_due() {
    waits_go_on(&Run::inside(&SHIFTED), true);
}

#[test]
fn what_is_waited_for_comes_when_it_is_due_where_the_kernel_has_no_time_namespaces() {
    waits_go_on(&Run::inside(&SHIFTED), false);
}

#[test]
fn what_programs_wait_for_that_elsewhen_has_not_started_comes_when_it_is_due() {
    waits_go_on(&Run::on_host(), false);
}

/// By how much later than it was to each timer would go off, as the program `armed` has said last.
fn late(file: &Path) -> Vec<(String, i128)> {
    const WAYS: usize = 5;
    let had = criu::lines(file).len();
    wait_until(|| criu::lines(file).len() > had + 2 * WAYS, "its timers");
    let lines = criu::lines(file);
    let parse = |line: &String| {
        let (way, late) = line.split_once(' ').unwrap();
        (way.to_owned(), late.parse().unwrap())
    };
    lines[lines.len() - WAYS..].iter().map(parse).collect()
}

/// A timer that is armed at the dump keeps the time that it has left: CRIU notes it amid the dump and sets it
/// amid the restore, and no more than these two take is added to it.
fn timers_keep_their_time(run: &Run, has_time_namespaces: bool) {
    let criu = need!(Criu::find());
    let program = need!(guests::build("armed", Kind::Glibc));
    let file = criu.file("late");
    let words = [program.to_str().unwrap(), file.to_str().unwrap()];
    let program = Program::start(run, &words);
    for (way, late) in late(&file) {
        assert!((-TICK..=TICK).contains(&late), "{way} is {late} ns late");
    }
    let dump = Host::now();
    criu.dump(program.pid());
    let dump = dump.until(Host::now(), "MONOTONIC");
    pause();
    if !has_time_namespaces {
        criu.forget_clocks();
    }
    let restore = Host::now();
    criu.restore_by(&LATER);
    let restore = restore.until(Host::now(), "MONOTONIC");
    let most = dump.after - dump.before + restore.after - restore.before + TICK;
    for (way, late) in late(&file) {
        println!("{way}: {late} ns of {most}");
        // CRIU sets it without the part of a second that the clock reads then.
        let early = if way == "timerfd" { SECOND } else { 0 } + TICK;
        assert!(
            (-early..=most).contains(&late),
            "{way}: {late} ns of {most}"
        );
    }
}

#[test]
fn armed_timers_keep_the_time_that_is_left() {
    timers_keep_their_time(&Run::inside(&SHIFTED), true);
}

#[test]
fn armed_timers_keep_the_time_that_is_left_where_the_kernel_has_no_time_namespaces() {
    timers_keep_their_time(&Run::inside(&SHIFTED), false);
}

#[test]
fn armed_timers_of_programs_that_elsewhen_has_not_started_keep_the_time_that_is_left() {
    timers_keep_their_time(&Run::on_host(), false);
}

#[test]
fn a_wait_that_a_handler_interrupts_at_the_dump_ends_when_it_is_due() {
    let criu = need!(Criu::find());
    let program = need!(guests::build("handled", Kind::Glibc));
    let [output, go] = ["ends", "go"].map(|name| criu.file(name));
    let words = [&program, &output, Path::new("10000"), &go].map(|word| word.to_str().unwrap());
    let program = Program::start(&Run::inside(&SHIFTED), &words);
    wait_until(|| !criu::lines(&output).is_empty(), "its handlers");
    criu.dump(program.pid());
    criu.forget_clocks();
    criu.restore_by(&LATER);
    fs::write(&go, "").unwrap();
    // By the host's clock it would take hours.
    wait_until(|| criu::lines(&output).len() == 3, "the ends of all waits");
    for line in criu::lines(&output).iter().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        let late: i128 = words[1].parse().unwrap();
        assert!(late >= 0, "{line}");
        assert_eq!(words[2], libc::ETIMEDOUT.to_string(), "{line}");
    }
}
