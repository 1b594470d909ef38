//! Absolute sleeps and timers of a program that somebody else traces, so that it cannot be redirected.
//!
//! The host is the oracle: the program prints the same there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::supervisor::{keeper, worker};
use harness::{Missing, need, sys, tools};
use std::ffi::OsString;
use std::time::Duration;

const REALTIME: &str = "0";
const MONOTONIC: &str = "1";
const BOOTTIME: &str = "7";
const TAI: &str = "11";

fn guest(mode: &str, clock: &str) -> Result<Vec<OsString>, Missing> {
    let guest = guests::build("settings", Kind::Glibc)?;
    Ok(vec![guest.into_os_string(), mode.into(), clock.into()])
}

fn strace() -> Result<Vec<OsString>, Missing> {
    let words = ["-f", "-o", "/dev/null"].map(OsString::from);
    Ok([vec![tools::find("strace")?.into()], words.to_vec()].concat())
}

/// In a namespace where each clock is `sign` far away, as far as it can be.
fn inside(sign: char) -> Run {
    by("guest", sign)
}

fn by(backend: &str, sign: char) -> Run {
    let since_boot = if sign == '-' { "-1" } else { "+400d" };
    Run::inside(&[
        format!("--backend={backend}"),
        format!("--realtime={sign}400d"),
        format!("--monotonic={since_boot}"),
        format!("--boottime={since_boot}"),
    ])
}

/// Has the guest print the same as on the host, by itself and traced, with its clock ahead and back.
fn expect(mode: &str, clocks: &[&str]) -> Result<(), Missing> {
    expect_by("guest", mode, clocks)
}

fn expect_by(backend: &str, mode: &str, clocks: &[&str]) -> Result<(), Missing> {
    let strace = strace()?;
    for clock in clocks {
        let words = guest(mode, clock)?;
        let oracle = Run::on_host().run(&words).succeeded().stdout;
        assert!(oracle.contains("in time") && !oracle.contains("late"));
        for sign in ['+', '-'] {
            let alone = by(backend, sign).run(&words).succeeded();
            assert_eq!(alone.stdout, oracle, "{mode} {clock} {sign}");
            let traced = [&strace[..], &words].concat();
            let traced = by(backend, sign).run(&traced).succeeded();
            assert_eq!(traced.stdout, oracle, "{mode} {clock} {sign}, traced");
        }
    }
    Ok(())
}

#[test]
fn a_traced_threads_sleep_ends_in_time() {
    need!(expect("sleep", &[REALTIME, MONOTONIC, BOOTTIME, TAI]));
}

#[test]
fn a_traced_threads_timerfd_is_set_with_the_errors_of_linux() {
    need!(expect("timerfd", &[REALTIME, MONOTONIC, BOOTTIME]));
}

#[test]
fn a_traced_threads_timers_are_right_where_the_kernel_keeps_two_clocks() {
    need!(expect_by("auto", "sleep", &[REALTIME, MONOTONIC]));
    need!(expect_by("auto", "timerfd", &[REALTIME, BOOTTIME]));
}

#[test]
fn a_traced_threads_wait_for_a_word_ends_in_time_and_when_the_word_changes() {
    need!(expect("futex", &[REALTIME, MONOTONIC]));
}

#[test]
fn a_signal_ends_a_traced_threads_sleep_if_a_handler_runs() {
    need!(expect("signals", &[REALTIME]));
}

#[test]
fn threads_that_are_traced_sleep_and_set_timers_each_with_its_own_descriptors() {
    need!(expect("threads", &[REALTIME]));
}

#[test]
fn a_traced_threads_sleep_outlives_its_worker() {
    let strace = need!(strace());
    let words = [strace, need!(guest("signals", REALTIME))].concat();
    let oracle = Run::on_host().run(&words[4..]).succeeded().stdout;
    let mut run = inside('+').start(&words);
    let mut killed = 0;
    while run.is_alive() {
        std::thread::sleep(Duration::from_millis(150));
        if let Some(worker) = keeper(run.pid()).and_then(worker) {
            sys::kill(worker, libc::SIGKILL);
            killed += 1;
        }
    }
    let run = run.finish().succeeded();
    assert!(killed > 3, "{killed}");
    assert_eq!(run.stdout, oracle);
}
