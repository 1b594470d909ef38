//! Programs that people use keep a container's time: those of this machine, which the container has
//! as its read-only root.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::SECOND;
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::guests::{self, Kind};
use harness::process::Run;
use harness::timeouts::{WAIT, results};
use harness::{Missing, need, tools};
use std::path::Path;

const OFFSETS: [&str; 6] = [
    "--realtime",
    "+400d",
    "--monotonic",
    "+300d",
    "--boottime",
    "+200d",
];

/// Seconds in 400 days.
const AHEAD: i128 = 34_560_000;

fn container(agent: &Agent, words: &[&str]) -> Result<Container, Missing> {
    // An interpreter may lie elsewhere than the system, with its library.
    let elsewhere = Path::new(words[0]).ancestors().nth(2);
    let elsewhere = elsewhere
        .and_then(Path::to_str)
        .filter(|path| path.len() > 1);
    let also = elsewhere.unwrap_or("/usr");
    let bundle = Bundle::of_host(words, also, agent.profile(&OFFSETS))?;
    Container::new(Runtime::Runc, bundle)
}

/// Runs a guest on the host and in a container: its waits end as on the host, and in time.
fn expect_same_waits(words: &[&Path]) -> Result<(), Missing> {
    let mut words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
    let wait = WAIT.to_string();
    words.push(&wait);
    let agent = Agent::start(&[]);
    let container = container(&agent, &words)?;
    let directory = guests::public_directory();
    let host = Run::on_host().in_dir(directory.path()).run(&words);
    let expected = results(&host).unwrap_or_else(|why| panic!("on the host: {why}\n{host:#?}"));
    let inside = container.run();
    match results(&inside) {
        Err(why) => panic!("{why}\n{inside:#?}"),
        Ok(results) => assert_eq!(results, expected, "{inside:#?}"),
    }
    Ok(())
}

fn guest_wakes_in_time(kind: Kind) -> Result<(), Missing> {
    expect_same_waits(&[&guests::build("timeouts", kind)?])
}

#[test]
fn c_in_a_container_wakes_in_time() {
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        need!(guest_wakes_in_time(kind));
    }
}

#[test]
fn go_in_a_container_wakes_in_time() {
    need!(guest_wakes_in_time(Kind::Go));
}

#[test]
fn python_in_a_container_wakes_in_time() {
    let python = need!(tools::python());
    need!(expect_same_waits(&[
        &python,
        &guests::script("timeouts.py")
    ]));
}

#[test]
fn java_in_a_container_wakes_in_time() {
    let java = need!(tools::find("java"));
    let classes = need!(guests::build("Timeouts", Kind::Java));
    let words = [&java, Path::new("-cp"), &classes, Path::new("Timeouts")];
    need!(expect_same_waits(&words));
}

/// What a shell's script prints in a container of this user's: a time.
fn expect_time(script: &str, user: u32) -> Result<(), Missing> {
    let agent = Agent::start(&[]);
    let mut container = container(&agent, &["sh", "-ec", script])?;
    container.bundle.config["process"]["user"] = serde_json::json!({ "uid": user, "gid": user });
    container.bundle.write();
    let done = container.run().succeeded();
    let host = done.before.until(done.after, "REALTIME");
    let host = host.shifted(AHEAD * SECOND);
    host.check_lines(&done.stdout).unwrap();
    Ok(())
}

#[test]
fn redis_in_a_container_tells_its_time() {
    need!(tools::find("redis-server"));
    let script = "redis-server --unixsocket /tmp/s --port 0 --save '' --daemonize yes >/dev/null\n\
                  for i in $(seq 200); do redis-cli -s /tmp/s ping >/dev/null 2>&1 && break; sleep 0.05; done\n\
                  redis-cli -s /tmp/s time | head -1\n\
                  redis-cli -s /tmp/s set a b px 100 >/dev/null\n\
                  for i in $(seq 200); do [ \"$(redis-cli -s /tmp/s exists a)\" = 0 ] && break; sleep 0.05; done\n\
                  [ \"$(redis-cli -s /tmp/s exists a)\" = 0 ]\n\
                  redis-cli -s /tmp/s shutdown";
    need!(expect_time(script, 65534));
}

#[test]
fn postgresql_in_a_container_tells_its_time() {
    let programs = need!(tools::postgres("initdb"));
    let programs = programs.parent().unwrap().to_str().unwrap();
    let script = format!(
        "PATH={programs}:$PATH\n\
         initdb -D /tmp/data -A trust -U me >/dev/null\n\
         pg_ctl -D /tmp/data -o \"-k /tmp -c listen_addresses=''\" -w -l /tmp/log start >/dev/null\n\
         psql -h /tmp -U me -tAc 'select extract(epoch from clock_timestamp())' postgres\n\
         psql -h /tmp -U me -tAc 'select pg_sleep(0.2)' postgres >/dev/null\n\
         pg_ctl -D /tmp/data -m fast -w stop >/dev/null"
    );
    need!(expect_time(&script, 65534));
}
