//! Containers of the real runtimes have the clocks that the agent gives them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::process::{Finished, Run};
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
        agent.wait_for("joined", 2);
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
        agent.wait_for("container", 2);
        let made = agent.events("container");
        let namespaces: Vec<&str> = made.iter().map(|m| Agent::value(m, "namespace")).collect();
        assert_eq!(namespaces.len(), 2);
        assert_ne!(namespaces[0], namespaces[1]);
        Ok(())
    }));
}

/// What a container's first program reads, with this annotation and this variable, and a profile
/// that says `+400d`.
fn dated(
    agent: &Agent,
    annotation: Option<&str>,
    variable: Option<&str>,
) -> Result<Finished, Missing> {
    let mut container = container(agent, Runtime::Runc, &["date", "+%s"])?;
    let config = &mut container.bundle.config;
    if let Some(words) = annotation {
        config["annotations"] = serde_json::json!({ "org.elsewhen.realtime": words });
    }
    if let Some(words) = variable {
        let line = format!("ELSEWHEN_REALTIME={words}");
        config["process"]["env"]
            .as_array_mut()
            .unwrap()
            .push(line.into());
    }
    container.bundle.write();
    Ok(container.run())
}

#[test]
fn an_annotation_comes_before_a_variable_and_that_before_the_profile() {
    let agent = Agent::start(&[]);
    let day = 86_400;
    expect_date(&need!(dated(&agent, None, Some("+2d"))), 2 * day);
    expect_date(&need!(dated(&agent, Some("+3d"), Some("+2d"))), 3 * day);
}

#[test]
fn a_container_whose_words_are_not_understood_does_not_run_at_the_hosts_time() {
    let agent = Agent::start(&[]);
    let done = need!(dated(&agent, Some("soon"), None));
    assert_ne!(done.code, 0);
    assert_eq!(done.stdout, "");
    agent.wait_for("refused", 1);
    let refused = agent.events("refused");
    assert!(refused[0].contains("`realtime: soon`"), "{refused:?}");
}

#[test]
fn containers_at_different_dates_run_beside_each_other() {
    let before = Host::now();
    let agent = Agent::start(&[]);
    let start = |ahead: i128| {
        let words = check(ahead, "40");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let shift = format!("+{ahead}");
        let profile = agent.profile(&["--realtime", &shift]);
        Container::new(Runtime::Runc, Bundle::new(&words, profile)?)
    };
    let containers: Result<Vec<Container>, Missing> =
        (1..=4).map(|year| start(year * 31_536_000)).collect();
    let containers = need!(containers);
    let running: Vec<_> = containers.iter().map(Container::start).collect();
    for running in running {
        assert_eq!(running.finish().succeeded().stdout, "");
        assert!(before.moved().abs() < SECOND);
    }
}

#[test]
fn a_container_without_any_privilege_has_its_clocks() {
    need!(each(|runtime| {
        let agent = Agent::start(&[]);
        let words = check(AHEAD, "5");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let profile = agent.profile(&["--realtime", "+400d"]);
        // Nothing in it but one static program.
        let mut container = Container::new(runtime, Bundle::empty(&words, profile)?)?;
        let config = &mut container.bundle.config;
        config["process"]["noNewPrivileges"] = true.into();
        config["process"]["capabilities"] = serde_json::json!({});
        config["root"]["readonly"] = true.into();
        let linux = &mut config["linux"];
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.push(serde_json::json!({ "type": "network" }));
        namespaces.push(serde_json::json!({ "type": "user" }));
        let ids = serde_json::json!([{ "containerID": 0, "hostID": 200_000, "size": 65_536 }]);
        linux["uidMappings"] = ids.clone();
        linux["gidMappings"] = ids;
        container.bundle.write();
        assert_eq!(container.run().succeeded().stdout, "");
        Ok(())
    }));
}

/// The keeper of the first container that the agent has made.
fn keeper(agent: &Agent) -> i32 {
    agent.wait_for("container", 1);
    Agent::value(&agent.events("container")[0], "keeper")
        .parse()
        .unwrap()
}

#[test]
fn a_killed_worker_is_replaced_under_a_container_without_a_failed_call() {
    need!(each(|runtime| {
        let agent = Agent::start(&[]);
        let words = check(AHEAD, "100");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let container = container(&agent, runtime, &words)?;
        let mut running = container.start();
        let keeper = keeper(&agent);
        let mut killed = 0;
        while running.is_alive() {
            if let Some(worker) = supervisor::worker(keeper) {
                sys::kill(worker, libc::SIGKILL);
                killed += 1;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(killed > 10, "{killed} workers were killed");
        assert_eq!(running.finish().succeeded().stdout, "");
        Ok(())
    }));
}

#[test]
fn an_agent_that_is_killed_and_started_again_knows_its_containers() {
    need!(each(|runtime| {
        let mut agent = Agent::start(&[]);
        let container = container(&agent, runtime, &["sleep", "1000"])?;
        let running = container.start();
        container.wait_until_it_runs();
        expect_date(&container.exec(&["date", "+%s"]), AHEAD);
        agent.wait_for("joined", 1);
        agent.end(libc::SIGKILL);
        let refused = container.exec(&["date", "+%s"]);
        assert_ne!(refused.code, 0, "{refused:#?}");
        assert!(refused.stderr.contains("socket"), "{refused:#?}");
        agent.start_again();
        expect_date(&container.exec(&["date", "+%s"]), AHEAD);
        agent.wait_for("joined", 2);
        let made = agent.events("container");
        let joined = agent.events("joined");
        let namespace = |line: &String| Agent::value(line, "namespace").to_owned();
        assert_eq!(namespace(joined.last().unwrap()), namespace(&made[0]));
        container.delete();
        drop(running);
        Ok(())
    }));
}

#[test]
fn without_an_agent_the_runtime_says_so_and_starts_nothing() {
    need!(each(|runtime| {
        let mut agent = Agent::start(&[]);
        let container = container(&agent, runtime, &["date", "+%s"])?;
        agent.end(libc::SIGTERM);
        let done = container.run();
        assert_ne!(done.code, 0);
        assert_eq!(done.stdout, "");
        assert!(done.stderr.contains("socket"), "{done:#?}");
        Ok(())
    }));
}

#[test]
fn a_container_can_be_asked_whether_it_has_clocks_of_its_own() {
    let agent = Agent::start(&[]);
    let container = need!(container(&agent, Runtime::Runc, &["sleep", "1000"]));
    let running = container.start();
    container.wait_until_it_runs();
    agent.wait_for("container", 1);
    let init = container.init().unwrap().to_string();
    let is_covered = |handle: &str| agent.elsewhen(&["check", handle]).code == 0;
    sys::wait_until(|| is_covered(&container.id), "the container is covered");
    for handle in [&container.id, &init] {
        let said = agent.elsewhen(&["check", handle]).succeeded().stdout;
        assert!(
            said.starts_with(&format!("container {}", container.id)),
            "{said}"
        );
        assert!(said.contains("realtime +34560000,"), "{said}");
    }
    // Entered from outside, without the filter.
    let entered = Run::on_host().start(&["nsenter", "-t", &init, "-p", "-m", "sleep", "1000"]);
    let child = supervisor::wait_for("child", || supervisor::child(entered.pid()));
    let said = agent.elsewhen(&["check", &child.to_string()]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.stdout.contains("from outside"), "{said:#?}");
    // The container has its clocks all the same.
    let said = agent.elsewhen(&["check", &container.id]).succeeded().stdout;
    let line = format!("host's clocks: process {child}\n");
    assert!(said.ends_with(&line), "{said}");
    drop(entered);
    let without = || {
        agent
            .elsewhen(&["check", &container.id])
            .stdout
            .lines()
            .count()
            == 1
    };
    sys::wait_until(without, "who entered is gone");
    let own = std::process::id().to_string();
    let said = agent.elsewhen(&["check", &own]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("the host's clocks"), "{said:#?}");
    let said = agent.elsewhen(&["check", "no-such-container"]);
    assert_eq!(said.code, 125);
    container.delete();
    drop(running);
}

#[test]
fn a_container_is_listed_and_joined_by_its_name() {
    let agent = Agent::start(&[]);
    let mut container = need!(container(&agent, Runtime::Runc, &["sleep", "1000"]));
    container.bundle.config["annotations"] = serde_json::json!({ "org.elsewhen.name": "web" });
    container.bundle.write();
    let running = container.start();
    container.wait_until_it_runs();
    let is_there = || agent.elsewhen(&["show", "web"]).code == 0;
    sys::wait_until(is_there, "the namespace has its name");
    let shown = agent.elsewhen(&["show", "web"]).succeeded().stdout;
    assert!(
        shown.contains(&container.init().unwrap().to_string()),
        "{shown}"
    );
    expect_date(&agent.elsewhen(&["exec", "web", "date", "+%s"]), AHEAD);
    container.delete();
    drop(running);
}

#[test]
fn a_containers_clocks_are_saved_by_its_id_and_go_on() {
    let agent = Agent::start(&[]);
    let container = need!(container(&agent, Runtime::Runc, &["sleep", "1000"]));
    let running = container.start();
    container.wait_until_it_runs();
    let id = container.id.clone();
    let is_covered = || agent.elsewhen(&["check", &id]).code == 0;
    sys::wait_until(is_covered, "the container has its clocks");
    let before = Host::now();
    let saved = agent.elsewhen(&["save", "--container", &id]).succeeded();
    let file = agent.directory().join("clocks.json");
    std::fs::write(&file, saved.stdout).unwrap();
    let file = file.to_str().unwrap();
    let resume = ["run", "--resume", file, "--policy", "realtime=continue"];
    let on = [&resume[..], &["date", "+%s"]].concat();
    let date = agent.elsewhen(&on).succeeded();
    // What lies between the two does not count, and may be longer than the start is.
    let wanted = before.until(date.after, "REALTIME").shifted(AHEAD * SECOND);
    wanted.check_lines(&date.stdout).unwrap();
    let none = agent.elsewhen(&["save", "--container", "no-such-container"]);
    assert_eq!(
        (none.code, none.stderr.lines().count()),
        (125, 1),
        "{none:#?}"
    );
    let both = agent.elsewhen(&["save", "web", "--container", &id]);
    assert_eq!(
        (both.code, both.stderr.lines().count()),
        (125, 1),
        "{both:#?}"
    );
    container.delete();
    drop(running);
}

#[test]
fn a_hundred_containers_start_at_once() {
    let agent = Agent::start(&[]);
    let containers: Result<Vec<Container>, Missing> = (0..100)
        .map(|_| container(&agent, Runtime::Runc, &["date", "+%s"]))
        .collect();
    let containers = need!(containers);
    let running: Vec<_> = containers.iter().map(Container::start).collect();
    for running in running {
        expect_date(&running.finish(), AHEAD);
    }
    agent.wait_for("ended", 100);
    assert_eq!(agent.events("container").len(), 100);
    assert_eq!(agent.events("refused"), Vec::<String>::new());
}
