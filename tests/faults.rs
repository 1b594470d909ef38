//! The supervisor's processes killed, stopped and hung, and trees that make it hard for them.
//!
//! `ELSEWHEN_STORM=full` does each as often as its issue asks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use harness::clock::SECOND;
use harness::guests::{self, Kind};
use harness::process::Run;
use harness::supervisor::{
    has_cgroup_kill, is_running, keeper, pid_max_is_per_namespace, resident_kib, wait_for, worker,
};
use harness::{cgroup, need, root, skip, sys};

fn is_full() -> bool {
    std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full")
}

/// The seconds between which a shifted clock reads while a test runs; a doubly shifted one does not.
fn bounds() -> [String; 2] {
    let now = sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + harness::SHIFT;
    [now - 1, now + 100_000].map(|n| n.to_string())
}

/// `storm MODE PARENTS COUNT PROGRAM LO HI`.
fn storm(storm: &Path, mode: &str, parents: u32, each: u32, program: &Path) -> Vec<OsString> {
    let [low, high] = bounds();
    let mut words: Vec<OsString> = vec![storm.into(), mode.into()];
    words.extend([parents.to_string(), each.to_string()].map(OsString::from));
    words.extend([program.into(), low.into(), high.into()]);
    words
}

/// Cheap numbers that differ from run to run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(u64::from(std::process::id()) << 20 | 0x5_eed1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Kills the worker at random moments while programs start, and expects every one to be right.
fn every_start_survives_a_worker_killed(kills: u32, kind: Kind) {
    let storm_program = need!(guests::build("storm", Kind::Glibc));
    let program = need!(guests::build("now", kind));
    let each = 12 * kills;
    let words = storm(&storm_program, "exec", 8, each, &program);
    // What is lost waits for ever.
    let limit = if is_full() { 600 } else { 200 };
    let mut run = Run::shifted().limit(limit).start(&words);
    let front = run.pid();
    let keeper = wait_for("keeper", || keeper(front));
    let mut random = Random::new();
    let mut killed = 0;
    let mut last = 0;
    while killed < kills && run.is_alive() {
        std::thread::sleep(Duration::from_micros(random.below(15_000)));
        if let Some(worker) = worker(keeper).filter(|worker| *worker != last) {
            sys::kill(worker, libc::SIGKILL);
            last = worker;
            killed += 1;
        }
    }
    let finished = run.finish().succeeded();
    assert_eq!(killed, kills, "the storm was over too soon: {finished:#?}");
    let right = format!("right {} wrong 0 killed 0 other 0", 8 * each);
    assert_eq!(finished.stdout.trim(), right, "{finished:#?}");
}

#[test]
fn no_program_is_lost_when_the_worker_is_killed_again_and_again() {
    every_start_survives_a_worker_killed(if is_full() { 200 } else { 20 }, Kind::MuslStatic);
}

#[test]
fn no_dynamic_program_is_lost_when_the_worker_is_killed_again_and_again() {
    every_start_survives_a_worker_killed(if is_full() { 100 } else { 10 }, Kind::Glibc);
}

#[test]
fn a_worker_killed_amid_unshare_leaves_no_success_without_a_time_namespace() {
    need!(root());
    let splits = need!(guests::build("splits", Kind::Glibc));
    let seconds = if is_full() { "30" } else { "4" };
    let run = Run::inside(&["--backend=guest"]).limit(300);
    let mut run = run.start(&[splits.as_os_str(), seconds.as_ref()]);
    let keeper = wait_for("keeper", || keeper(run.pid()));
    let mut random = Random::new();
    while run.is_alive() {
        std::thread::sleep(Duration::from_micros(10_000 + random.below(60_000)));
        if let Some(worker) = worker(keeper) {
            sys::kill(worker, libc::SIGKILL);
        }
    }
    let finished = run.finish().succeeded();
    assert!(finished.stdout.contains(" wrong 0 "), "{finished:#?}");
    assert!(!finished.stdout.contains("right 0 "), "{finished:#?}");
}

#[test]
fn a_stopped_worker_is_replaced() {
    let now = need!(guests::build("now", Kind::MuslStatic));
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mkfifo new && mv new gate; read line <gate; {}",
        now.display()
    );
    let run = Run::shifted().in_dir(dir.path());
    let run = run.start(&["sh", "-c", &script]);
    let front = run.pid();
    let gate = dir.path().join("gate");
    sys::wait_until(|| gate.exists(), "the shell has begun");
    let worker = wait_for("worker", || worker(keeper(front)?));
    sys::kill(worker, libc::SIGSTOP);
    // Held open until the end, so that it opens at once and what is written stays.
    let mut gate = File::options().read(true).write(true).open(gate).unwrap();
    gate.write_all(b"go\n").unwrap();
    run.finish().expect_shifted();
    assert!(!is_running(worker));
}

#[test]
fn a_worker_that_hangs_in_a_guests_memory_holds_up_nobody_for_long() {
    need!(root());
    let tarpit = need!(guests::build("tarpit", Kind::Glibc));
    let now = need!(guests::build("now", Kind::MuslStatic));
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{} {} & sleep 0.3; {} quit && echo started; wait $!",
        tarpit.display(),
        dir.path().display(),
        now.display()
    );
    let run = Run::shifted().run(&["sh", "-c", &script]);
    if run.code == 77 {
        skip!("no FUSE here");
    }
    assert_eq!(run.code, 0, "{run:#?}");
    let enosys = format!("result -1 errno {}", libc::ENOSYS);
    assert!(run.stdout.contains("started\n"), "{run:#?}");
    assert!(run.stdout.contains(&enosys), "{run:#?}");
}

/// A loop that starts programs for ever and notes how each ended.
fn starts_for_ever(now: &Path, log: &Path) -> [String; 3] {
    let [low, high] = bounds();
    // Opened once: what opens a file fails without a supervisor.
    let script = format!(
        "exec 3>>{}; while :; do {} check {low} {high}; echo $? >&3; done",
        log.display(),
        now.display(),
    );
    ["sh".into(), "-c".into(), script]
}

/// A directory with a program and a log, for the ordinary user to run and to write.
fn for_the_ordinary_user(built: &Path) -> (tempfile::TempDir, PathBuf, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let public = guests::public_directory();
    let now = guests::copy(built, public.path(), 0o755);
    let log = public.path().join("log");
    std::fs::write(&log, "").unwrap();
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o666)).unwrap();
    (public, now, log)
}

fn lines(log: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn the_tree_ends_with_its_keeper_where_there_is_a_control_group() {
    need!(root());
    if !has_cgroup_kill() {
        skip!("no cgroup.kill here");
    }
    let now = need!(guests::build("now", Kind::MuslStatic));
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let run = Run::shifted().start(&starts_for_ever(&now, &log));
    let front = run.pid();
    let keeper = wait_for("keeper", || keeper(front));
    wait_for("start", || (lines(&log).len() > 3).then_some(()));
    sys::kill(keeper, libc::SIGKILL);
    // `finish` fails if anything is left.
    let finished = run.finish();
    assert_eq!(finished.code, 125, "{finished:#?}");
    assert!(finished.stderr.contains("elsewhen: "), "{finished:#?}");
    let results = lines(&log);
    assert!(!results.contains(&3), "host time: {results:?}");
}

#[test]
fn an_empty_control_group_of_a_killed_supervisor_goes_with_the_next_start() {
    need!(root());
    if !has_cgroup_kill() {
        skip!("no cgroup.kill here");
    }
    let name = format!("swept.{}", std::process::id());
    let run = Run::inside(&["--realtime", "+1", "--name", &name]);
    let sleeps = ["sh", "-c", "echo ready; exec sleep 600"];
    let running = run.start(&sleeps);
    sys::wait_until(|| running.output().contains("ready"), "it runs");
    let keeper = wait_for("keeper", || keeper(running.pid()));
    let worker = wait_for("worker", || worker(keeper));
    // A worker that goes on would remove it, and so would one in its place.
    sys::kill(keeper, libc::SIGSTOP);
    sys::kill(worker, libc::SIGKILL);
    sys::kill(keeper, libc::SIGKILL);
    drop(running);
    let own = cgroup::own_directory().unwrap();
    let of_killed = own.join(format!("elsewhen-{name}-{keeper}"));
    assert!(of_killed.exists());

    // One that is not old, and one whose owner lives, stay.
    let young = own.join(format!("elsewhen-young.{name}-{keeper}"));
    let alive = own.join(format!("elsewhen-alive.{name}-{}", std::process::id()));
    for group in [&young, &alive] {
        std::fs::create_dir(group).unwrap();
    }
    for group in [&of_killed, &alive] {
        let hour = Duration::from_secs(3600);
        let group = std::fs::File::open(group).unwrap();
        group.set_modified(SystemTime::now() - hour).unwrap();
    }
    let _next = run.start(&sleeps);
    sys::wait_until(|| !of_killed.exists(), "it goes");
    for group in [&young, &alive] {
        std::fs::remove_dir(group).unwrap();
    }
}

#[test]
fn new_programs_fail_and_none_sees_host_time_when_the_keeper_of_an_ordinary_user_is_killed() {
    need!(root());
    let built = need!(guests::build("now", Kind::MuslStatic));
    let (public, now, log) = for_the_ordinary_user(&built);
    let mut words = starts_for_ever(&now, &log);
    words[2] = words[2].replace("while :", "for i in $(seq 4000)");
    let run = Run::shifted().by_ordinary_user(public.path()).start(&words);
    let front = run.pid();
    let keeper = wait_for("keeper", || keeper(front));
    wait_for("start", || (lines(&log).len() > 3).then_some(()));
    sys::kill(keeper, libc::SIGKILL);
    // The members themselves go on: the shell's loop ends, after failures only.
    wait_for("failed start", || {
        lines(&log).iter().any(|r| *r != 0).then_some(())
    });
    let finished = run.finish();
    assert_eq!(finished.code, 125, "{finished:#?}");
    let results = lines(&log);
    assert!(!results.contains(&3), "host time: {results:?}");
    let first = results.iter().position(|r| *r != 0).unwrap();
    let late: Vec<_> = results[first + 1..].iter().filter(|r| **r == 0).collect();
    assert!(late.is_empty(), "started without a supervisor: {results:?}");
}

#[test]
fn the_tree_ends_with_its_keeper_where_the_front_is_the_first_process_of_a_pid_namespace() {
    need!(root());
    let built = need!(guests::build("now", Kind::MuslStatic));
    let (public, now, log) = for_the_ordinary_user(&built);
    let loop_words = starts_for_ever(&now, &log);
    let elsewhen = public.path().join("elsewhen");
    let shift = format!("+{}", harness::SHIFT);
    let mut words: Vec<OsString> = ["unshare", "-Urpf", "--kill-child", "--mount-proc"]
        .map(OsString::from)
        .to_vec();
    words.push(elsewhen.into());
    words.extend(["run", "--realtime", &shift, "--"].map(OsString::from));
    words.extend(loop_words.map(OsString::from));
    let run = Run::on_host().by_ordinary_user(public.path());
    harness::process::alone(|| {
        std::fs::copy(harness::process::elsewhen(), public.path().join("elsewhen")).unwrap()
    });
    let run = run.start(&words);
    let unshare = run.pid();
    // unshare, its child (the front), the keeper.
    let keeper = wait_for("keeper", || keeper(keeper(unshare)?));
    wait_for("start", || (lines(&log).len() > 3).then_some(()));
    sys::kill(keeper, libc::SIGKILL);
    let finished = run.finish();
    assert_ne!(finished.code, 0, "{finished:#?}");
    assert!(!lines(&log).contains(&3));
}

#[test]
fn a_crowd_of_sleepers_keeps_its_clocks() {
    let crowd = need!(guests::build("crowd", Kind::MuslStatic));
    let count = if is_full() { 10_000 } else { 500 };
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let [low, high] = bounds();
    let mut words: Vec<OsString> = vec![crowd.into(), count.to_string().into()];
    words.extend([low.into(), high.into(), go.clone().into()]);
    let run = Run::shifted().limit(300).start(&words);
    let front = run.pid();
    let keeper = wait_for("keeper", || keeper(front));
    let alive = format!("alive {count}\n");
    let start = Instant::now();
    while !run.output().contains(&alive) {
        assert!(
            start.elapsed() < Duration::from_secs(240),
            "{}",
            run.output()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let worker = wait_for("worker", || worker(keeper));
    println!(
        "{count} sleepers: keeper {} KiB, worker {} KiB resident",
        resident_kib(keeper).unwrap(),
        resident_kib(worker).unwrap()
    );
    std::fs::write(&go, "").unwrap();
    let finished = run.finish().succeeded();
    let right = format!("right {count} wrong 0");
    assert!(finished.stdout.contains(&right), "{finished:#?}");
}

#[test]
fn eight_parents_lose_no_program() {
    let storm_program = need!(guests::build("storm", Kind::Glibc));
    for kind in [Kind::MuslStatic, Kind::Glibc] {
        let program = need!(guests::build("now", kind));
        let each = if is_full() { 1250 } else { 100 };
        let words = storm(&storm_program, "exec", 8, each, &program);
        let run = Run::shifted().limit(600).run(&words).succeeded();
        let right = format!("right {} wrong 0 killed 0 other 0", 8 * each);
        assert_eq!(run.stdout.trim(), right, "{run:#?}");
    }
}

#[test]
fn processes_that_share_memory_before_their_first_call_agree() {
    let guest = need!(guests::build("shared_mm", Kind::NoLibc));
    let [low, high] = bounds();
    for _ in 0..if is_full() { 400 } else { 20 } {
        let words = [guest.as_os_str(), low.as_ref(), high.as_ref()];
        Run::shifted().run(&words).succeeded();
    }
}

#[test]
fn pids_that_come_back_at_once_confuse_nobody() {
    need!(root());
    if !pid_max_is_per_namespace() {
        skip!("pid_max belongs to the whole system before Linux 6.14");
    }
    let storm_program = need!(guests::build("storm", Kind::Glibc));
    let program = need!(guests::build("now", Kind::MuslStatic));
    let elsewhen = harness::process::elsewhen();
    let each = if is_full() { 1000 } else { 100 };
    for mode in ["exec", "kill", "thread"] {
        let storm = storm(&storm_program, mode, 4, each, &program);
        let mut words: Vec<OsString> =
            ["unshare", "-pf", "--kill-child", "--mount-proc", "sh", "-c"]
                .map(OsString::from)
                .to_vec();
        words.push("echo 400 > /proc/sys/kernel/pid_max && exec \"$@\"".into());
        words.push("sh".into());
        words.push(elsewhen.clone().into());
        let shift = format!("+{}", harness::SHIFT);
        words.extend(["run", "--realtime", &shift, "--"].map(OsString::from));
        words.extend(storm);
        let run = Run::on_host().limit(600).run(&words).succeeded();
        assert!(run.stdout.contains("wrong 0"), "{mode}: {run:#?}");
        assert!(run.stdout.contains("other 0"), "{mode}: {run:#?}");
    }
}

#[test]
fn a_starved_supervisor_is_late_and_never_wrong() {
    let storm_program = need!(guests::build("storm", Kind::Glibc));
    let program = need!(guests::build("now", Kind::Glibc));
    let each = if is_full() { 500 } else { 25 };
    let storm = storm(&storm_program, "exec", 4, each, &program);
    // One CPU for all, shared with spinners that outweigh the supervisor by far.
    let spin = "for i in 1 2 3; do (while :; do :; done) & done; nice -n 19 \"$@\"; s=$?; \
                kill $(jobs -p); exit $s";
    let mut words: Vec<OsString> = ["taskset", "-c", "0", "bash", "-c", spin, "bash"]
        .map(OsString::from)
        .to_vec();
    words.push(harness::process::elsewhen().into());
    let shift = format!("+{}", harness::SHIFT);
    words.extend(["run", "--realtime", &shift, "--"].map(OsString::from));
    words.extend(storm);
    let run = Run::on_host().limit(600).run(&words).succeeded();
    let right = format!("right {} wrong 0 killed 0 other 0", 4 * each);
    assert_eq!(run.stdout.trim(), right, "{run:#?}");
}
