//! Signals that a process group is sent, and signals that the front alone is sent: told apart by whoever
//! sent them, however late elsewhen comes to look.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::cgroup::Cgroup;
use harness::guests::{self, Kind};
use harness::process::{Run, Running, elsewhen};
use harness::random_programs::Random;
use harness::{need, sys, tools};
use std::time::Duration;

/// In a namespace, and in a namespace's namespace: how many fronts there are, one behind the other.
fn worlds() -> [(Run, usize); 2] {
    let elsewhen = elsewhen().display().to_string();
    let options = ["--realtime", "+1000000"];
    let nested = [&options[..], &["--", &elsewhen, "run"], &options[..]].concat();
    [(Run::inside(&options), 1), (Run::inside(&nested), 2)]
}

/// A program that says what it is sent, and what it has said.
struct Told {
    running: Running,
    expected: String,
}

impl Told {
    fn start(run: &Run, counter: &str) -> Self {
        let signals = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGTSTP, libc::SIGCONT];
        let signals = signals.map(|signal| signal.to_string());
        let words = [&[counter.to_owned(), "lines".to_owned()], &signals[..]].concat();
        let running = run.start(&words);
        sys::wait_until(|| running.output().contains("ready"), "ready");
        let expected = "ready\n".to_owned();
        Self { running, expected }
    }

    /// Has a process that is gone afterwards send the group a signal.
    fn send_to_group(&mut self, signal: i32) {
        self.send(&format!("kill -{signal} -{}", self.running.pid()), signal);
    }

    fn send_to_front(&mut self, signal: i32) {
        self.send(&format!("kill -{signal} {}", self.running.pid()), signal);
    }

    fn send(&mut self, script: &str, signal: i32) {
        Run::on_host().run(&["sh", "-c", script]).succeeded();
        self.expected.push_str(&format!("{signal}\n"));
        sys::wait_until(
            || self.running.output().contains(&self.expected),
            &self.expected,
        );
    }

    /// The processes of this name in the program's group.
    fn named(&self, name: &str) -> Vec<i32> {
        let group = self.running.pid().to_string();
        let words = ["pgrep", "-g", &group, "-x", name];
        let found = Run::on_host().run(&words).stdout;
        found.lines().map(|pid| pid.parse().unwrap()).collect()
    }

    fn finish(self) {
        // Passed on by the fronts after all else: what came twice would come before it.
        sys::kill(self.running.pid(), libc::SIGALRM);
        let ended = self.running.finish();
        assert_eq!(ended.stdout, self.expected + "end\n");
    }
}

#[test]
fn a_groups_signals_arrive_once_though_the_witness_comes_late() {
    let counter = need!(guests::build("counter", Kind::Glibc));
    need!(tools::find("pgrep"));
    for (run, fronts) in worlds() {
        let mut told = Told::start(&run, &counter.display().to_string());
        let mut witnesses = Vec::new();
        sys::wait_until(
            || {
                witnesses = told.named("group-witness");
                witnesses.len() == fronts
            },
            "all witnesses have their names",
        );
        // As on a busy machine; a front learns of a stopped witness, and not of this.
        let cgroup = need!(Cgroup::create("late-witness"));
        for pid in witnesses {
            assert!(cgroup.take(&pid.to_string()));
        }
        for _ in 0..2 {
            cgroup.freeze();
            // Each by another process, and all before the witness has looked at the first one.
            for _ in 0..4 {
                told.send_to_group(libc::SIGUSR1);
            }
            cgroup.thaw();
            // The fronts have looked at all that came before.
            told.send_to_front(libc::SIGUSR2);
        }
        told.finish();
    }
}

#[test]
fn a_stopped_group_goes_on_when_the_front_alone_is_told_to() {
    for (run, _) in worlds() {
        let running = run.start(&["sh", "-c", "echo pid $$; exec sleep 1000"]);
        sys::wait_until(|| running.output().contains("pid "), "its pid");
        let text = running.output();
        let pid = text.split("pid ").nth(1).unwrap().lines().next().unwrap();
        let state = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            let stat = stat.unwrap_or_else(|e| panic!("{pid:?} of {text:?}: {e}"));
            stat.rsplit(") ").next().unwrap().chars().next()
        };
        for _ in 0..3 {
            sys::kill(-running.pid(), libc::SIGSTOP);
            for pid in [pid, &running.pid().to_string()] {
                sys::wait_until(|| state(pid) == Some('T'), "all are stopped");
            }
            sys::kill(running.pid(), libc::SIGCONT);
            sys::wait_until(|| state(pid) == Some('S'), "the command goes on");
        }
        running.signal(libc::SIGTERM);
        assert_eq!(running.finish().code, 128 + libc::SIGTERM);
    }
}

#[test]
fn a_signal_that_comes_while_the_command_is_started_is_not_lost() {
    let mut random = Random::new(7);
    for (run, _) in worlds() {
        for round in 0..30 {
            let running = run.start(&["sleep", "1000"]);
            std::thread::sleep(Duration::from_micros(random.next() % 20_000));
            let to = [-running.pid(), running.pid()][round % 2];
            sys::kill(to, libc::SIGTERM);
            assert_eq!(running.finish().code, 128 + libc::SIGTERM);
        }
    }
}
