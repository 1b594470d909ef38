//! Clocks that go on in what CRIU has restored.
//!
//! "Another host" is a time namespace of the kernel's with other offsets around `criu restore`, and a kernel
//! without time namespaces is one where CRIU has not kept its clocks: their image is taken away.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND, TICK};
use harness::criu::{self, Criu};
use harness::guests::{self, Kind};
use harness::process::Run;
use harness::ticks::{Tick, Ticker};
use harness::{need, supervisor, tools};
use std::fs;
use std::path::Path;
use std::time::Duration;

const DAYS: i128 = 86_400 * SECOND;

/// All clocks shifted, and kept by elsewhen.
const SHIFTED: [&str; 7] = [
    "--backend=guest",
    "--monotonic",
    "+100d",
    "--boottime",
    "+50d",
    "--realtime",
    "+400d",
];

/// Another host, that was started later: when this one had been up for half as long.
const LATER: [&str; 4] = [
    "sh",
    "-c",
    "half=$(($(cut -d. -f1 /proc/uptime) / 2)); \
     exec unshare -T --monotonic=-$half --boottime=-$half \"$@\"",
    "sh",
];

/// How long a pause is.
const PAUSE: Duration = Duration::from_secs(2);

fn pause() {
    std::thread::sleep(PAUSE);
}

/// CRIU keeps the clocks no more, as where the kernel has no time namespaces.
fn forget_clocks(criu: &Criu) {
    fs::remove_file(criu.images().join("timens-0.img")).unwrap();
}

/// The clocks went on: never back, and by less than the time that has passed, of which the pause is left out.
fn expect_no_pause(before: Tick, after: Tick) {
    for (clock, before, after) in [
        ("MONOTONIC", before.monotonic, after.monotonic),
        ("BOOTTIME", before.boottime, after.boottime),
    ] {
        assert!(
            after >= before,
            "{clock} went back from {before} to {after}"
        );
    }
    // By the host's clock, which goes on.
    let passed = (after.realtime - before.realtime).rem_euclid(DAYS);
    let counted = after.monotonic - before.monotonic;
    assert!(
        counted <= passed - SECOND,
        "{counted} ns of {passed} were counted"
    );
}

/// REALTIME is the host's.
fn expect_true_time(ticker: &Ticker) {
    let before = Host::now();
    ticker.wait_for_more(3);
    let last = *ticker.ticks().last().unwrap();
    let host = before.until(Host::now(), "REALTIME");
    assert!(
        (host.before..=host.after).contains(&last.realtime),
        "{last:?}, {host:?}"
    );
}

#[test]
fn the_clocks_of_a_tree_go_on_where_criu_has_kept_them() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let (before, after, _) = ticker.through(&criu, pause, &[]);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_a_tree_go_on_on_another_host() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let (before, after, _) = ticker.through(&criu, pause, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_a_tree_go_on_where_the_kernel_has_no_time_namespaces() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let between = || {
        forget_clocks(&criu);
        pause();
    };
    let (before, after, _) = ticker.through(&criu, between, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_a_tree_go_on_whose_clocks_the_kernel_keeps() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED[1..]), &criu));
    let (before, after, _) = ticker.through(&criu, pause, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn the_clocks_of_programs_that_elsewhen_has_not_started_go_on_too() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::on_host(), &criu));
    let between = || {
        forget_clocks(&criu);
        pause();
    };
    let (before, after, _) = ticker.through(&criu, between, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
    // It is a tree as any other now.
    let (before, after, _) = ticker.through(&criu, pause, &[]);
    expect_no_pause(before, after);
}

#[test]
fn each_clock_goes_on_by_its_policy() {
    let criu = need!(Criu::find());
    criu.act_with(&["--policy realtime=continue,monotonic=continue+gap"]);
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let (before, after, paused) = ticker.through(&criu, pause, &[]);
    // The pause is left out of the one, and counted by the other.
    let realtime = after.realtime - before.realtime;
    let monotonic = after.monotonic - before.monotonic;
    let boottime = after.boottime - before.boottime;
    let pause = paused.after - paused.before;
    assert!(realtime >= 0 && boottime >= 0, "{before:?} {after:?}");
    assert!(monotonic >= pause, "{monotonic} of {pause}");
    for left_out in [realtime, boottime, after.tai - before.tai] {
        assert!(left_out <= monotonic - SECOND, "{left_out} of {monotonic}");
    }
}

/// MONOTONIC and, of the host, BOOTTIME in a file of clocks, in nanoseconds.
fn saved(criu: &Criu) -> (i128, i128) {
    let text = fs::read_to_string(criu.clocks()).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let nanos = |part: &str, clock: &str| {
        let text = file[part][clock].as_str().unwrap();
        harness::clock::Reading::parse(text).unwrap().nanos
    };
    (nanos("clocks", "monotonic"), nanos("host", "boottime"))
}

/// What a tree's MONOTONIC counts from one dump to the next is the time from the restore between them to the
/// second, by the host's clock: but for what lies within the stages of CRIU's at which the clocks are
/// saved and go on.
///
/// | from | what the clocks go on from | when |
/// | --- | --- | --- |
/// | our file | `post-dump`, which the file names | as CRIU starts |
/// | the kernel's time namespace | behind `pre-dump`, before `post-dump` | behind `pre-restore`, before `post-restore` |
fn counts_the_time_that_it_ran(by_file: bool) {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let rounds = match std::env::var_os("ELSEWHEN_STORM") {
        Some(_) => 50,
        None => 3,
    };
    criu.note_stages();
    let filters = || {
        let status = fs::read_to_string(format!("/proc/{}/status", ticker.pid)).unwrap();
        let line = status.lines().find(|l| l.starts_with("Seccomp_filters:"));
        let count: u32 = line.unwrap()[16..].trim().parse().unwrap();
        assert!(count <= 2, "{count} filters");
    };
    let mut total = [0; 3];
    let mut last: Option<(i128, [i128; 2])> = None;
    for round in 0..rounds {
        criu.dump(ticker.pid);
        let (counts, at) = saved(&criu);
        let ticks = ticker.ticks();
        assert!(ticks.last().unwrap().monotonic <= counts, "round {round}");
        let frozen = criu.stage("pre-dump");
        if let Some((before, [first, latest])) = last {
            // All that lies between, on either side.
            let (ran, counted) = ([at - latest, at - first], counts - before);
            assert!(
                (ran[0]..=ran[1]).contains(&counted),
                "round {round}: {counted} not in {ran:?}"
            );
            for (sum, of) in total.iter_mut().zip([ran[0], counted, ran[1]]) {
                *sum += of;
            }
        }
        if by_file {
            forget_clocks(&criu);
        }
        std::thread::sleep(Duration::from_millis(100));
        let start = Host::now();
        let start = start.until(start, "BOOTTIME").before;
        criu.restore();
        filters();
        ticker.wait_for_more(5);
        let after = ticker.ticks()[ticks.len()];
        assert!(after.monotonic >= ticks.last().unwrap().monotonic);
        last = Some(match by_file {
            true => {
                assert!(after.monotonic >= counts, "round {round}: {after:?}");
                // The file goes on as old as CRIU is, in whole ticks of the kernel's.
                (counts, [start - TICK, criu.stage("pre-restore") + TICK])
            }
            // What has passed before CRIU read the clocks has been counted a second time.
            false => {
                let twice = at - frozen + TICK;
                let until = criu.stage("post-restore") + TICK;
                (counts, [criu.stage("pre-restore"), until + twice])
            }
        });
    }
    // All of it is what has passed, less the pauses.
    assert!(total[0] <= total[1] && total[1] <= total[2], "{total:?}");
    println!("{rounds} rounds: {} ns of {total:?}", total[1]);
}

#[test]
fn a_tree_that_is_dumped_again_and_again_counts_the_time_that_it_ran() {
    counts_the_time_that_it_ran(false);
}

#[test]
fn it_does_so_where_the_kernel_has_no_time_namespaces() {
    counts_the_time_that_it_ran(true);
}

/// What each way of waiting has said, until all have.
fn wait_for_ends(file: &std::path::Path) -> Vec<(String, i128, i32)> {
    const WAYS: usize = 5;
    harness::sys::wait_until(|| criu::lines(file).len() > WAYS, "the ends of all waits");
    let parse = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [way, late, result] = words[..] else {
            panic!("it says `{line}`");
        };
        (
            way.to_owned(),
            late.parse().unwrap(),
            result.parse().unwrap(),
        )
    };
    criu::lines(file).into_iter().skip(1).map(parse).collect()
}

/// Waits and timers that were pending at the dump end when they were to, on a host that was started later.
fn waits_go_on(run: &Run, has_time_namespaces: bool) {
    let criu = need!(Criu::find());
    let program = need!(guests::build("pending", Kind::Glibc));
    let file = criu.file("ends");
    let words = [program.to_str().unwrap(), file.to_str().unwrap(), "6000"];
    let run = run.clone().through(&["setsid", "--wait"]);
    let _started = run.start(&words);
    let pid = supervisor::wait_for("program", || criu::process_of(&words));
    harness::sys::wait_until(|| !criu::lines(&file).is_empty(), "its start");
    std::thread::sleep(Duration::from_millis(500));
    criu.dump(pid);
    pause();
    if !has_time_namespaces {
        forget_clocks(&criu);
    }
    criu.restore_by(&LATER);
    for (way, late, result) in wait_for_ends(&file) {
        let expected = match way.as_str() {
            "futex" | "condition" => libc::ETIMEDOUT,
            "timerfd" => 8,
            _ => 0,
        };
        assert_eq!(result, expected, "{way}");
        // CRIU sets a timerfd without the part of a second that the clock reads then.
        let early = if way == "timerfd" { SECOND } else { 0 };
        assert!(late >= -early, "{way} is {late} ns late");
        // By the host's clock it would be hours, or never.
        assert!(late < 20 * SECOND, "{way} is {late} ns late");
    }
    criu::end(pid);
}

#[test]
fn what_is_waited_for_comes_when_it_is_due() {
    waits_go_on(&Run::inside(&SHIFTED), true);
}

#[test]
fn what_is_waited_for_comes_when_it_is_due_where_the_kernel_has_no_time_namespaces() {
    waits_go_on(&Run::inside(&SHIFTED), false);
}

#[test]
fn what_programs_wait_for_that_elsewhen_has_not_started_comes_when_it_is_due() {
    waits_go_on(&Run::on_host(), false);
}

/// By how much later than it was to each timer would go off, as the program `armed` has said last.
fn late(file: &std::path::Path) -> Vec<(String, i128)> {
    const WAYS: usize = 5;
    let had = criu::lines(file).len();
    harness::sys::wait_until(|| criu::lines(file).len() > had + 2 * WAYS, "its timers");
    let lines = criu::lines(file);
    let parse = |line: &String| {
        let (way, late) = line.split_once(' ').unwrap();
        (way.to_owned(), late.parse().unwrap())
    };
    lines[lines.len() - WAYS..].iter().map(parse).collect()
}

/// A timer that is armed at the dump keeps the time that it has left: CRIU notes it amid the dump and sets it
/// amid the restore, and no more than these two take is added to it.
fn timers_keep_their_time(run: &Run, has_time_namespaces: bool) {
    let criu = need!(Criu::find());
    let program = need!(guests::build("armed", Kind::Glibc));
    let file = criu.file("late");
    let words = [program.to_str().unwrap(), file.to_str().unwrap()];
    let _started = run.clone().through(&["setsid", "--wait"]).start(&words);
    let pid = supervisor::wait_for("program", || criu::process_of(&words));
    for (way, late) in late(&file) {
        assert!((-TICK..=TICK).contains(&late), "{way} is {late} ns late");
    }
    let dump = Host::now();
    criu.dump(pid);
    let dump = dump.until(Host::now(), "MONOTONIC");
    pause();
    if !has_time_namespaces {
        forget_clocks(&criu);
    }
    let restore = Host::now();
    criu.restore_by(&LATER);
    let restore = restore.until(Host::now(), "MONOTONIC");
    let most = dump.after - dump.before + restore.after - restore.before + TICK;
    for (way, late) in late(&file) {
        println!("{way}: {late} ns of {most}");
        // CRIU sets it without the part of a second that the clock reads then.
        let early = if way == "timerfd" { SECOND } else { 0 } + TICK;
        assert!(
            (-early..=most).contains(&late),
            "{way}: {late} ns of {most}"
        );
    }
    criu::end(pid);
}

#[test]
fn armed_timers_keep_the_time_that_is_left() {
    timers_keep_their_time(&Run::inside(&SHIFTED), true);
}

#[test]
fn armed_timers_keep_the_time_that_is_left_where_the_kernel_has_no_time_namespaces() {
    timers_keep_their_time(&Run::inside(&SHIFTED), false);
}

#[test]
fn armed_timers_of_programs_that_elsewhen_has_not_started_keep_the_time_that_is_left() {
    timers_keep_their_time(&Run::on_host(), false);
}

#[test]
fn a_tree_whose_image_is_laid_out_in_another_way_goes_on() {
    for reads in ["--reads=kernel", "--reads=syscall"] {
        let criu = need!(Criu::find());
        let options = [&[reads], &SHIFTED[..]].concat();
        let ticker = need!(Ticker::start(&Run::inside(&options), &criu));
        let between = || {
            forget_clocks(&criu);
            pause();
        };
        let (before, after, _) = ticker.through(&criu, between, &LATER);
        expect_no_pause(before, after);
        expect_true_time(&ticker);
        // The dumped image is there a second time.
        let (before, after, _) = ticker.through(&criu, pause, &LATER);
        expect_no_pause(before, after);
    }
}

/// musl's clock_nanosleep(3) waits at its own place, and a program with nothing else never gets a gate.
#[test]
fn a_wait_at_its_own_place_goes_on_where_the_image_is_laid_out_in_another_way() {
    let criu = need!(Criu::find());
    let options = [&["--reads=kernel"], &SHIFTED[..]].concat();
    let run = Run::inside(&options);
    let ticker = need!(Ticker::start_as(Kind::MuslStatic, &run, &criu));
    let between = || {
        forget_clocks(&criu);
        pause();
    };
    let (before, after, _) = ticker.through(&criu, between, &LATER);
    expect_no_pause(before, after);
    expect_true_time(&ticker);
}

#[test]
fn a_wait_that_a_handler_interrupts_at_the_dump_ends_when_it_is_due() {
    let criu = need!(Criu::find());
    let program = need!(guests::build("handled", Kind::Glibc));
    let [output, go] = ["ends", "go"].map(|name| criu.file(name));
    let words = [&program, &output, Path::new("3000"), &go].map(|word| word.to_str().unwrap());
    let _started = Run::inside(&SHIFTED)
        .through(&["setsid", "--wait"])
        .start(&words);
    let pid = supervisor::wait_for("program", || criu::process_of(&words));
    harness::sys::wait_until(|| !criu::lines(&output).is_empty(), "its handlers");
    criu.dump(pid);
    forget_clocks(&criu);
    criu.restore_by(&LATER);
    fs::write(&go, "").unwrap();
    // By the host's clock it would take hours.
    harness::sys::wait_until(|| criu::lines(&output).len() == 3, "the ends of all waits");
    for line in criu::lines(&output).iter().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        let late: i128 = words[1].parse().unwrap();
        assert!(late >= 0, "{line}");
        assert_eq!(words[2], libc::ETIMEDOUT.to_string(), "{line}");
    }
    criu::end(pid);
}

#[test]
fn a_tree_with_a_process_that_has_no_vdso_is_refused_at_the_dump_and_goes_on() {
    let criu = need!(Criu::find());
    let program = need!(guests::build("no_vdso", Kind::Glibc));
    let output = criu.file("lines");
    let words = [&program, &output].map(|word| word.to_str().unwrap());
    let script = "\"$@\" & wait";
    let command = [&["sh", "-c", script, "sh"], &words[..]].concat();
    let _started = Run::inside(&SHIFTED)
        .through(&["setsid", "--wait"])
        .start(&command);
    let shell = supervisor::wait_for("shell", || criu::process_of(&command));
    let pid = supervisor::wait_for("program", || criu::process_of(&words));
    let wait = || {
        let had = criu::lines(&output).len();
        harness::sys::wait_until(|| criu::lines(&output).len() > had + 3, "its lines");
    };
    wait();
    let dumped = criu.try_dump(shell, true);
    assert_ne!(dumped.code, 0, "{dumped:#?}");
    let words =
        format!("process {pid} (`no_vdso-glibc`) has no vDSO: a restore cannot give it clocks");
    assert!(dumped.log.contains(&words), "{dumped:#?}");
    assert!(!criu.clocks().exists());
    wait();
    criu::end(shell);
}

/// Starts a program that writes `BACK` if a clock steps back, and other lines all the time, dumps and
/// restores it twice.
fn goes_on(words: &[&str], output: &str) {
    let criu = need!(Criu::find());
    let file = criu.file("output");
    let script = format!("exec \"$@\" > '{}' 2>&1", file.display());
    let command = [&["sh", "-c", &script, "sh"], words].concat();
    let run = Run::inside(&SHIFTED).through(&["setsid", "--wait"]);
    let _started = run.start(&command);
    let pid = supervisor::wait_for("program", || criu::process_of(words));
    let wait = || {
        let had = criu::lines(&file).len();
        harness::sys::wait_until(|| criu::lines(&file).len() > had + 20, output);
    };
    wait();
    for _ in 0..2 {
        criu.dump(pid);
        criu.restore_by(&LATER);
        wait();
    }
    let lines = criu::lines(&file);
    let back = lines.iter().find(|line| line.contains("BACK"));
    assert_eq!(back, None, "{output}");
    criu::end(pid);
}

#[test]
fn threads_and_children_of_python_go_on() {
    let python = need!(tools::python());
    let script = guests::script("restored.py");
    goes_on(
        &[python.to_str().unwrap(), script.to_str().unwrap()],
        "lines of Python's",
    );
}

#[test]
fn tickers_of_go_go_on() {
    let program = need!(guests::build("restored", Kind::Go));
    goes_on(&[program.to_str().unwrap()], "ticks of Go's");
}

#[test]
fn a_scheduled_executor_of_java_goes_on() {
    let class = need!(guests::build("Restored", Kind::Java));
    let java = need!(tools::find("java"));
    let java = fs::canonicalize(java).unwrap();
    let directory = class.to_str().unwrap();
    goes_on(
        &[java.to_str().unwrap(), "-cp", directory, "Restored"],
        "ticks of Java's",
    );
}

/// Every restore with this file of clocks is refused, with words, and nothing runs.
fn expect_refusal(criu: &Criu, ticker: &Ticker, words: &str) {
    let had = ticker.ticks().len();
    let restored = criu.try_restore(&[]);
    assert_ne!(restored.code, 0, "{restored:#?}");
    assert!(restored.log.contains(words), "{restored:#?}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticker.ticks().len(), had);
    // Another process may have the number by now.
    assert!(!ticker.is_there());
}

#[test]
fn nothing_runs_if_the_clocks_are_not_those_of_the_dump() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    criu.dump(ticker.pid);
    let older = fs::read(criu.clocks()).unwrap();
    criu.restore();
    ticker.wait_for_more(3);
    criu.dump(ticker.pid);

    let good = fs::read(criu.clocks()).unwrap();
    fs::remove_file(criu.clocks()).unwrap();
    expect_refusal(&criu, &ticker, "there is no `elsewhen-clocks.json`");
    fs::write(criu.clocks(), &older).unwrap();
    expect_refusal(&criu, &ticker, "they are older, or another tree's");
    let other = need!(Criu::find());
    let another = need!(Ticker::start(&Run::inside(&SHIFTED), &other));
    other.dump(another.pid);
    fs::copy(other.clocks(), criu.clocks()).unwrap();
    other.restore();
    expect_refusal(&criu, &ticker, "they are older, or another tree's");
    fs::write(criu.clocks(), &good[..good.len() / 2]).unwrap();
    expect_refusal(&criu, &ticker, "it is cut off");
    let damaged = String::from_utf8(good.clone()).unwrap();
    let damaged = damaged.replacen("\"monotonic\": \"8", "\"monotonic\": \"9", 1);
    fs::write(criu.clocks(), damaged).unwrap();
    expect_refusal(&criu, &ticker, "it is damaged");
    // Those of a namespace that was not dumped.
    let other = String::from_utf8(good.clone()).unwrap();
    let tree = other
        .lines()
        .find(|line| line.contains("\"tree\""))
        .unwrap();
    fs::write(criu.clocks(), other.replace(tree, "  \"tree\": null,")).unwrap();
    expect_refusal(&criu, &ticker, "were not saved by a dump");

    fs::write(criu.clocks(), &good).unwrap();
    criu.restore();
    ticker.wait_for_more(3);
}

#[test]
fn a_process_that_was_stopped_stays_stopped() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    harness::sys::kill(ticker.pid, libc::SIGSTOP);
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", ticker.pid)).unwrap();
        stat.contains(") T ")
    };
    harness::sys::wait_until(is_stopped, "its stop");
    criu.dump(ticker.pid);
    let had = ticker.ticks();
    criu.restore();
    harness::sys::wait_until(is_stopped, "its stop");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticker.ticks().len(), had.len());
    assert!(is_stopped());
    harness::sys::kill(ticker.pid, libc::SIGCONT);
    ticker.wait_for_more(3);
    let after = ticker.ticks()[had.len()];
    assert!(after.monotonic >= had.last().unwrap().monotonic);
}

#[test]
fn programs_that_are_started_after_the_restore_have_the_clocks() {
    let criu = need!(Criu::find());
    let answers = criu.file("answers");
    let script = format!(
        "while :; do date +%s.%N >> '{}'; sleep 0.1; done",
        answers.display()
    );
    criu.act_with(&["--policy realtime=continue"]);
    let words = ["sh", "-c", &script];
    let run = Run::inside(&SHIFTED).through(&["setsid", "--wait"]);
    let _started = run.start(&words);
    let pid = supervisor::wait_for("shell", || criu::process_of(&words));
    let wait = || {
        let had = criu::lines(&answers).len();
        harness::sys::wait_until(|| criu::lines(&answers).len() > had + 3, "its answers");
    };
    wait();
    for _ in 0..2 {
        criu.dump(pid);
        criu.restore();
        wait();
    }
    let before = Host::now();
    wait();
    let last = criu::lines(&answers).pop().unwrap();
    let host = before.until(Host::now(), "REALTIME");
    let last = harness::clock::Reading::parse(&last).unwrap().nanos;
    let expected = host.shifted(400 * DAYS);
    // Less what the two pauses took.
    assert!(last <= expected.after, "{last} {expected:?}");
    assert!(
        last >= expected.before - 600 * SECOND,
        "{last} {expected:?}"
    );
    criu::end(pid);
}
