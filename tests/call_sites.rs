//! Call sites of absolute waits: used for the first time by many threads, while others are blocked
//! there, and where they only look like one.
//!
//! `ELSEWHEN_STORM=full` makes more than ten million calls.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::need;
use harness::process::{Finished, Run};
use harness::worlds::{ahead, behind, expect_agreement, is_full};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// How many sites the guests have (`tests/guests/sites.h`).
const SITES: u64 = 26;

fn words(guest: &Path, rest: &[&str]) -> Vec<OsString> {
    let mut words = vec![guest.as_os_str().to_owned()];
    words.extend(rest.iter().map(OsString::from));
    words
}

/// The number that follows a word in what a guest printed.
fn count(run: &Finished, word: &str) -> u64 {
    let mut words = run.stdout.split_whitespace();
    let found = words.by_ref().find(|w| *w == word).and(words.next());
    found
        .unwrap_or_else(|| panic!("no `{word}`: {run:#?}"))
        .parse()
        .unwrap()
}

/// Threads that are hot on each site from the start; `calls` is how many each makes.
fn every_result_is_right(kind: Kind, world: &Run, rounds: u64, calls: u64, alarms: bool) {
    let storm = need!(guests::build("site_storm", kind));
    let mut numbers = vec![rounds.to_string(), "4".into(), calls.to_string()];
    if alarms {
        numbers.push("alarms".into());
    }
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let run = world.clone().limit(if is_full() { 1800 } else { 300 });
    let run = run.run(&words(&storm, &numbers)).succeeded();
    println!("{}", run.stdout.trim());
    assert_eq!(count(&run, "calls"), 4 * rounds * calls, "{run:#?}");
    assert_eq!(count(&run, "wrong") + count(&run, "broken"), 0, "{run:#?}");
    if !alarms {
        assert_eq!(count(&run, "interrupted"), 0, "{run:#?}");
    }
    // Those that straddle a line need not be patched, but all others must.
    assert!(count(&run, "patched") >= rounds / SITES, "{run:#?}");
}

/// How many rounds of all sites: few, and in full some million calls for each of five tests.
fn rounds() -> u64 {
    SITES * if is_full() { 40 } else { 1 }
}

fn calls() -> u64 {
    if is_full() { 500 } else { 200 }
}

#[test]
fn threads_may_be_hot_on_a_site_when_it_is_first_used_on_dynamic_glibc() {
    every_result_is_right(Kind::Glibc, &ahead(), rounds(), calls(), false);
}

#[test]
fn threads_may_be_hot_on_a_site_when_it_is_first_used_on_static_glibc() {
    every_result_is_right(Kind::GlibcStatic, &behind(), rounds(), calls(), false);
}

#[test]
fn threads_may_be_hot_on_a_site_when_it_is_first_used_on_dynamic_musl() {
    every_result_is_right(Kind::Musl, &ahead(), rounds(), calls(), false);
}

#[test]
fn threads_may_be_hot_on_a_site_when_it_is_first_used_on_static_musl() {
    every_result_is_right(Kind::MuslStatic, &ahead(), rounds(), calls(), false);
}

#[test]
fn handlers_may_run_while_a_site_is_first_used() {
    every_result_is_right(Kind::Glibc, &ahead(), rounds(), calls(), true);
    every_result_is_right(Kind::MuslStatic, &behind(), rounds(), calls(), true);
}

/// Few calls from many fresh processes: what goes wrong does so at the first uses.
#[test]
fn first_uses_of_many_processes_are_right() {
    let rounds = SITES * if is_full() { 200 } else { 5 };
    every_result_is_right(Kind::MuslStatic, &ahead(), rounds, 40, false);
    every_result_is_right(Kind::Glibc, &behind(), rounds, 40, true);
}

/// Many calls in one process for each site, which is patched nearly all the time.
#[test]
fn a_site_goes_on_being_right_once_it_is_patched() {
    let calls = if is_full() { 50_000 } else { 1000 };
    every_result_is_right(Kind::Glibc, &ahead(), 2 * SITES, calls, false);
}

/// Of each state in between: only the first thread that comes to the site can complete it.
#[test]
fn a_site_whose_patcher_has_died_is_completed_at_its_next_use() {
    for kind in Kind::C {
        let guest = need!(guests::build("site_halved", kind));
        for (world, is_patched) in [(Run::on_host(), false), (ahead(), true), (behind(), true)] {
            let run = world.run(&[&guest]).succeeded();
            assert_eq!((count(&run, "wrong"), &*run.stderr), (0, ""), "{run:#?}");
            // Four uses of each site, and one at least of what was made of it.
            let patched = count(&run, "patched");
            assert_eq!(patched > 0, is_patched, "{run:#?}");
            assert!(count(&run, "right") >= 4 * SITES + patched, "{run:#?}");
        }
    }
}

/// Relative waits that the kernel begins again at the `syscall` instruction, under a patched `mov`.
fn threads_may_be_blocked(mode: &str) {
    let rounds = if is_full() { 40 } else { 8 };
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        let guest = need!(guests::build("site_blocked", kind));
        let number = rounds.to_string();
        let words = words(&guest, &[mode, &number]);
        Run::on_host().run(&words).succeeded();
        for world in [ahead(), behind()] {
            let run = world.run(&words).succeeded();
            assert_eq!(count(&run, "right"), 43 * rounds, "{run:#?}");
            assert_eq!(count(&run, "patched"), rounds, "{run:#?}");
        }
    }
}

#[test]
fn threads_may_be_blocked_at_a_site_when_it_is_first_used() {
    threads_may_be_blocked("quiet");
}

#[test]
fn threads_blocked_at_a_site_may_be_stopped_and_continued() {
    threads_may_be_blocked("stops");
}

#[test]
fn handlers_may_run_in_threads_blocked_at_a_site() {
    threads_may_be_blocked("handlers");
    threads_may_be_blocked("restarting");
}

#[test]
fn what_only_looks_like_a_site_stays_as_it_is() {
    for kind in Kind::C {
        let guest = need!(guests::build("site_odd", kind));
        let host = expect_agreement(&[&guest]);
        assert!(!host.stdout.contains("early"), "{host:#?}");
        assert!(
            host.stdout.contains("stores_number 0 0 in time 0xe6"),
            "{host:#?}"
        );
    }
}

/// What opens the filter to a converted call lies in a register, and must not stay there.
#[test]
fn what_a_function_leaves_in_registers_does_not_change_the_next_wait() {
    for kind in Kind::C {
        let guest = need!(guests::build("leftovers", kind));
        let words = words(&guest, &["5"]);
        let host = expect_agreement(&words);
        assert_eq!(host.stdout.matches(": 5\n").count(), 29, "{host:#?}");
        for reads in ["kernel", "syscall"] {
            for shift in ["--realtime=+400d", "--realtime=-400d"] {
                let options = ["--backend=guest", "--reads", reads, shift];
                let run = Run::inside(&options).run(&words).succeeded();
                assert_eq!(run.stdout, host.stdout, "{run:#?}");
            }
        }
    }
}

#[test]
fn another_library_may_come_to_lie_where_a_used_site_was() {
    let guest = need!(guests::build("site_library", Kind::Glibc));
    let library = need!(guests::build("site_library", Kind::Library));
    for (world, patched) in [(Run::on_host(), 0), (ahead(), 50), (behind(), 50)] {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy.so");
        let words: [&OsStr; 4] = [
            guest.as_os_str(),
            "50".as_ref(),
            library.as_os_str(),
            copy.as_os_str(),
        ];
        let run = world.run(&words).succeeded();
        assert_eq!(count(&run, "right"), 150, "{run:#?}");
        assert_eq!(count(&run, "answers"), 50, "{run:#?}");
        assert!(count(&run, "same") > 0, "{run:#?}");
        assert_eq!(count(&run, "patched"), patched, "{run:#?}");
    }
}
