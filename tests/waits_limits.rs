//! Absolute waits of processes that have little room, whose timers go from hand to hand, or that
//! somebody watches.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::{Finished, Run, elsewhen};
use harness::worlds::{ahead, behind, expect_agreement};
use harness::{need, tools};
use std::ffi::{OsStr, OsString};

/// What the guest `waits_limits` does in this mode is the same in each world.
fn agrees(mode: &[&str]) {
    for kind in Kind::C {
        let guest = need!(guests::build("waits_limits", kind));
        let mut words = vec![guest.as_os_str()];
        words.extend(mode.iter().map(OsStr::new));
        let host = expect_agreement(&words);
        assert!(!host.stdout.contains("early") && !host.stdout.contains("late"));
    }
}

#[test]
fn a_process_without_descriptors_waits() {
    agrees(&["descriptors"]);
}

#[test]
fn a_process_without_memory_to_be_had_waits() {
    agrees(&["memory"]);
}

#[test]
fn a_process_that_may_make_no_memory_executable_waits() {
    agrees(&["frozen-text"]);
}

#[test]
fn five_hundred_threads_may_wait_for_the_first_time_at_once() {
    agrees(&["crowd"]);
}

#[test]
fn a_thread_on_a_small_stack_waits() {
    agrees(&["small-stack"]);
}

#[test]
fn a_handler_on_a_stack_of_the_least_size_waits() {
    agrees(&["alternate-stack", "512"]);
}

/// DIFFERENCE: the gate needs a stack (LIMITATIONS.md).
#[test]
fn a_thread_without_a_stack_waits_or_is_killed() {
    for kind in Kind::C {
        let guest = need!(guests::build("waits_limits", kind));
        let words = [guest.as_os_str(), "no-stack".as_ref()];
        let host = Run::on_host().run(&words).succeeded();
        assert_eq!(host.stdout.matches(" right").count(), 9, "{host:#?}");
        for world in [ahead(), behind()] {
            let run = world.run(&words).succeeded();
            let right = run.stdout.matches(" right").count();
            let killed = run.stdout.matches(" Segmentation fault").count()
                + run.stdout.matches(" Bus error").count();
            assert_eq!(right + killed, 9, "{run:#?}");
        }
    }
}

#[test]
fn timers_may_be_set_by_others_than_their_makers() {
    for kind in Kind::C {
        let guest = need!(guests::build("timer_handover", kind));
        let host = expect_agreement(&[&guest]);
        assert!(
            !host.stdout.contains("late") && !host.stdout.contains("early"),
            "{host:#?}"
        );
        assert!(host.stdout.contains("stranger -22\n"), "{host:#?}");
        assert!(
            host.stdout.contains("cancel on set 1: 8 ticks 1 in time\n"),
            "{host:#?}"
        );
    }
}

/// The guest under a program that watches it prints what it prints alone, among other things.
fn agrees_under(watcher: &[&str], name: &str, rest: &[&str]) -> Vec<Finished> {
    let kind = Kind::Glibc;
    let Ok(guest) = guests::build(name, kind) else {
        return Vec::new();
    };
    let own: Vec<OsString> = [guest.into_os_string()]
        .into_iter()
        .chain(rest.iter().map(OsString::from))
        .collect();
    let alone = Run::on_host().run(&own).succeeded().stdout;
    let mut words: Vec<OsString> = watcher.iter().map(OsString::from).collect();
    words.extend(own);
    let worlds = [Run::on_host(), ahead(), behind()];
    let runs = worlds.map(|world| world.run(&words));
    for run in &runs {
        assert_eq!(run.code, 0, "{run:#?}");
        for line in alone.lines() {
            assert!(run.stdout.contains(line), "no `{line}`: {run:#?}");
        }
    }
    runs.into()
}

#[test]
fn a_program_under_strace_waits() {
    need!(tools::find("strace"));
    agrees_under(
        &["strace", "-f", "-o", "/dev/null"],
        "wait_libc",
        &["traced"],
    );
}

#[test]
fn a_program_under_gdb_waits() {
    need!(tools::find("gdb"));
    let gdb = [
        "gdb",
        "-nx",
        "-batch",
        "-ex",
        "set debuginfod enabled off",
        "-ex",
        "run",
        "--args",
    ];
    agrees_under(&gdb, "wait_libc", &["traced"]);
}

#[test]
fn a_program_with_leak_sanitizer_waits() {
    let guest = need!(guests::build("wait_libc", Kind::Lsan));
    let host = expect_agreement(&[&guest]);
    assert_eq!(host.stdout.matches(" in time").count(), 51, "{host:#?}");
}

#[test]
fn a_program_in_an_inner_namespace_waits() {
    let elsewhen = elsewhen();
    for kind in Kind::C {
        let guest = need!(guests::build("wait_libc", kind));
        for shift in ["--realtime=+30d", "--realtime=-30d"] {
            let words = [
                elsewhen.as_os_str(),
                "run".as_ref(),
                shift.as_ref(),
                "--monotonic=+5d".as_ref(),
                "--boottime=+6d".as_ref(),
                "--".as_ref(),
                guest.as_os_str(),
            ];
            let host = Run::on_host().run(&[&guest]).succeeded();
            for world in [ahead(), behind()] {
                let run = world.run(&words).succeeded();
                assert_eq!(run.stdout, host.stdout, "{run:#?}");
            }
        }
    }
}
