//! Programs whose memory is opened by the keeper, as under Yama's `ptrace_scope` 1. Kernels with Yama
//! are tried by `tests/kernels`; here a debug build is told to go that way.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::SECOND;
use harness::guests::{self, Kind};
use harness::process::{Run, elsewhen};
use harness::{SHIFT, is_warned, need, supervisor};

/// The words that run a command shifted, and by the keeper.
fn shifted(argv: &[&str]) -> Vec<String> {
    let elsewhen = elsewhen().display().to_string();
    let shift = format!("+{SHIFT}");
    ["env", "ELSEWHEN_TEST_KEEPER_OPENS=1", &elsewhen]
        .into_iter()
        .chain(["run", "--realtime", &shift, "--"])
        .chain(argv.iter().copied())
        .map(String::from)
        .collect()
}

/// How many threads a process has.
fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .count()
}

#[test]
fn programs_whose_memory_the_keeper_opens_are_shifted() {
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        let now = need!(guests::build("now", kind)).display().to_string();
        Run::on_host()
            .run(&shifted(&[&now]))
            .check_shifted()
            .unwrap();
    }
}

#[test]
fn a_storm_of_programs_whose_memory_the_keeper_opens_is_right() {
    let storm = need!(guests::build("storm", Kind::Glibc))
        .display()
        .to_string();
    let now = need!(guests::build("now", Kind::MuslStatic))
        .display()
        .to_string();
    let host = i64::try_from(harness::sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND).unwrap();
    let from = host + i64::try_from(SHIFT).unwrap();
    let (lo, hi) = (from.to_string(), (from + 300).to_string());
    for (mode, result) in [
        ("exec", "right 400 wrong 0 killed 0 other 0\n"),
        ("thread", "right 400 wrong 0 killed 0 other 0\n"),
        ("kill", "wrong 0"),
    ] {
        let run = Run::on_host()
            .run(&shifted(&[&storm, mode, "4", "100", &now, &lo, &hi]))
            .succeeded();
        assert!(run.stdout.contains(result), "{run:#?}");
    }
}

#[test]
fn a_new_worker_has_a_thread_of_its_own_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "until test -e {}; do sleep 0.1; done; date +%s",
        go.display()
    );
    let running = Run::on_host().start(&shifted(&["sh", "-c", &script]));
    let keeper = supervisor::wait_for("keeper", || supervisor::keeper(running.pid()));
    let worker = supervisor::wait_for("worker", || supervisor::worker(keeper));
    // Its own, two that open, and one that redirects.
    let has_all = || (threads(keeper) == 4).then_some(());
    supervisor::wait_for("threads", has_all);
    harness::sys::kill(worker, libc::SIGKILL);
    supervisor::wait_for("other worker", || {
        supervisor::worker(keeper).filter(|other| *other != worker)
    });
    supervisor::wait_for("end of the old threads", has_all);
    std::fs::write(&go, "").unwrap();
    running.finish().check_shifted().unwrap();
}

#[test]
fn the_link_of_a_namespace_is_told_through_the_keeper() {
    let elsewhen = elsewhen().display().to_string();
    let link = |opens: &str| {
        let words = [
            "env",
            opens,
            &elsewhen,
            "run",
            "--backend=guest",
            "--monotonic",
            "+5",
            "--",
        ];
        let words = [&words[..], &["readlink", "/proc/self/ns/time"]].concat();
        Run::on_host().run(&words).succeeded().stdout
    };
    let by_keeper = link("ELSEWHEN_TEST_KEEPER_OPENS=1");
    assert_eq!(by_keeper, link("OTHER=1"));
    let kernels = std::fs::read_link("/proc/self/ns/time");
    assert_ne!(
        by_keeper.trim(),
        kernels.unwrap_or_default().to_string_lossy()
    );
}

#[test]
fn a_late_warning_reaches_a_file() {
    let other = need!(guests::build("now", Kind::I386))
        .display()
        .to_string();
    let dir = guests::public_directory();
    let script = format!("(sleep 0.5; {other}) 2>late &");
    Run::on_host()
        .in_dir(dir.path())
        .run(&shifted(&["sh", "-c", &script]))
        .succeeded();
    let late = std::fs::read_to_string(dir.path().join("late")).unwrap();
    assert!(is_warned(&late, "now"), "{late}");
}

#[test]
fn strict_is_refused_where_only_the_keeper_may_open() {
    let mut words = shifted(&["true"]);
    words.insert(4, "--strict".into());
    let run = Run::on_host().run(&words);
    assert_eq!(run.code, 125, "{run:#?}");
    assert!(run.stderr.contains("ptrace_scope 1"), "{run:#?}");
}
