//! Absolute waits and processes: made in every way, replaced while others wait, and their supervisor
//! killed meanwhile.
//!
//! `ELSEWHEN_STORM=full` does each as often as its issue asks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::agreement::in_one_page;
use harness::guests::{self, Kind};
use harness::process::{Finished, Run, alone};
use harness::supervisor::{keeper, wait_for, worker};
use harness::worlds::{ahead, behind, expect_agreement, is_full};
use harness::{Missing, need, root, skip, sys};
use std::ffi::OsString;
use std::time::Duration;

fn words(name: &str, kind: Kind, rest: &[&str]) -> Result<Vec<OsString>, Missing> {
    let mut words = vec![guests::build(name, kind)?.into_os_string()];
    words.extend(rest.iter().map(OsString::from));
    Ok(words)
}

/// The guest says by its status whether every wait in every process was right.
fn every_process_waits_rightly(mode: &str, few: u32, full: u32) {
    let rounds = if is_full() { full } else { few }.to_string();
    for (kind, world) in [(Kind::Glibc, ahead()), (Kind::GlibcStatic, behind())] {
        let words = need!(words("waits_processes", kind, &[mode, &rounds]));
        let world = world.limit(if is_full() { 1800 } else { 300 });
        let run = world.run(&words).succeeded();
        assert_eq!(run.stderr, "", "{run:#?}");
    }
}

#[test]
fn a_child_of_vfork_waits_and_so_does_its_parent() {
    every_process_waits_rightly("vfork", 26, 520);
}

#[test]
fn a_spawned_program_waits() {
    every_process_waits_rightly("spawn", 10, 200);
}

#[test]
fn processes_that_share_memory_wait_at_one_site() {
    every_process_waits_rightly("shared", 26, 520);
}

#[test]
fn children_of_clone3_wait() {
    every_process_waits_rightly("clone3", 26, 260);
}

#[test]
fn children_forked_while_a_site_is_first_used_go_on_with_it() {
    every_process_waits_rightly("fork", 26, 1040);
}

#[test]
fn a_thread_may_exec_while_others_wait() {
    every_process_waits_rightly("exec", 52, 3000);
}

#[test]
fn execs_may_fail_while_others_wait() {
    every_process_waits_rightly("path", 52, 1000);
}

#[test]
fn a_script_names_a_program_that_waits() {
    use std::os::unix::fs::PermissionsExt;
    let guest = need!(guests::build("waits_processes", Kind::Glibc));
    let script = tempfile::Builder::new()
        .tempfile()
        .unwrap()
        .into_temp_path();
    alone(|| {
        std::fs::write(&script, format!("#!{} wait\n", guest.display())).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    });
    for world in [Run::on_host(), ahead(), behind()] {
        let run = world.run(&[script.as_os_str()]).succeeded();
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn every_c_librarys_functions_wait_alike() {
    for kind in Kind::C {
        let words = need!(words("wait_libc", kind, &[]));
        let host = expect_agreement(&words);
        assert_eq!(host.stdout.matches(" in time").count(), 51, "{host:#?}");
    }
}

#[test]
fn go_waits_by_system_calls_of_its_own() {
    let words = need!(words("wait", Kind::Go, &[]));
    let host = expect_agreement(&words);
    assert_eq!(host.stdout.matches("true true").count(), 12, "{host:#?}");
}

#[test]
fn programs_in_user_and_pid_namespaces_of_their_own_wait() {
    let unshare = ["unshare", "-Urmpf", "--mount-proc"];
    if Run::on_host().run(&[&unshare[..], &["true"]].concat()).code != 0 {
        skip!("no user namespaces here");
    }
    for name in ["wait_libc", "timer_handover"] {
        let mut all: Vec<OsString> = unshare.map(OsString::from).to_vec();
        all.extend(need!(words(name, Kind::Glibc, &[])));
        expect_agreement(&all);
    }
}

#[test]
fn an_ordinary_users_programs_wait() {
    need!(root());
    let public = guests::public_directory();
    for (name, kind) in [
        ("wait_libc", Kind::Glibc),
        ("timer_handover", Kind::MuslStatic),
    ] {
        let guest = guests::copy(&need!(guests::build(name, kind)), public.path(), 0o755);
        let host = Run::on_host().run(&[&guest]).succeeded();
        for world in [ahead(), behind()] {
            let run = world.by_ordinary_user(public.path()).run(&[&guest]);
            assert_eq!(run.code, 0, "{run:#?}");
            assert_eq!(run.stdout, host.stdout, "{run:#?}");
        }
    }
}

fn counts(run: &Finished) -> [u64; 3] {
    let numbers = run.stdout.split_whitespace().filter_map(|w| w.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    println!("{}", run.stdout.trim());
    numbers.try_into().unwrap_or_else(|_| panic!("{run:#?}"))
}

/// Messages are sent and received, timers set, times awaited: each once, at both kinds of sites.
fn every_call_is_made_once(mode: &str) {
    let rounds = if is_full() { "10000" } else { "200" };
    for kind in [Kind::Glibc, Kind::GlibcStatic] {
        // That the guest is right is soon seen on the host.
        for (world, rounds) in [
            (Run::on_host(), "200"),
            (ahead(), rounds),
            (behind(), rounds),
        ] {
            let words = need!(words("wait_storm", kind, &["8", rounds, mode]));
            let run = world.limit(900).run(&words).succeeded();
            let [_, interrupted, wrong] = counts(&run);
            assert_eq!(wrong, 0, "{run:#?}");
            assert!(interrupted == 0 || mode != "quiet", "{run:#?}");
        }
    }
}

#[test]
fn every_call_is_made_once_without_signals() {
    every_call_is_made_once("quiet");
}

#[test]
fn every_call_is_made_once_under_handlers() {
    every_call_is_made_once("handlers");
    every_call_is_made_once("restarting");
}

/// Kills the worker again and again while the command runs.
fn under_killed_workers(kills: u32, world: &Run, words: &[OsString]) -> Finished {
    // What is lost waits for ever.
    let limit = if is_full() { 600 } else { 200 };
    let mut run = world.clone().limit(limit).start(words);
    let front = run.pid();
    let keeper = wait_for("keeper", || keeper(front));
    let mut killed = 0;
    let mut last = 0;
    while killed < kills && run.is_alive() {
        // From a moment to some milliseconds, so that it meets every moment of a redirection.
        let pause = 200 + u64::from(killed) * 7919 % 12_000;
        std::thread::sleep(Duration::from_micros(pause));
        if let Some(worker) = worker(keeper).filter(|worker| *worker != last) {
            sys::kill(worker, libc::SIGKILL);
            last = worker;
            killed += 1;
        }
    }
    let finished = run.finish();
    println!("{killed} killed: {}", finished.stdout.trim());
    assert!(killed >= kills / 2, "over after {killed}: {finished:#?}");
    finished
}

#[test]
fn no_wait_is_early_late_or_made_twice_when_the_worker_is_killed_again_and_again() {
    let (kills, rounds) = if is_full() {
        (200, "20000")
    } else {
        (20, "2000")
    };
    let words = need!(words(
        "wait_storm",
        Kind::GlibcStatic,
        &["8", rounds, "quiet"]
    ));
    for world in [ahead(), behind()] {
        let run = under_killed_workers(kills, &world, &words).succeeded();
        let [calls, interrupted, wrong] = counts(&run);
        assert_eq!(wrong, 0, "{run:#?}");
        // What was under way when a worker died: never more than one call of each thread.
        assert!(interrupted <= u64::from(kills) * 8, "{calls}: {run:#?}");
    }
}

#[test]
fn first_uses_are_right_when_the_worker_is_killed_again_and_again() {
    let (kills, rounds) = if is_full() {
        (200, "5200")
    } else {
        (20, "520")
    };
    let words = need!(words(
        "site_storm",
        Kind::MuslStatic,
        &[rounds, "4", "50", "killed"]
    ));
    for world in [ahead(), behind(), in_one_page()] {
        let run = under_killed_workers(kills, &world, &words).succeeded();
        assert!(run.stdout.contains(" wrong 0 "), "{run:#?}");
    }
}
