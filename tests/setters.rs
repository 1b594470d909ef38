//! The host's clock cannot be moved from inside, and the errors are Linux's.
//!
//! The kernel is the oracle: what it answers to a process without `CAP_SYS_TIME` is what a member
//! of a namespace is answered, root included. Each attempt would move the host by a few seconds
//! if it got through; the tests notice, put the clock back and fail.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::containers::{Agent, Container};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::{Missing, need, root, skip, sys};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;

/// One test at a time, so that a moved clock is laid at the right door.
static ONE: Mutex<()> = Mutex::new(());

/// Runs and then fails if the host's time of day was moved meanwhile.
fn watching_the_host(run: impl FnOnce() -> Finished) -> Finished {
    watching(|| Ok(run())).unwrap()
}

fn watching(run: impl FnOnce() -> Result<Finished, Missing>) -> Result<Finished, Missing> {
    let before = Host::now();
    let finished = run();
    let moved = before.moved();
    if moved.abs() > SECOND / 2 {
        before.put_back();
        panic!("the host's clock was moved by {moved} ns; put back\n{finished:#?}");
    }
    finished
}

fn attempt(guest: &Path, table: &[&str]) -> Vec<OsString> {
    let soon = sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + 7;
    let mut words = vec![guest.as_os_str().to_owned()];
    words.extend(table.iter().map(OsString::from));
    words.push(soon.to_string().into());
    words
}

fn errors(run: &Finished) -> BTreeMap<String, i32> {
    let parse = |line: &str| {
        let (attempt, error) = line.split_once(' ').unwrap();
        (attempt.to_owned(), error.parse().unwrap())
    };
    run.stdout.lines().map(parse).collect()
}

/// Compares the answers inside with the kernel's to an ordinary user.
fn expect_the_kernels_answers(kind: Kind, table: &[&str], inside: fn(Run, &Path) -> Run) {
    expect_answers(kind, table, |dir, words| {
        Ok(inside(Run::shifted(), dir).run(words))
    });
}

/// The same in a container whose root has these capabilities besides the usual few.
fn expect_the_kernels_answers_in_a_container(table: &[&str], capabilities: &[&str]) {
    let agent = Agent::start(&[]);
    let clocks = ["--realtime=+1000000", "--monotonic=+500000"];
    let kind = Kind::Glibc;
    let guest = need!(guests::build("setters", kind));
    expect_answers(kind, table, |_, words| {
        let words = [&[guest.clone().into_os_string()], &words[1..]].concat();
        Ok(Container::of_host(&agent, &clocks, capabilities, &words)?.run())
    });
}

fn expect_answers(
    kind: Kind,
    table: &[&str],
    inside: impl Fn(&Path, &[OsString]) -> Result<Finished, Missing>,
) {
    let _one = ONE.lock();
    let dir = guests::public_directory();
    let guest = guests::copy(&need!(guests::build("setters", kind)), dir.path(), 0o755);
    let words = attempt(&guest, table);
    let host = watching_the_host(|| Run::on_host().by_ordinary_user(dir.path()).run(&words));
    if host.code != 0 {
        skip!("this kernel does not know these calls: {}", host.stderr);
    }
    let oracle = errors(&host);
    assert!(oracle.values().any(|e| *e == libc::EPERM), "{host:#?}");

    let run = need!(watching(|| inside(dir.path(), &words)));
    let answers = errors(&run.succeeded());
    let differences: Vec<String> = oracle
        .iter()
        .filter(|(attempt, error)| answers.get(*attempt) != Some(error))
        .map(|(a, e)| format!("{a}: {:?}, but Linux answers {e}", answers.get(a)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn root_inside_gets_the_errors_of_a_process_that_may_not_set_the_time() {
    need!(root());
    expect_the_kernels_answers(Kind::Glibc, &[], |run, _| run);
}

#[test]
fn root_inside_gets_the_same_errors_from_a_static_program() {
    need!(root());
    expect_the_kernels_answers(Kind::GlibcStatic, &[], |run, _| run);
}

#[test]
fn root_inside_gets_the_same_errors_through_int_0x80() {
    need!(root());
    expect_the_kernels_answers(Kind::Glibc, &["int80"], |run, _| run);
}

#[test]
fn an_ordinary_user_inside_gets_the_errors_it_gets_outside() {
    expect_the_kernels_answers(Kind::Glibc, &[], Run::by_ordinary_user);
}

#[test]
fn an_ordinary_user_inside_gets_the_same_errors_through_int_0x80() {
    expect_the_kernels_answers(Kind::Glibc, &["int80"], Run::by_ordinary_user);
}

#[test]
fn a_containers_root_gets_the_errors_of_a_process_that_may_not_set_the_time() {
    need!(root());
    for capabilities in [&[][..], &["CAP_SYS_TIME"]] {
        for table in [&[][..], &["int80"]] {
            expect_the_kernels_answers_in_a_container(table, capabilities);
        }
    }
}

#[test]
fn date_cannot_set_the_time() {
    need!(root());
    let _one = ONE.lock();
    let soon = sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + 7;
    let date = ["date".into(), "--set".into(), format!("@{soon}")];
    let run = watching_the_host(|| Run::shifted().run(&date));
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains("Operation not permitted"), "{run:#?}");
}

#[test]
fn a_failed_attempt_leaves_the_clock_inside_as_it_was() {
    need!(root());
    let _one = ONE.lock();
    let soon = sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + 7;
    let script = format!("date --set @{soon} >&2; date +%s.%N");
    watching_the_host(|| Run::shifted().run(&["sh", "-c", &script])).expect_shifted();
}
