//! Files under `/proc` in a container agree with its clocks, and so do the programs that read them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Reading, SECOND};
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::process::{Finished, elsewhen};
use harness::{Missing, need, root, tools};
use std::ffi::OsString;

const CLOCKS: [&str; 2] = ["--realtime=+400d", "--boottime=+200d"];

/// Seconds in 400 and in 200 days.
const REALTIME: i128 = 34_560_000;
const BOOTTIME: i128 = 17_280_000;

/// What a script prints in a container of this machine's system, by a user.
fn printed(agent: &Agent, script: &str, user: u32) -> Result<Finished, Missing> {
    let mut container = Container::of_host(agent, &CLOCKS, &[], &["sh", "-ec", script])?;
    container.bundle.config["process"]["user"] = serde_json::json!({ "uid": user, "gid": user });
    container.bundle.write();
    Ok(container.run().succeeded())
}

fn numbers(done: &Finished) -> Vec<i128> {
    let lines = done.stdout.lines();
    lines
        .map(|line| Reading::parse(line.trim()).unwrap().nanos / SECOND)
        .collect()
}

/// `/proc/uptime` is BOOTTIME; the time of boot, by each program that tells it, is `date`'s time less that.
fn expect_agreement(agent: &Agent, user: u32) -> Result<(), Missing> {
    for tool in ["uptime", "ps"] {
        tools::find(tool)?;
    }
    let script = "date +%s\n\
                  cut -d' ' -f1 /proc/uptime\n\
                  sed -n 's/^btime //p' /proc/stat\n\
                  date -d \"$(uptime -s)\" +%s\n\
                  date -d \"$(ps -o lstart= -p 1)\" +%s\n\
                  sh -c 'date -d \"$(ps -o lstart= -p $$)\" +%s'\n\
                  date +%s";
    let done = printed(agent, script, user)?;
    let [first, uptime, btime, booted, init, child, last] = numbers(&done)[..] else {
        panic!("{done:#?}");
    };
    let near = |one: i128, other: i128| (one - other).abs() <= 2 + last - first;
    let host = |clock, shift: i128| done.host(clock).shifted(shift * SECOND);
    let wanted = host("BOOTTIME", BOOTTIME);
    assert!(
        (wanted.before / SECOND - 1..=wanted.after / SECOND).contains(&uptime),
        "{done:#?}"
    );
    let wanted = host("REALTIME", REALTIME);
    let started = wanted.before / SECOND - 2..=wanted.after / SECOND + 1;
    assert!(started.contains(&first), "{done:#?}");
    assert!(near(btime, first - uptime), "{done:#?}");
    assert!(near(booted, btime), "{done:#?}");
    // Neither was started before the container, nor later than now.
    assert!(
        started.contains(&init) && started.contains(&child),
        "{done:#?}"
    );
    Ok(())
}

#[test]
fn uptime_and_ps_in_a_container_agree_with_its_date() {
    let agent = Agent::start(&[]);
    need!(expect_agreement(&agent, 0));
    need!(expect_agreement(&agent, 65534));
    assert_eq!(Agent::value(&agent.events("container")[0], "proc"), "on");
}

#[test]
fn busybox_in_a_container_tells_its_uptime() {
    let agent = Agent::start(&[]);
    for runtime in Runtime::ALL {
        let words = ["sh", "-c", "cut -d. -f1 /proc/uptime; uptime"];
        let bundle = need!(Bundle::new(&words, agent.profile(&CLOCKS)));
        let done = need!(Container::new(runtime, bundle)).run().succeeded();
        let (seconds, shown) = done.stdout.split_once('\n').unwrap();
        let days = seconds.parse::<i128>().unwrap() / 86_400;
        assert!(days >= 200, "{done:#?}");
        assert!(shown.contains(&format!("up {days} days")), "{done:#?}");
    }
}

#[test]
fn a_container_that_wants_no_views_has_the_hosts_files_and_its_own_date() {
    let agent = Agent::start(&[]);
    let script = "cut -d. -f1 /proc/uptime; date +%s";
    let mut container = need!(Container::of_host(
        &agent,
        &CLOCKS,
        &[],
        &["sh", "-c", script]
    ));
    container.bundle.config["annotations"] = serde_json::json!({ "org.elsewhen.proc": "off" });
    container.bundle.write();
    let done = container.run().succeeded();
    let [uptime, date] = numbers(&done)[..] else {
        panic!("{done:#?}");
    };
    let [boottime, realtime] = ["BOOTTIME", "REALTIME"].map(|clock| done.host(clock));
    assert!(uptime <= boottime.after / SECOND, "{done:#?}");
    assert!(date >= realtime.before / SECOND - 1 + REALTIME, "{done:#?}");
    assert_eq!(Agent::value(&agent.events("container")[0], "proc"), "off");
}

#[test]
fn an_agent_that_may_not_act_for_other_users_says_so_and_shows_them_the_hosts_files() {
    need!(root());
    let words = ["setpriv", "--bounding-set=-setuid,-setgid"];
    let mut program: Vec<OsString> = words.map(OsString::from).to_vec();
    program.push(elsewhen().into());
    let agent = Agent::start_by(program, &[], libc::SIGTERM);
    agent.wait_for("views", 1);
    let said = agent.events("views");
    assert!(
        said[0].contains("CAP_SETUID and CAP_SETGID are missing"),
        "{said:#?}"
    );
    need!(expect_agreement(&agent, 0));
    let done = need!(printed(&agent, "cut -d. -f1 /proc/uptime; date +%s", 65534));
    let [uptime, date] = numbers(&done)[..] else {
        panic!("{done:#?}");
    };
    assert!(uptime <= done.host("BOOTTIME").after / SECOND, "{done:#?}");
    assert!(
        date >= done.host("REALTIME").before / SECOND - 1 + REALTIME,
        "{done:#?}"
    );
}
