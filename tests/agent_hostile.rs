//! What a container does to its supervisor harms itself at most: the others, the agent and the host go on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::guests::{self, Kind};
use harness::process::Finished;
use harness::{Missing, need, supervisor, sys};
use std::path::Path;

/// Seconds in 400 days.
const AHEAD: i128 = 34_560_000;

/// How many processes and threads the hostile container may have.
const PIDS: i32 = 120;

/// A container of busybox's with these clocks, and a static guest of this name in it.
fn container(
    agent: &Agent,
    clocks: &[&str],
    guest: &str,
    words: &[&str],
) -> Result<Container, Missing> {
    let words = [&["/bin/it"], words].concat();
    let mut bundle = Bundle::new(&words, agent.profile(clocks))?;
    let built = guests::build(guest, Kind::GlibcStatic)?;
    let to = bundle.path().join("rootfs/bin/it");
    harness::process::alone(|| std::fs::copy(built, to).unwrap());
    bundle.config["linux"]["resources"] = serde_json::json!({ "pids": { "limit": PIDS } });
    bundle.write();
    Container::new(Runtime::Runc, bundle)
}

/// Descriptors that the agent has open.
fn descriptors(agent: &Agent) -> usize {
    let list = std::fs::read_dir(format!("/proc/{}/fd", agent.pid()));
    list.unwrap().count()
}

/// The agent has what it had before there were containers.
fn expect_nothing_left(agent: &Agent, before: usize) {
    agent.wait_for(
        "ended",
        agent.events("container").len() + agent.events("joined").len(),
    );
    assert_eq!(agent.events("keeper-failed"), Vec::<String>::new());
    sys::wait_until(
        || supervisor::child(agent.pid()).is_none(),
        "no keeper is left",
    );
    sys::wait_until(|| descriptors(agent) <= before, "no descriptor is left");
    assert_eq!(agent.events("stopped").len(), 0);
}

fn expect_date(done: &Finished) {
    let host = done
        .before
        .until(done.after, "REALTIME")
        .shifted(AHEAD * SECOND);
    assert_eq!(done.code, 0, "{done:#?}");
    host.check_lines(&done.stdout).unwrap();
}

/// A container goes its way, and others are right, and begin, and are joined, all the while.
fn expect_harmless(modes: &[&str]) {
    let before = Host::now();
    let agent = Agent::start(&[]);
    let had = descriptors(&agent);
    let words = [&["4"], modes].concat();
    let shifts = ["--realtime=+800d", "--monotonic=+300d", "--boottime=+200d"];
    let hostile = need!(container(&agent, &shifts, "hostile", &words));
    let year = ["--realtime=+400d"];
    let neighbour = need!(container(
        &agent,
        &year,
        "adopted",
        &["-", "sleep", "600000"]
    ));
    let neighbour_runs = neighbour.start();
    neighbour.wait_until_it_runs();
    let mut running = hostile.start();
    agent.wait_for("container", 2);
    let mut rounds = 0;
    while running.is_alive() || rounds == 0 {
        expect_date(&neighbour.exec(&["date", "+%s"]));
        let soon = sys::clock_gettime(libc::CLOCK_REALTIME) / SECOND + AHEAD;
        let words = ["-", "check", &soon.to_string(), "5"];
        let done = need!(container(&agent, &year, "adopted", &words)).run();
        assert_eq!(done.succeeded().stdout, "");
        rounds += 1;
    }
    running.finish().succeeded();
    neighbour.delete();
    drop(neighbour_runs);
    expect_nothing_left(&agent, had);
    assert!(before.moved().abs() < SECOND, "the host's clock was moved");
}

#[test]
fn a_flood_of_calls_and_forged_cookies_leave_others_alone() {
    expect_harmless(&["flood", "forge"]);
}

#[test]
fn processes_that_trace_and_kill_each_other_leave_others_alone() {
    expect_harmless(&["quarrel"]);
}

#[test]
fn memory_that_goes_beneath_calls_leaves_others_alone() {
    expect_harmless(&["unmap"]);
}

#[test]
fn a_bomb_of_processes_leaves_others_alone() {
    expect_harmless(&["bomb"]);
}

/// The processes that serve a container: its keeper and worker.
fn servers(agent: &Agent, made: usize) -> [i32; 2] {
    agent.wait_for("container", made + 1);
    let line = &agent.events("container")[made];
    let keeper = Agent::value(line, "keeper").parse().unwrap();
    [
        keeper,
        supervisor::wait_for("worker", || supervisor::worker(keeper)),
    ]
}

#[test]
fn a_container_that_sees_the_hosts_processes_reaches_neither_agent_nor_others() {
    let agent = Agent::start(&[]);
    // It may do what the other one may not, so that Linux keeps the two apart.
    let mut other = need!(container(
        &agent,
        &["--realtime=+1"],
        "adopted",
        &["-", "sleep", "600000"]
    ));
    for set in ["bounding", "effective", "permitted"] {
        let held = &mut other.bundle.config["process"]["capabilities"][set];
        held.as_array_mut().unwrap().push("CAP_SYS_TIME".into());
    }
    other.bundle.write();
    let running = other.start();
    other.wait_until_it_runs();
    let mut pids = servers(&agent, 0).to_vec();
    pids.extend([agent.pid(), other.init().unwrap()]);
    let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
    let socket = agent.socket();
    let mut words = vec!["reach", socket.to_str().unwrap()];
    words.extend(pids.iter().map(String::as_str));
    let mut hostile = need!(container(&agent, &["--realtime=+400d"], "hostile", &words));
    let namespaces = &mut hostile.bundle.config["linux"]["namespaces"];
    namespaces
        .as_array_mut()
        .unwrap()
        .retain(|one| one["type"] != "pid");
    hostile.bundle.write();
    let done = hostile.run().succeeded();
    assert_eq!(done.stdout, format!("tried {}\n", pids.len()), "{done:#?}");
    assert!(Path::new(&socket).exists());
    other.delete();
    drop(running);
}
