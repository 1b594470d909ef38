//! Programs that run under somebody else's filter are given a namespace by whoever has its listener.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::adopt::{Adopter, Counter};
use harness::clock::{Host, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Run, Running};
use harness::{Missing, need, supervisor, sys, tools};
use std::ffi::OsString;
use std::os::fd::AsFd;

/// Seconds from the host's time of day.
const AHEAD: i128 = 34_560_000;

fn order() -> String {
    format!(r#"{{"offsets":[[{AHEAD},0],[{AHEAD},0],[0,0],[0,0]],"proc":true}}"#)
}

/// Where the time of day is to be in seconds, or later.
fn target() -> String {
    (sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + AHEAD).to_string()
}

/// Starts a program under a profile's filter.
fn launch(counter: &Counter, program: &[OsString]) -> Result<Running, Missing> {
    let launcher = guests::build("adopted", Kind::Glibc)?;
    let mut argv: Vec<OsString> = vec![launcher.into(), counter.path().into()];
    argv.extend_from_slice(program);
    Ok(Run::on_host().start(&argv))
}

/// Starts the guest under a profile's filter, with these words.
fn start(counter: &Counter, kind: Kind, words: &[&str]) -> Result<Running, Missing> {
    let guest = guests::build("adopted", kind)?;
    let mut program: Vec<OsString> = vec![guest.into(), "-".into()];
    program.extend(words.iter().map(OsString::from));
    launch(counter, &program)
}

#[test]
fn a_program_under_a_profile_has_the_clocks_and_the_waits_of_who_adopts_it() {
    let before = Host::now();
    for kind in [Kind::Glibc, Kind::GlibcStatic] {
        let counter = Counter::new();
        let guest = need!(start(&counter, kind, &["check", &target(), "20"]));
        let adopter = Adopter::start(&order(), counter.take().as_fd());
        assert!(adopter.is_ready());
        assert_eq!(guest.finish().succeeded().stdout, "");
        assert_eq!(adopter.finish(), (Some(0), String::new()));
    }
    assert!(before.moved().abs() < SECOND);
}

#[test]
fn every_kind_of_program_under_a_profile_has_the_clocks_of_who_adopts_it() {
    for kind in [Kind::Musl, Kind::MuslStatic, Kind::RustStatic, Kind::Go] {
        let counter = Counter::new();
        let now = need!(guests::build("now", kind));
        let guest = need!(launch(&counter, &[now.into()]));
        let adopter = Adopter::start(&order(), counter.take().as_fd());
        let done = guest.finish().succeeded();
        let host = done.before.until(done.after, "REALTIME");
        host.shifted(AHEAD * SECOND)
            .check_lines(&done.stdout)
            .unwrap();
        assert_eq!(adopter.finish(), (Some(0), String::new()));
    }
}

#[test]
fn a_killed_worker_is_replaced_under_a_running_program_without_a_failed_call() {
    let counter = Counter::new();
    let mut guest = need!(start(&counter, Kind::Glibc, &["check", &target(), "150"]));
    let adopter = Adopter::start(&order(), counter.take().as_fd());
    assert!(adopter.is_ready());
    let mut killed = 0;
    while guest.is_alive() {
        if let Some(worker) = supervisor::worker(adopter.pid()) {
            sys::kill(worker, libc::SIGKILL);
            killed += 1;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(killed > 10, "{killed} workers were killed");
    assert_eq!(guest.finish().succeeded().stdout, "");
    assert_eq!(adopter.finish(), (Some(0), String::new()));
}

#[test]
fn a_program_waits_in_its_first_call_until_it_is_adopted() {
    let counter = Counter::new();
    let mut guest = need!(start(&counter, Kind::Glibc, &["sleep", "10"]));
    let listener = counter.take();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(guest.is_alive());
    let adopter = Adopter::start(&order(), listener.as_fd());
    drop(listener);
    assert_eq!(guest.finish().succeeded().stdout, "in time\n");
    assert_eq!(adopter.finish(), (Some(0), String::new()));
}

#[test]
fn without_a_keeper_no_program_starts() {
    let counter = Counter::new();
    let guest = need!(start(&counter, Kind::Glibc, &["sleep", "10"]));
    drop(counter.take());
    assert_ne!(guest.finish().code, 0);
}

#[test]
fn what_is_no_listener_is_refused() {
    let file = tempfile::tempfile().unwrap();
    let (code, said) = Adopter::start(&order(), file.as_fd()).finish();
    assert_eq!(code, Some(125));
    assert_eq!(said, "elsewhen: the descriptor is not a seccomp listener\n");
}

#[test]
fn an_order_that_is_none_is_refused() {
    let file = tempfile::tempfile().unwrap();
    for order in ["{}", "[", r#"{"offsets":[[0,0]],"proc":true}"#] {
        let (code, said) = Adopter::start(order, file.as_fd()).finish();
        assert_eq!(code, Some(125), "{order}");
        assert!(said.starts_with("elsewhen: the order is none: "), "{said}");
    }
}

#[test]
fn a_namespace_that_an_adopted_program_makes_is_frozen_by_its_child() {
    let python = need!(tools::python());
    let script = "import ctypes, os
assert ctypes.CDLL(None).unshare(0x80) == 0
def put(text):
    try:
        with open('/proc/self/timens_offsets', 'w') as f:
            f.write(text)
        return 'written'
    except PermissionError:
        return 'frozen'
before = put('monotonic 77 0')
ends, keep = os.pipe()
if os.fork() == 0:
    os.close(keep)
    os.read(ends, 1)
    os._exit(0)
print(before, put('monotonic 78 0'))";
    let counter = Counter::new();
    let words = [python.into_os_string(), "-c".into(), script.into()];
    let program = need!(launch(&counter, &words));
    let adopter = Adopter::start(&order(), counter.take().as_fd());
    assert!(adopter.is_ready());
    assert_eq!(program.finish().succeeded().stdout, "written frozen\n");
    assert_eq!(adopter.finish(), (Some(0), String::new()));
}
