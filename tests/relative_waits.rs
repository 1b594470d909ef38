//! Relative waits, and calls that take no time at all, ask nobody: they end as on the host while the
//! supervisor is stopped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::time::{Duration, Instant};

use harness::guests::{self, Kind};
use harness::process::{Finished, Run, Running};
use harness::supervisor::{keeper, wait_for, worker};
use harness::{need, sys};

/// Each clock that programs wait by.
const SHIFTED: [&str; 5] = [
    "--backend=guest",
    "--realtime=+400d",
    "--tai=+400d",
    "--monotonic=+40d",
    "--boottime=+41d",
];

/// The program, once it has used its call sites.
fn ready(mut run: Running) -> (Running, i32) {
    let pid = wait_for("program that is ready", || {
        let output = run.output();
        assert!(run.is_alive(), "{output}");
        let mut lines = output.split_inclusive('\n');
        let pid = lines.find_map(|line| line.strip_prefix("ready "))?;
        pid.strip_suffix('\n')?.parse().ok()
    });
    (run, pid)
}

/// Its end, and what it has said from there on.
fn rows(run: Running) -> Vec<String> {
    let Finished { stdout, .. } = run.finish().succeeded();
    stdout.lines().skip(1).map(str::to_owned).collect()
}

/// Whether a process is stopped, each thread of it.
fn is_stopped(pid: i32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.contains("State:\tT")
    })
}

/// Stops a process until it is dropped.
struct StoppedProcess(i32);

impl StoppedProcess {
    fn new(pid: i32) -> Self {
        sys::kill(pid, libc::SIGSTOP);
        let stopped = Self(pid);
        wait_for("stop", || is_stopped(pid).then_some(()));
        stopped
    }
}

impl Drop for StoppedProcess {
    fn drop(&mut self) {
        sys::kill(self.0, libc::SIGCONT);
    }
}

fn relative_waits_of(kind: Kind) {
    let program = need!(guests::build("relative", kind));
    let (host, pid) = ready(Run::on_host().limit(300).start(&[&program]));
    sys::kill(pid, libc::SIGUSR1);
    let mut host = rows(host);

    let (mut inside, pid) = ready(Run::inside(&SHIFTED).limit(300).start(&[&program]));
    // The keeper first, or it would replace the worker.
    let keeper = wait_for("keeper", || keeper(inside.pid()));
    let stopped = StoppedProcess::new(keeper);
    let worker = wait_for("worker", || worker(keeper));
    let stopped = [StoppedProcess::new(worker), stopped];
    sys::kill(pid, libc::SIGUSR1);
    let began = Instant::now();
    let is_over = |output: &str| {
        ["done\n", "BY NOBODY\n"]
            .iter()
            .any(|end| output.contains(end))
    };
    while !is_over(&inside.output()) && inside.is_alive() {
        let output = inside.output();
        assert!(began.elapsed() < Duration::from_secs(250), "{output}");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stopped);
    let mut inside = rows(inside);

    // What the supervisor is asked for shows that it does not answer.
    let absolute = "asking absolute";
    host.retain(|row| row != &format!("{absolute}: 0"));
    inside.retain(|row| row != &format!("{absolute}: -{}", libc::EINTR));
    assert!(host.len() > 200, "{host:#?}");
    assert!(
        !inside.iter().any(|row| row.starts_with(absolute)),
        "{inside:#?}"
    );
    assert!(!host.iter().any(|row| row.contains("HAS NOT")), "{host:#?}");
    assert_eq!(inside, host);
}

#[test]
fn relative_waits_of_a_stopped_supervisors_programs_end_as_on_the_host() {
    relative_waits_of(Kind::Glibc);
}

#[test]
fn relative_waits_on_musl_of_a_stopped_supervisors_programs_end_as_on_the_host() {
    relative_waits_of(Kind::Musl);
}
