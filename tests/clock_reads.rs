//! Every way of reading a clock tells the same time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Reading, SECOND};
use harness::containers::{Agent, Container};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::readings::{expect_agreement, expect_shifts, lines, parse};
use harness::{need, skip, tools};
use std::ffi::OsStr;

/// A shift of its own for each clock.
const EACH: [&str; 8] = [
    "--realtime",
    "+1000000",
    "--tai",
    "+3000000",
    "--monotonic",
    "+500000",
    "--boottime",
    "+700000",
];

/// These, in seconds.
fn of_each(clock: &str) -> i128 {
    match clock {
        "REALTIME" | "REALTIME_COARSE" => 1_000_000,
        "TAI" => 3_000_000,
        "MONOTONIC" | "MONOTONIC_COARSE" | "MONOTONIC_RAW" => 500_000,
        "BOOTTIME" => 700_000,
        other => panic!("{other}"),
    }
}

fn realtime_alone(clock: &str) -> i128 {
    match clock {
        "REALTIME" | "REALTIME_COARSE" | "TAI" => harness::SHIFT,
        _ => 0,
    }
}

fn every_way_agrees(kind: Kind) {
    let clocks = need!(guests::build("clocks", kind));
    let host = Run::on_host().run(&[&clocks]);
    expect_shifts(&host, |_| 0);
    expect_agreement(&host);

    for reads in READS {
        let run = shifted(reads).run(&[&clocks]);
        expect_shifts(&run, realtime_alone);
        expect_agreement(&run);
        assert_eq!(ways(&run), ways(&host));
    }
}

/// The ways in which an image can read the clocks (`--reads`).
const READS: [&str; 4] = ["direct", "kernel", "syscall", "one-page"];

fn shifted(reads: &str) -> Run {
    let shift = format!("+{}", harness::SHIFT);
    Run::inside(&["--reads", reads, "--realtime", &shift])
}

fn ways(run: &Finished) -> Vec<String> {
    lines(run).into_iter().map(|l| l.way + &l.clock).collect()
}

fn no_clock_steps_back(kind: Kind) {
    let clocks = need!(guests::build("clocks", kind));
    for reads in READS {
        let run = Run::inside(&["--reads", reads, "--realtime", "2038-01-19 03:14:00 UTC"]);
        let run = run.run(&[clocks.as_os_str(), "monotone".as_ref(), "20000".as_ref()]);
        assert_eq!(
            run.code, 0,
            "{reads}: CLOCK STEPS WORST\n{}{}",
            run.stdout, run.stderr
        );
        // A clock without a namespace does not step back either: this one has to be inside.
        let end = Reading {
            nanos: parse(run.stdout.lines().last().unwrap()).nanos,
            resolution: 1,
        };
        let expected = run.host("REALTIME").set_to(2_147_483_640 * SECOND);
        assert!(expected.contains(end), "{run:#?}");
    }
}

#[test]
fn every_way_agrees_on_dynamic_glibc() {
    every_way_agrees(Kind::Glibc);
}

#[test]
fn every_way_agrees_on_static_glibc() {
    every_way_agrees(Kind::GlibcStatic);
}

#[test]
fn every_way_agrees_on_dynamic_musl() {
    every_way_agrees(Kind::Musl);
}

#[test]
fn every_way_agrees_on_static_musl() {
    every_way_agrees(Kind::MuslStatic);
}

#[test]
fn no_clock_steps_back_between_calls_of_both_kinds_on_glibc() {
    no_clock_steps_back(Kind::Glibc);
}

#[test]
fn no_clock_steps_back_between_calls_of_both_kinds_on_musl() {
    no_clock_steps_back(Kind::MuslStatic);
}

#[test]
fn an_offset_with_nanoseconds_keeps_every_way_in_agreement() {
    let clocks = need!(guests::build("clocks", Kind::Glibc));
    // An absolute time makes an offset that is no whole second. The starts differ, so it does too.
    for _ in 0..20 {
        let run = Run::inside(&["--realtime", "@2147483647"]).run(&[&clocks]);
        expect_agreement(&run);
        let expected = run.host("REALTIME").set_to(2_147_483_647 * SECOND);
        for line in lines(&run).iter().filter(|l| l.clock == "REALTIME") {
            let reading = Reading {
                nanos: line.nanos,
                resolution: 1,
            };
            assert!(expected.contains(reading), "{line:?} not in {expected:?}");
        }
    }
}

#[test]
fn each_clock_has_its_own_shift() {
    let clocks = need!(guests::build("clocks", Kind::Glibc));
    let ways = READS.map(|reads| ["--reads", reads]);
    for way in [["--backend", "auto"], ["--backend", "guest"]]
        .into_iter()
        .chain(ways)
    {
        let options = [&EACH[..], &way].concat();
        let run = Run::inside(&options).run(&[&clocks]);
        expect_agreement(&run);
        expect_shifts(&run, of_each);
    }
}

#[test]
fn every_way_agrees_in_a_container() {
    let agent = Agent::start(&[]);
    let run = |words: &[&OsStr]| Ok(Container::of_host(&agent, &EACH, &[], words)?.run());
    for kind in [Kind::Glibc, Kind::GlibcStatic, Kind::MuslStatic] {
        let clocks = need!(guests::build("clocks", kind));
        let inside: Finished = need!(run(&[clocks.as_os_str()]));
        expect_agreement(&inside);
        expect_shifts(&inside, of_each);
        assert_eq!(ways(&inside), ways(&Run::on_host().run(&[&clocks])));
        let monotone = [clocks.as_os_str(), "monotone".as_ref(), "5000".as_ref()];
        let last = need!(run(&monotone)).succeeded();
        let end = Reading {
            nanos: parse(last.stdout.lines().last().unwrap()).nanos,
            resolution: 1,
        };
        let expected = last.host("REALTIME").shifted(1_000_000 * SECOND);
        assert!(expected.contains(end), "{last:#?}");
    }
}

#[test]
fn calls_of_other_abis_in_a_container_are_shifted_or_warned_about() {
    let agent = Agent::start(&[]);
    let guest = need!(guests::build("other_abi", Kind::Glibc));
    let clocks = ["--realtime".to_owned(), format!("+{}", harness::SHIFT)];
    for (abi, cause) in [("int80", "32-bit"), ("x32", "x32")] {
        let words = [guest.as_os_str(), abi.as_ref()];
        let host = Run::on_host().run(&words);
        let run = need!(Container::of_host(&agent, &clocks, &[], &words)).run();
        match host.code == 0 && !host.stdout.contains("error") {
            true => expect_no_silent_host_time(&run, cause),
            false => assert_eq!(run.stdout, host.stdout, "as on this kernel"),
        }
    }
}

#[test]
fn a_negative_shift_agrees_too() {
    let clocks = need!(guests::build("clocks", Kind::Glibc));
    let run = Run::inside(&["--realtime=-1000000"]).run(&[&clocks]);
    expect_shifts(&run, |clock| -realtime_alone(clock));
    expect_agreement(&run);
}

#[test]
fn a_program_without_libc_reads_the_shifted_clock() {
    for (kind, options) in [
        (Kind::NoLibc, &["--realtime", "+1000000"][..]),
        (Kind::NoLibc, &["--strict", "--realtime", "+1000000"]),
        (Kind::NoLibcVdso, &["--strict", "--realtime", "+1000000"]),
    ] {
        let guest = need!(guests::build("nolibc", kind));
        Run::inside(options).run(&[&guest]).expect_shifted();
    }
}

/// Reads in the vDSO: nobody hears of these.
#[test]
fn a_program_reads_the_shifted_clock_after_either_of_the_first_calls_of_a_libc() {
    let guest = need!(guests::build("nolibc", Kind::NoLibcVdso));
    for first in ["brk", "tls"] {
        let words = [guest.as_os_str(), first.as_ref()];
        Run::shifted().run(&words).expect_shifted();
    }
}

#[test]
fn bash_and_date_take_turns_without_a_step_back() {
    need!(tools::find("bash"));
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $EPOCHREALTIME; date +%s.%6N; done";
    let run = Run::shifted().run(&["bash", "-c", script]);
    run.expect_shifted();
    let readings: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(readings.len(), 20);
    assert!(readings.is_sorted(), "{readings:?}");
}

#[test]
fn int_0x80_from_64_bit_code_is_shifted_or_warned_about() {
    let guest = need!(guests::build("other_abi", Kind::Glibc));
    let words = [guest.as_os_str(), "int80".as_ref()];
    let host = Run::on_host().run(&words);
    if host.code != 0 {
        skip!("this kernel has no 32-bit system calls");
    }
    expect_no_silent_host_time(&Run::shifted().run(&words), "32-bit");
}

#[test]
fn an_x32_call_from_64_bit_code_is_shifted_or_warned_about() {
    let guest = need!(guests::build("other_abi", Kind::Glibc));
    let words = [guest.as_os_str(), "x32".as_ref()];
    let host = Run::on_host().run(&words);
    let run = Run::shifted().run(&words);
    if host.stdout.contains("error") {
        assert_eq!(run.stdout, host.stdout, "as on a kernel without x32");
    } else {
        expect_no_silent_host_time(&run, "x32");
    }
}

/// Each `NAME SEC` line is shifted, or the call fails, or a warning names program and cause.
fn expect_no_silent_host_time(run: &Finished, cause: &str) {
    let expected = run.host("REALTIME").shifted(harness::SHIFT * SECOND);
    let warned = run.stderr.contains("other_abi") && run.stderr.contains(cause);
    let mut readings = 0;
    for line in run.stdout.lines() {
        let (_, value) = line.rsplit_once(' ').unwrap();
        if line.contains(" error ") {
            continue;
        }
        readings += 1;
        let right = expected.contains(Reading::parse(value).unwrap());
        assert!(right || warned, "silent host time in `{line}`\n{run:#?}");
    }
    assert!(readings > 0 || run.code != 0 || warned, "{run:#?}");
}
