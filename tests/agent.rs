//! Containers of the real runtimes have the clocks that the agent gives them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::process::Finished;
use harness::{Missing, need, supervisor, sys};

/// Seconds in 400 days.
const AHEAD: i128 = 34_560_000;

/// Where the time of day is to be in seconds, or later, for a shift of so many.
fn target(ahead: i128) -> String {
    (sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + ahead).to_string()
}

/// Reads the clock by a program's ordinary means, and waits by it, and executes itself.
fn check(ahead: i128, rounds: &str) -> [String; 5] {
    ["/bin/guest", "-", "check", &target(ahead), rounds].map(str::to_owned)
}

fn container(agent: &Agent, runtime: Runtime, program: &[&str]) -> Result<Container, Missing> {
    let profile = agent.profile(&["--realtime", "+400d"]);
    Container::new(runtime, Bundle::new(program, profile)?)
}

fn expect_date(done: &Finished, ahead: i128) {
    assert_eq!(done.code, 0, "{done:#?}");
    let host = done.before.until(done.after, "REALTIME");
    let wanted = host.shifted(ahead * SECOND);
    wanted.check_lines(&done.stdout).unwrap();
}

fn each(test: impl Fn(Runtime) -> Result<(), Missing>) -> Result<(), Missing> {
    Runtime::ALL.into_iter().try_for_each(test)
}

#[test]
fn a_container_has_the_date_and_the_waits_of_its_profile() {
    let before = Host::now();
    need!(each(|runtime| {
        let agent = Agent::start(&[]);
        expect_date(&container(&agent, runtime, &["date", "+%s"])?.run(), AHEAD);
        let words = check(AHEAD, "5");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = container(&agent, runtime, &words)?.run();
        assert_eq!(done.succeeded().stdout, "");
        agent.wait_for("ended", 2);
        assert_eq!(agent.events("container").len(), 2, "{}", agent.log());
        Ok(())
    }));
    assert!(before.moved().abs() < SECOND);
}

#[test]
fn what_joins_a_container_later_has_its_clocks_to_the_nanosecond() {
    need!(each(|runtime| {
        let agent = Agent::start(&[]);
        let container = container(&agent, runtime, &["sleep", "1000"])?;
        let running = container.start();
        container.wait_until_it_runs();
        expect_date(&container.exec(&["date", "+%s"]), AHEAD);
        let words = check(AHEAD, "3");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        container.exec(&words).succeeded();
        let made = agent.events("container");
        for joined in agent.events("joined") {
            for key in ["namespace", "realtime"] {
                assert_eq!(Agent::value(&joined, key), Agent::value(&made[0], key));
            }
        }
        assert_eq!(agent.events("joined").len(), 2);
        container.delete();
        drop(running);
        Ok(())
    }));
}

#[test]
fn a_container_that_is_started_again_begins_anew() {
    need!(each(|runtime| {
        let agent = Agent::start(&[]);
        let container = container(&agent, runtime, &["date", "+%s"])?;
        for _ in 0..2 {
            expect_date(&container.run(), AHEAD);
        }
        let made = agent.events("container");
        let namespaces: Vec<&str> = made.iter().map(|m| Agent::value(m, "namespace")).collect();
        assert_eq!(namespaces.len(), 2);
        assert_ne!(namespaces[0], namespaces[1]);
        Ok(())
    }));
}
