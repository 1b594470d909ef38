//! Waits for a time under signals: handlers, stops, and programs that block or own their signals.
//!
//! The host is the oracle: the same program does the same there and in a namespace whose every
//! clock is shifted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::agreement::{self, AHEAD, BEHIND};
use harness::cgroup::Cgroup;
use harness::clock::{Reading, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Run, Running};
use harness::{Missing, kernel_backend, need, root, skip, sys};
use std::ffi::OsString;
use std::time::Duration;

/// A guest with a mode in words.
fn words(name: &str, kind: Kind, mode: &str) -> Result<Vec<OsString>, Missing> {
    let mut words: Vec<OsString> = vec![guests::build(name, kind)?.into()];
    words.extend(mode.split_whitespace().map(OsString::from));
    Ok(words)
}

/// The guest `interrupted`, with each libc that makes other calls.
fn interrupted(mode: &str) -> Result<(), Missing> {
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        agreement::agree(&words("interrupted", kind, mode)?);
    }
    Ok(())
}

#[test]
fn a_handler_ends_the_waits_that_it_ends_on_linux() {
    need!(interrupted("handler"));
}

#[test]
fn waits_end_at_their_time_when_the_clock_is_behind() {
    let words = need!(words("interrupted", Kind::Glibc, "handler"));
    agreement::agree_on(&words, &BEHIND, |text| text.to_owned());
}

#[test]
fn a_handler_that_restarts_calls_restarts_those_that_linux_restarts() {
    need!(interrupted("handler restart"));
}

#[test]
fn a_handler_ends_a_wait_that_has_just_begun_and_is_being_looked_at() {
    need!(interrupted("early"));
}

#[test]
fn a_handler_amid_a_first_use_does_what_it_does_on_linux() {
    need!(interrupted("received"));
}

#[test]
fn a_handler_amid_a_first_use_restarts_what_linux_restarts() {
    need!(interrupted("received restart"));
}

#[test]
fn a_handler_amid_a_first_use_ends_no_call_that_does_not_wait() {
    // musl receives messages where a thread can be cancelled (LIMITATIONS.md).
    agreement::agree(&need!(words("interrupted", Kind::Glibc, "needless")));
}

#[test]
fn a_handler_ends_the_first_wait_in_a_new_time_namespace() {
    need!(root());
    // Of the host.
    need!(kernel_backend());
    need!(interrupted("moved"));
    need!(interrupted("moved restart"));
}

#[test]
fn a_wait_goes_on_after_a_stop() {
    need!(interrupted("stop short"));
}

#[test]
fn a_wait_whose_time_comes_during_a_stop_ends_after_it() {
    need!(interrupted("stop long"));
}

#[test]
fn a_handler_for_the_continuation_interrupts_as_any_other() {
    need!(interrupted("continued"));
}

#[test]
fn a_handler_may_leave_a_wait_by_siglongjmp() {
    need!(interrupted("jump"));
}

/// The number that a guest prints as its own.
fn pid(running: &Running) -> String {
    let mut found = None;
    sys::wait_until(
        || {
            let output = running.output();
            let line = output.lines().find_map(|line| line.strip_prefix("pid "));
            found = line.map(str::to_owned);
            found.is_some()
        },
        "a guest prints its number",
    );
    found.unwrap()
}

/// Freezes each call of the table while it waits; its time comes before the thaw or after it.
fn frozen(call: usize, is_long: bool) -> Result<(), Missing> {
    let guest = guests::build("interrupted", Kind::Glibc)?;
    let [outside, within] = [agreement::host(), agreement::inside(&AHEAD)].map(|world| {
        let group = Cgroup::create(&format!("{call}-{is_long}"))?;
        // Where it is frozen too late, the next wait is longer.
        for milliseconds in [400, 4000, 12_000] {
            let wait = milliseconds.to_string();
            let words = [
                guest.as_os_str(),
                "wait".as_ref(),
                call.to_string().as_ref(),
                wait.as_ref(),
            ]
            .map(OsString::from);
            let running = world.start(&words);
            let pid = pid(&running);
            let has_ended = || {
                [" in time", " too late"]
                    .iter()
                    .any(|end| running.output().contains(end))
            };
            let is_blocked = || {
                let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
                call.is_ok_and(|call| !call.contains("running"))
            };
            let is_taken = group.take(&pid);
            sys::wait_until(|| has_ended() || is_blocked(), "the guest waits");
            std::thread::sleep(Duration::from_millis(50));
            group.freeze();
            let is_frozen = is_taken && !has_ended();
            let pause = if is_long { milliseconds + 100 } else { 20 };
            std::thread::sleep(Duration::from_millis(if is_frozen { pause } else { 0 }));
            group.thaw();
            let run = running.finish().succeeded();
            if is_frozen {
                return Ok(run.stdout.replace(&pid, "PID"));
            }
        }
        panic!("to freeze a guest has taken longer than each wait");
    });
    let (outside, within) = (outside?, within?);
    assert!(outside.contains(" in time"), "{outside}");
    assert_eq!(within, outside);
    Ok(())
}

/// The calls of the guests' table that the kernel restarts in different ways.
const RESTARTED: [usize; 5] = [0, 5, 7, 8, 11];

#[test]
fn a_wait_goes_on_after_its_control_group_was_frozen() {
    for call in RESTARTED {
        need!(frozen(call, false));
    }
}

#[test]
fn a_wait_whose_time_comes_in_a_frozen_control_group_ends_after_it() {
    for call in RESTARTED {
        need!(frozen(call, true));
    }
}

/// The lines that are no readings; those are shifted, and no world's own.
fn without_readings(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("reading "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The guest `handlers`; what its handlers have read last is the namespace's time.
fn handlers(mode: &str) -> Result<(), Missing> {
    const DAY: i128 = 86400 * SECOND;
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        let run = agreement::agree_on(&words("handlers", kind, mode)?, &AHEAD, without_readings);
        let read = |clock: &str| {
            let start = format!("reading {clock} ");
            let found = run
                .stdout
                .lines()
                .find_map(|line| line.strip_prefix(&start));
            Reading::parse(found.unwrap()).unwrap()
        };
        for (clock, shift) in [
            ("REALTIME", 400 * DAY + 5 * 3600 * SECOND + 700_000_000),
            ("TAI", 399 * DAY),
            ("MONOTONIC", 100 * DAY + 300_000_000),
            ("BOOTTIME", 200 * DAY),
        ] {
            let expected = run.host(clock).shifted(shift);
            assert!(expected.contains(read(clock)), "{clock}: {run:#?}");
        }
    }
    Ok(())
}

#[test]
fn a_handler_reads_the_namespaces_clocks_while_it_interrupts_a_wait() {
    need!(handlers("read"));
}

#[test]
fn a_handler_on_a_stack_of_its_own_reads_them_too() {
    need!(handlers("stack"));
}

#[test]
fn code_that_siglongjmp_reaches_from_a_wait_reads_them_too() {
    need!(handlers("jump"));
}

#[test]
fn a_handler_may_itself_wait_for_a_time() {
    need!(handlers("nested"));
}

#[test]
fn what_a_call_leaves_in_the_registers_is_not_taken_for_the_next_wait_s_own() {
    let command = need!(words("inherited", Kind::Glibc, ""));
    let outside = agreement::host().run(&command).succeeded();
    for (shift, reads) in [
        // Where the clock is behind, a wait by the host's ends too early, and not in a year.
        (&BEHIND, "direct"),
        (&BEHIND, "kernel"),
        (&AHEAD, "direct"),
        (&AHEAD, "syscall"),
    ] {
        let options = [&shift[..], &["--reads", reads]].concat();
        let within = Run::inside(&options).run(&command).succeeded();
        let sorted = agreement::sorted;
        assert_eq!(
            sorted(&within.stdout),
            sorted(&outside.stdout),
            "{reads}: {within:#?}"
        );
    }
}

#[test]
fn timeouts_that_a_handler_sets_again_by_the_time_of_day_come_once_and_in_time() {
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        let command = need!(words("handlers", kind, "timeouts"));
        for options in [&AHEAD, &BEHIND] {
            agreement::agree_on(&command, options, |text| text.to_owned());
        }
    }
}

/// The guest `masked`.
fn masked(mode: &str) -> Result<(), Missing> {
    for kind in [Kind::Glibc, Kind::GlibcStatic] {
        agreement::agree(&words("masked", kind, mode)?);
    }
    Ok(())
}

#[test]
fn threads_that_block_all_signals_wait() {
    need!(masked("blocked"));
}

#[test]
fn a_program_that_ignores_sigsys_waits() {
    need!(masked("ignored"));
}

#[test]
fn a_programs_own_handler_for_sigsys_does_not_run_for_a_wait() {
    need!(masked("handler"));
}

#[test]
fn a_filter_of_the_programs_own_sees_a_wait_first() {
    need!(masked("trap first"));
}

#[test]
fn a_filter_of_the_programs_own_sees_a_wait_at_a_site_that_is_known() {
    need!(masked("trap later"));
}

#[test]
fn a_process_that_is_not_dumpable_waits() {
    need!(root());
    need!(masked("dumpable"));
}

#[test]
fn calls_by_the_i386_table_work_as_on_the_host() {
    let command = need!(words("other_waits", Kind::Glibc, "int80"));
    if agreement::host().run(&command).code != 0 {
        skip!("this kernel has no `int $0x80`");
    }
    agreement::agree(&command);
}

#[test]
fn the_vsyscall_page_gives_the_namespaces_time_under_signals() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    if !maps.contains("[vsyscall]") {
        skip!("this kernel has no vsyscall page");
    }
    agreement::agree(&need!(words("other_waits", Kind::Glibc, "vsyscall")));
}
