//! Containers of Podman's that move from one host to another, and their clocks with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{self, SECOND};
use harness::criu::Criu;
use harness::engines::hosts::{self, Host};
use harness::engines::stage::Stage;
use harness::guests::{self, Kind};
use harness::need;
use harness::process::Run;
use harness::restored::{PAUSE, pause};
use harness::ticks::{self, Tick};
use std::ffi::OsStr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "elsewhen-moves";
const DAYS: i128 = 86_400 * SECOND;

/// The ticks of the container, once there are so many more.
fn ticks(host: &Host, more: usize) -> Vec<Tick> {
    let read = || -> Vec<Tick> {
        let lines = host.lines(NAME);
        lines.iter().map(|line| Tick::parse(line)).collect()
    };
    let had = read().len();
    let start = Instant::now();
    loop {
        let ticks = read();
        if ticks.len() >= had + more {
            return ticks;
        }
        let is_late = start.elapsed() > Duration::from_secs(120);
        assert!(!is_late, "no ticks: {}", host.state(NAME));
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a further program reads in it, which waits for absolute times.
fn exec(host: &Host, program: &str) -> Vec<Tick> {
    let script = format!("{program} /dev/stdout | busybox head -n 5");
    let ended = host.exec(NAME, &["sh", "-c", &script]).succeeded();
    let ticks: Vec<Tick> = ended.stdout.lines().map(Tick::parse).collect();
    assert_eq!(ticks.len(), 5);
    ticks
}

/// The archive without the clocks is refused.
fn expect_refusal(host: &Host, archive: &Path) {
    let without = archive.with_extension("without");
    let pack = "mkdir \"$1.dir\" && tar -xf \"$1\" -C \"$1.dir\" --exclude=checkpoint/elsewhen-clocks.json && \
                tar -cf \"$2\" -C \"$1.dir\" .";
    let words = ["sh", "-c", pack, "sh"].map(OsStr::new);
    let files = [archive.as_os_str(), without.as_os_str()];
    Run::on_host()
        .run(&[&words[..], &files].concat())
        .succeeded();
    let log = host.refuses(NAME, &without);
    assert!(
        log.contains("elsewhen: there is no `elsewhen-clocks.json`"),
        "{log}"
    );
}

/// A container that ticks goes from one host to the other, and back; `words` are Podman's for it. What its
/// clocks are ahead of the first host's is `realtime` and `boottime`.
fn moves(words: &[&str], realtime: i128, boottime: i128) {
    let criu = need!(Criu::find());
    criu.act_with(&["--policy realtime=continue"]);
    let (_, options) = criu.for_runc();
    let stage = need!(Stage::new());
    let program = need!(guests::build("going_on", Kind::MuslStatic));
    let program = stage.add(&program);
    let hosts = need!(hosts::two(&stage, &criu));
    hosts[0].start(NAME, &options, words, &[&program, "/dev/stdout"]);
    let before = clock::Host::now();
    let first = *ticks(&hosts[0], 3).last().unwrap();
    let now = before.until(clock::Host::now(), "REALTIME");
    assert!(
        (now.before - SECOND..=now.after).contains(&(first.realtime - realtime)),
        "{first:?} {now:?}"
    );
    assert!(first.boottime >= boottime, "{first:?}");

    let mut paused = 0;
    for (turn, [from, to]) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let had = ticks(&hosts[from], 1).len();
        let archive = stage.at(&format!("archive{turn}.tar"));
        hosts[from].checkpoint(NAME, &archive);
        pause();
        paused += PAUSE;
        if turn == 0 {
            expect_refusal(&hosts[to], &archive);
        }
        hosts[to].restore(&archive);
        let before = clock::Host::now();
        let all = ticks(&hosts[to], 3);
        // It read its clocks between any two of these, and they went on.
        for pair in all[had - 1..].windows(2) {
            let steps = [
                pair[1].monotonic - pair[0].monotonic,
                pair[1].boottime - pair[0].boottime,
                pair[1].realtime - pair[0].realtime,
                pair[1].tai - pair[0].tai,
            ];
            assert!(steps.iter().all(|step| *step >= 0), "{pair:?}");
        }
        if realtime != 0 {
            let more = exec(&hosts[to], &program);
            ticks::expect_between(
                *all.last().unwrap(),
                &more,
                *ticks(&hosts[to], 2).last().unwrap(),
            );
        }
        let last = *all.last().unwrap();
        let host = before.until(clock::Host::now(), "REALTIME");
        // All pauses are left out, of each clock.
        let passed = host.after - now.before;
        for (clock, counted) in [
            ("MONOTONIC", last.monotonic - first.monotonic),
            ("BOOTTIME", last.boottime - first.boottime),
            ("REALTIME", last.realtime - first.realtime),
            ("TAI", last.tai - first.tai),
        ] {
            let most = passed - paused;
            assert!(counted <= most, "{clock}: {counted} of {most}");
        }
    }
}

#[test]
fn a_container_of_podmans_moves_to_a_host_that_was_started_later() {
    moves(&[], 0, 0);
}

#[test]
fn a_container_of_podmans_with_clocks_of_its_own_keeps_them_on_another_host() {
    let words = [
        "--annotation=org.elsewhen.realtime=+400d",
        "--annotation=org.elsewhen.monotonic=+100d",
        "--annotation=org.elsewhen.boottime=+50d",
    ];
    moves(&words, 400 * DAYS, 50 * DAYS);
}
