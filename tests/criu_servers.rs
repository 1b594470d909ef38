//! Servers that CRIU dumps and restores, with their clocks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::criu::{Criu, LATER};
use harness::need;
use harness::process::Run;
use harness::restored::{PAUSE, Restored, SHIFTED, pause};
use harness::servers::{Postgres, Redis, as_postgres};
use harness::sys::wait_until;
use harness::tools;
use std::ffi::OsString;

/// The host's REALTIME.
fn now() -> i128 {
    let now = Host::now();
    now.until(now, "REALTIME").before
}

#[test]
fn what_redis_has_been_told_to_forget_is_forgotten_in_due_time() {
    let criu = need!(Criu::find());
    criu.act_with(&["--policy realtime=continue"]);
    let run = Run::inside(&SHIFTED).through(&["setsid", "--wait"]);
    let redis = need!(Redis::start(&run));
    let number = |question: &[&str]| -> i128 { redis.ask(question).parse().unwrap() };
    let info = |name: &str| -> i128 {
        let all = redis.ask(&["info", "server"]);
        let value = all
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap().trim().parse().unwrap()
    };
    let pid = i32::try_from(info("process_id")).unwrap();
    let _server = Restored::new(pid);
    // It has threads, of which each is given its clocks.
    let threads = || {
        std::fs::read_dir(format!("/proc/{pid}/task"))
            .unwrap()
            .count()
    };
    let had = threads();
    assert!(had > 1, "{had}");
    redis.ask(&["set", "later", "1", "px", "1000000"]);
    let begun = now();
    let left = number(&["pttl", "later"]);
    let uptime = info("uptime_in_seconds");
    for round in 1..=2 {
        redis.ask(&["set", "soon", "1", "px", "2000"]);
        criu.dump(pid);
        pause();
        criu.restore_by(&LATER);
        assert_eq!(threads(), had);
        // The pauses do not count.
        let counted = [
            (left - number(&["pttl", "later"])) / 1000,
            info("uptime_in_seconds") - uptime,
        ];
        let most = (now() - begun - round * PAUSE) / SECOND + 1;
        for counted in counted {
            assert!((0..=most).contains(&counted), "{counted} of {most}");
        }
        // Its own timer looks for what is due: nobody asks for the key.
        wait_until(|| number(&["dbsize"]) == 1, "`soon` is forgotten");
    }
}

#[test]
fn the_processes_of_postgresql_go_on_together() {
    let criu = need!(Criu::find());
    need!(tools::find("bash"));
    criu.act_with(&["--policy realtime=continue"]);
    let before = criu.with_notes();
    let postgres = need!(Postgres::start(|dir, command| {
        // CRIU dumps System V's shared memory with its namespace only.
        let own = ["unshare", "--ipc"].map(OsString::from);
        let run = Run::inside(&SHIFTED).in_dir(dir).through(&before);
        // A process that waits to be asked by its terminal would not be dumped.
        let session = ["setsid", "--wait"].map(OsString::from);
        run.start(&[&own[..], &as_postgres(&[&session[..], command].concat())].concat())
    }));
    let pid = postgres.pid();
    let _server = Restored::new(pid);
    // Those that stay.
    let processes = || -> Vec<i32> {
        let pids = postgres.ask(
            "select pid from pg_stat_activity where backend_type in ('checkpointer', 'background writer', \
             'walwriter', 'autovacuum launcher', 'logical replication launcher') order by pid",
        );
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    };
    let children = || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap();
        let pids = children.split_ascii_whitespace();
        pids.map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
    };
    let number = |statement: &str| -> i128 {
        let answer = postgres.ask(statement);
        harness::clock::Reading::parse(&answer).unwrap().nanos
    };
    let up = "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())";
    let begun = now();
    let was_up = number(up);
    wait_until(|| processes().len() == 5, "its processes");
    let had = processes();
    // CRIU refuses the connection of a session that is about to end.
    wait_until(|| children().len() == had.len(), "the ends of sessions");
    criu.dump_as(pid, 65534);
    pause();
    criu.restore_by(&LATER);
    // The pause does not count.
    let counted = number(up) - was_up;
    let passed = now() - begun - PAUSE;
    assert!((0..=passed).contains(&counted), "{counted} of {passed}");
    // A timer of the server's own, and one that a session waits for.
    let slow = postgres.session("set statement_timeout = 300; select pg_sleep(100);");
    assert!(slow.stderr.contains("57014"), "{slow:#?}");
    assert_eq!(postgres.ask("select pg_sleep(0.2), 7"), "|7");
    assert_eq!(processes(), had);
    let children = children();
    assert!(
        had.iter().all(|one| children.contains(one)),
        "{had:?} {children:?}"
    );
}
