//! Every way of reading a clock tells the same time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Reading, SECOND, TICK};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::{need, skip, tools};

/// One line of the guest `clocks`.
#[derive(Debug)]
struct Line {
    way: String,
    clock: String,
    nanos: i128,
}

fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 4, "{line}");
    let number = |i: usize| words[i].parse::<i128>().unwrap();
    assert!((0..SECOND).contains(&number(3)), "not normalised: {line}");
    Line {
        way: words[0].into(),
        clock: words[1].into(),
        nanos: number(2) * SECOND + number(3),
    }
}

fn lines(run: &Finished) -> Vec<Line> {
    assert_eq!(run.code, 0, "{run:#?}");
    run.stdout.lines().map(parse).collect()
}

/// Checks each clock against the host's and its four readings against each other.
fn expect_shifts(run: &Finished, shift_of: impl Fn(&str) -> i128) {
    let lines = lines(run);
    let mut clocks: Vec<&str> = lines.iter().map(|l| l.clock.as_str()).collect();
    clocks.dedup();
    assert_eq!(clocks.len(), 10, "{run:#?}");
    for clock in clocks.into_iter().filter(|c| *c != "OTHER") {
        let readings: Vec<i128> = lines
            .iter()
            .filter(|l| l.clock == clock)
            .map(|l| l.nanos)
            .collect();
        assert_eq!(readings.len(), 4);
        assert!(readings.is_sorted(), "{clock} went back: {readings:?}");
        for nanos in readings {
            let reading = Reading {
                nanos,
                resolution: 1,
            };
            let expected = if clock.ends_with("CPUTIME") {
                // A clock of its own for each process: no shift may reach it.
                harness::clock::Bracket {
                    before: 0,
                    after: 60 * SECOND,
                }
            } else {
                run.host(clock).shifted(shift_of(clock) * SECOND)
            };
            assert!(
                expected.contains(reading),
                "{clock}: {nanos} not in {expected:?}"
            );
        }
    }
}

/// Checks that whatever tells the time of day lies between the first and the last reading.
fn expect_agreement(run: &Finished) {
    let lines: Vec<Line> = lines(run)
        .into_iter()
        .filter(|l| l.clock == "OTHER")
        .collect();
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert_eq!((first.way.as_str(), last.way.as_str()), ("first", "last"));
    for line in &lines {
        // What has microseconds or seconds was cut off; what has seconds also lags by a tick.
        let (resolution, lag) = if line.way.contains("gettimeofday") || line.way.contains("adj") {
            (1_000, 0)
        } else if line.way.contains("time") && line.way != "timespec_get" {
            (SECOND, TICK)
        } else {
            (1, 0)
        };
        assert!(
            line.nanos + resolution > first.nanos - lag && line.nanos <= last.nanos,
            "{line:?} not between {first:?} and {last:?}"
        );
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
const READS: [&str; 3] = ["direct", "kernel", "syscall"];

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
    let options = [
        "--realtime",
        "+1000000",
        "--tai",
        "+3000000",
        "--monotonic",
        "+500000",
        "--boottime",
        "+700000",
    ];
    let ways = READS.map(|reads| ["--reads", reads]);
    for way in [["--backend", "auto"], ["--backend", "guest"]]
        .into_iter()
        .chain(ways)
    {
        let options = [&options[..], &way].concat();
        let run = Run::inside(&options).run(&[&clocks]);
        expect_agreement(&run);
        expect_shifts(&run, |clock| match clock {
            "REALTIME" | "REALTIME_COARSE" => 1_000_000,
            "TAI" => 3_000_000,
            "MONOTONIC" | "MONOTONIC_COARSE" | "MONOTONIC_RAW" => 500_000,
            "BOOTTIME" => 700_000,
            other => panic!("{other}"),
        });
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
