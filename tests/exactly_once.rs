//! Under a storm of signals each call with an absolute time is made once, and leaves all as it was.
//!
//! `ELSEWHEN_STORM=full` makes each storm fifty times as long.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::agreement::{self, AHEAD};
use harness::containers::{Agent, Container};
use harness::guests::{self, Kind};
use harness::process::Run;
use harness::{Missing, need};

/// What is printed must be that nothing was wrong; the guest compares all registers, the flags, the
/// red zone and each call's effects by itself.
fn nothing_wrong(run: &Run, call: &str, few: u32, kind: Kind) -> Result<(), Missing> {
    let guest = guests::build("exactly_once", kind)?;
    let count = agreement::rounds(few, 50 * few);
    for signals in ["quiet", "norestart", "restart"] {
        for site in ["known", "unknown"] {
            let words = [&count, signals, site].map(AsRef::as_ref);
            let words = [&[guest.as_os_str(), call.as_ref()], &words[..]].concat();
            let done = run.run(&words).succeeded();
            assert_eq!(done.stdout, format!("{call}: 0 wrong\n"), "{done:#?}");
        }
    }
    Ok(())
}

fn exactly_once(call: &str, few: u32) -> Result<(), Missing> {
    let limit = 900;
    nothing_wrong(&agreement::host().limit(limit), call, few, Kind::Glibc)?;
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        nothing_wrong(&agreement::inside(&AHEAD).limit(limit), call, few, kind)?;
    }
    Ok(())
}

#[test]
fn a_sleep_ends_by_its_time_or_by_a_handler() {
    need!(exactly_once("sleep", 1000));
}

#[test]
fn each_wake_up_of_a_futex_ends_one_wait() {
    need!(exactly_once("futex", 1000));
}

#[test]
fn a_lock_is_taken_once_and_by_one() {
    need!(exactly_once("lock_pi", 1000));
}

#[test]
fn a_message_is_sent_once() {
    need!(exactly_once("send", 1000));
}

#[test]
fn a_message_is_received_once() {
    need!(exactly_once("receive", 1000));
}

#[test]
fn a_timer_is_set_once() {
    need!(exactly_once("timer", 1000));
}

#[test]
fn a_timerfd_is_set_once() {
    need!(exactly_once("timerfd", 1000));
}

#[test]
fn nothing_is_wrong_in_a_container_either() {
    let agent = Agent::start(&[]);
    let calls = [
        "sleep", "futex", "lock_pi", "send", "receive", "timer", "timerfd",
    ];
    let count = agreement::rounds(300, 10_000);
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        let guest = need!(guests::build("exactly_once", kind));
        let script = format!(
            "for call in {}; do for signals in quiet norestart restart; do for site in known unknown; do\n\
             {} $call {count} $signals $site || exit 1\n\
             done; done; done",
            calls.join(" "),
            guest.display(),
        );
        // The backend is a container's anyway.
        let container = Container::of_host(&agent, &AHEAD[2..], &[], &["sh", "-c", &script]);
        let done = need!(container).run().succeeded();
        let expected: String = calls
            .iter()
            .map(|call| format!("{call}: 0 wrong\n").repeat(6))
            .collect();
        assert_eq!(done.stdout, expected, "{done:#?}");
    }
}
