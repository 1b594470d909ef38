//! `--strict`: the programs that read the clock before anything else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::clock::SECOND;
use harness::guests::{self, Kind};
use harness::process::{Finished, Run, alone, elsewhen};
use harness::{Missing, SHIFT, need, sys, tools};

const STRICT: [&str; 4] = ["--strict", "--backend=guest", "--realtime", "+1000000"];

/// The time inside, or a little before.
fn seconds() -> String {
    (sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + SHIFT - 1).to_string()
}

/// `execs WAY PROGRAM SECONDS NUMBER` in a strict namespace.
fn execute(way: &str, program: &Path, number: u32) -> Result<Finished, Missing> {
    let execs = guests::build("execs", Kind::Glibc)?;
    let number = number.to_string();
    let words = [
        execs.as_os_str(),
        way.as_ref(),
        program.as_os_str(),
        seconds().as_ref(),
        number.as_ref(),
    ]
    .map(ToOwned::to_owned);
    Ok(Run::inside(&STRICT).run(&words).succeeded())
}

fn first() -> Result<PathBuf, Missing> {
    guests::build("first", Kind::NoLibc)
}

#[test]
fn without_strict_a_program_that_reads_the_clock_first_sees_the_hosts() {
    let first = need!(first());
    let words = [first.into_os_string(), seconds().into()];
    let run = Run::inside(&STRICT[1..]).run(&words);
    assert_eq!(run.code, 1, "{run:#?}");
    Run::inside(&STRICT).run(&words).succeeded();
}

/// The ways in which a program of 32 bits starts another too.
const WAYS: [&str; 6] = [
    "plain",
    "descriptor",
    "directory",
    "vfork",
    "thread",
    "failures",
];

#[test]
fn a_program_may_be_started_in_every_way() {
    let first = need!(first());
    for way in WAYS.into_iter().chain(["threads"]) {
        need!(execute(way, &first, 0));
    }
}

#[test]
fn a_script_may_name_the_program() {
    let first = need!(first());
    let script = tempfile::Builder::new()
        .tempfile()
        .unwrap()
        .into_temp_path();
    alone(|| {
        fs::write(&script, format!("#!{}\n", first.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    });
    need!(execute("vfork", &script, 0));
}

#[test]
fn a_32_bit_program_may_start_the_program() {
    let (first, execs) = (need!(first()), need!(guests::build("execs", Kind::I386)));
    for way in WAYS {
        let words = [execs.as_os_str(), way.as_ref(), first.as_os_str()];
        let mut words = words.map(ToOwned::to_owned).to_vec();
        words.push(seconds().into());
        Run::inside(&STRICT).run(&words).succeeded();
    }
}

#[test]
fn an_ordinary_user_may_start_the_program() {
    let (first, execs) = (need!(first()), need!(guests::build("execs", Kind::Glibc)));
    let public = guests::public_directory();
    let first = guests::copy(&first, public.path(), 0o755);
    let execs = guests::copy(&execs, public.path(), 0o755);
    for way in ["failures", "storm"] {
        let words = [execs.as_os_str(), way.as_ref(), first.as_os_str()];
        let mut words = words.map(ToOwned::to_owned).to_vec();
        words.extend([seconds().into(), "20".into()]);
        Run::inside(&STRICT)
            .by_ordinary_user(public.path())
            .run(&words)
            .succeeded();
    }
}

#[test]
fn a_namespace_inside_of_a_strict_one_is_strict() {
    let first = need!(first());
    let both = (seconds().parse::<i128>().unwrap() + SHIFT).to_string();
    let elsewhen = elsewhen();
    let words = [elsewhen.as_os_str(), "run".as_ref(), "--realtime".as_ref()];
    let mut words = words.map(ToOwned::to_owned).to_vec();
    words.extend(["+1000000".into(), first.into_os_string(), both.into()]);
    Run::inside(&STRICT).run(&words).succeeded();
}

#[test]
fn a_traced_program_starts_as_without_strict() {
    let strace = need!(tools::find("strace"));
    let words = ["-f", "-o", "/dev/null", "sh", "-c", "date +%s; :"];
    let mut command = vec![strace.into_os_string()];
    command.extend(words.map(Into::into));
    let run = Run::inside(&STRICT).run(&command).succeeded();
    let seen: i128 = run.stdout.trim().parse().unwrap();
    assert!((seen - seconds().parse::<i128>().unwrap()).abs() < 100);
}

#[test]
fn programs_start_in_a_storm_and_are_killed_at_any_moment() {
    let first = need!(first());
    need!(execute("storm", &first, 200));
}

#[test]
fn signals_and_stops_arrive_around_a_failing_start() {
    let first = need!(first());
    need!(execute("signals", &first, 500));
    need!(execute("stops", &first, 200));
}

/// A signal that comes before the supervisor has received the call takes the thread out of it; the
/// kernel then makes the call again, or lets it fail if the handler asks for that.
#[test]
fn a_handler_interrupts_a_start_only_without_sa_restart() {
    let first = need!(first());
    let counts = |run: Finished| -> Vec<u32> {
        let words = run.stdout.split_whitespace();
        words.map(|word| word.parse().unwrap()).collect()
    };
    let restarting = counts(need!(execute("restart", &first, 3000)));
    assert_eq!(restarting[1], 0, "{restarting:?}");
    assert!(restarting[2] > 0, "{restarting:?}");
    let interrupted = counts(need!(execute("alarms", &first, 3000)));
    // How often depends on how long the supervisor takes to wake; never without a handler.
    assert!(interrupted[1] <= interrupted[2], "{interrupted:?}");
}

#[test]
fn a_program_gets_its_clocks_from_the_next_worker_when_one_is_killed() {
    let (first, execs) = (need!(first()), need!(guests::build("execs", Kind::Glibc)));
    let dir = tempfile::tempdir().unwrap();
    let late = dir.path().join("late");
    alone(|| fs::copy(first, &late).unwrap());
    let mut command = Command::new(elsewhen());
    command.arg("run").args(STRICT).arg(execs);
    command.arg("storm").arg(&late).args([&seconds(), "4"]);
    let mut front = alone(|| command.spawn().unwrap());
    let started = Instant::now();
    let mut killed = 0;
    let status = loop {
        if let Some(status) = front.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > Duration::from_secs(300) {
            front.kill().unwrap();
            panic!("hung after {killed} workers");
        }
        std::thread::sleep(Duration::from_millis(200));
        killed += kill_workers(front.id());
    };
    assert!(status.success() && killed > 0, "{status}, {killed} killed");
}

/// Kills the grandchildren of a front that run elsewhen and have threads: workers of strict trees.
fn kill_workers(front: u32) -> u32 {
    let children = |pid: u32| -> Vec<u32> {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let list = list.unwrap_or_default();
        list.split_whitespace().flat_map(str::parse).collect()
    };
    let is_worker = |pid: &u32| {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        threads > 1 && program.is_ok_and(|program| program == elsewhen())
    };
    let mut killed = 0;
    for keeper in children(front) {
        for worker in children(keeper).iter().filter(|pid| is_worker(pid)) {
            sys::kill(i32::try_from(*worker).unwrap(), libc::SIGKILL);
            killed += 1;
        }
    }
    killed
}
