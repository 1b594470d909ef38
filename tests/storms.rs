//! Many programs at once, killed, replaced and ended at every moment of their start.
//!
//! `ELSEWHEN_STORM=full` makes each storm eighty times as long.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::SECOND;
use harness::guests::{self, Kind};
use harness::process::Run;
use harness::{need, sys};

/// Runs the storm `mode` with programs of one kind, from four parents.
fn no_program_sees_the_hosts_time(mode: &str, kind: Kind) {
    let storm = need!(guests::build("storm", Kind::Glibc));
    let program = need!(guests::build("now", kind));
    let full = std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full");
    let (each, limit) = if full { (4000, 1800) } else { (50, 300) };
    let now = sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + harness::SHIFT;
    // Far enough that no slow machine reaches it, near enough that no double shift does.
    let numbers = [4, each].map(|n: i32| n.to_string());
    let bounds = [now - 1, now + 100_000].map(|n| n.to_string());
    let words = [
        storm.as_os_str(),
        mode.as_ref(),
        numbers[0].as_ref(),
        numbers[1].as_ref(),
        program.as_os_str(),
        bounds[0].as_ref(),
        bounds[1].as_ref(),
    ];
    let run = Run::shifted().limit(limit).run(&words).succeeded();
    let counts: Vec<i32> = run
        .stdout
        .split_whitespace()
        .filter_map(|w| w.parse().ok())
        .collect();
    assert_eq!(counts.iter().sum::<i32>(), 4 * each, "{run:#?}");
    assert_eq!((counts[1], counts[3]), (0, 0), "{run:#?}");
}

#[test]
fn programs_on_dynamic_glibc_start_shifted_in_a_storm() {
    no_program_sees_the_hosts_time("exec", Kind::Glibc);
}

#[test]
fn programs_on_static_glibc_start_shifted_in_a_storm() {
    no_program_sees_the_hosts_time("exec", Kind::GlibcStatic);
}

#[test]
fn programs_on_dynamic_musl_start_shifted_in_a_storm() {
    no_program_sees_the_hosts_time("exec", Kind::Musl);
}

#[test]
fn programs_on_static_musl_start_shifted_in_a_storm() {
    no_program_sees_the_hosts_time("exec", Kind::MuslStatic);
}

#[test]
fn programs_may_exec_again_before_they_read_a_clock() {
    no_program_sees_the_hosts_time("hop", Kind::Glibc);
    no_program_sees_the_hosts_time("hop", Kind::MuslStatic);
}

#[test]
fn programs_may_end_at_once() {
    no_program_sees_the_hosts_time("quit", Kind::Glibc);
    no_program_sees_the_hosts_time("quit", Kind::MuslStatic);
}

#[test]
fn programs_may_be_killed_while_they_start() {
    no_program_sees_the_hosts_time("kill", Kind::Glibc);
    no_program_sees_the_hosts_time("kill", Kind::MuslStatic);
}

#[test]
fn a_second_thread_may_exec_while_the_first_reads_the_clock() {
    no_program_sees_the_hosts_time("thread", Kind::Glibc);
    no_program_sees_the_hosts_time("thread", Kind::MuslStatic);
}
