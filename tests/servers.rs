//! Servers that keep time: started inside, asked from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, Reading, SECOND};
use harness::need;
use harness::process::{Finished, Run, Running};
use harness::servers::{Postgres, Redis, as_postgres};
use harness::timeouts::{self, LONGEST, WAIT};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

/// Checks a reading that a server gave since `before`.
fn expect_shifted(before: Host, text: &str) {
    let expected = before
        .until(Host::now(), "REALTIME")
        .shifted(harness::SHIFT * SECOND);
    let reading = Reading::parse(text.trim()).unwrap_or_else(|| panic!("no reading: {text}"));
    assert!(
        expected.contains(reading),
        "{reading:?} not in {expected:?}"
    );
}

#[test]
fn redis_tells_and_keeps_the_shifted_time() {
    let redis = need!(Redis::start(&Run::shifted()));

    for _ in 0..20 {
        let before = Host::now();
        let answer = redis.ask(&["time"]);
        let (sec, micros) = answer.split_once('\n').unwrap();
        expect_shifted(before, &format!("{sec}.{:0>6}", micros.trim()));
    }

    let now = Host::now();
    let now = now.until(now, "REALTIME").before / SECOND;
    let inside = now + harness::SHIFT;
    // Its future is the future, and what is the host's future is its past.
    for (key, at, there) in [("later", inside + 500, "1"), ("past", now + 500, "0")] {
        assert_eq!(redis.ask(&["set", key, "1"]), "OK");
        assert_eq!(redis.ask(&["expireat", key, &at.to_string()]), "1");
        assert_eq!(redis.ask(&["exists", key]), there, "{key}");
    }
    let left: i128 = redis.ask(&["ttl", "later"]).parse().unwrap();
    assert!((300..=501).contains(&left), "{left}");

    assert_eq!(redis.ask(&["set", "soon", "1", "px", "100"]), "OK");
    let start = Instant::now();
    while redis.ask(&["exists", "soon"]) == "1" {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it never expires"
        );
    }
    redis.stop();
}

/// Starts a server with `start`, asks it the time and lets it sleep, and stops it.
fn postgres_keeps_the_shifted_time(start: impl FnOnce(&Path, &[OsString]) -> Running) {
    let postgres = need!(Postgres::start(start));

    for clock in ["now()", "clock_timestamp()", "statement_timestamp()"] {
        let before = Host::now();
        let answer = postgres.ask(&format!("select extract(epoch from {clock})"));
        expect_shifted(before, &answer);
    }

    let before = Instant::now();
    let slept = "select clock_timestamp() - statement_timestamp() >= '1 s' from pg_sleep(1)";
    assert_eq!(postgres.ask(slept), "t");
    assert!(before.elapsed() >= Duration::from_millis(990));

    let before = Host::now();
    let answer = postgres.ask("select extract(epoch from pg_postmaster_start_time())");
    let started = Reading::parse(&answer).unwrap();
    let expected = postgres.started().until(before, "REALTIME");
    assert!(expected.shifted(harness::SHIFT * SECOND).contains(started));
    postgres.stop();
}

#[test]
fn postgres_tells_and_keeps_the_shifted_time() {
    postgres_keeps_the_shifted_time(|dir, words| {
        Run::shifted().in_dir(dir).start(&as_postgres(words))
    });
}

#[test]
fn postgres_in_an_ordinary_users_namespace_tells_the_shifted_time() {
    postgres_keeps_the_shifted_time(|dir, words| {
        Run::shifted()
            .by_ordinary_user(dir)
            .in_dir(dir)
            .start(words)
    });
}

/// What came of something that lasts as long as a guest's wait.
fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = action();
    let took = i128::try_from(start.elapsed().as_millis()).unwrap();
    assert!(took >= WAIT, "{what} took {took} ms only");
    assert!(took <= LONGEST, "{what} took {took} ms");
    result
}

/// What a server started with `run` answers to each command that waits.
fn redis_waits(run: &Run) -> Result<Vec<String>, harness::Missing> {
    let redis = Redis::start(run)?;
    let seconds = format!("0.{WAIT:03}");
    let millis = WAIT.to_string();
    let mut answers = Vec::new();
    for question in [
        &["blpop", "none", &seconds][..],
        &["bzpopmin", "none", &seconds],
        &["xread", "block", &millis, "streams", "none", "0"],
        &["wait", "1", &millis],
    ] {
        let answer = timed(&question.join(" "), || redis.ask(question));
        answers.push(format!("{question:?}: {answer}"));
    }

    // Whether a key is there is told without a look at it: the server itself clears it away.
    for expiry in ["px", "pxat"] {
        timed(expiry, || {
            let now = redis.ask(&["time"]);
            let (sec, micros) = now.split_once('\n').unwrap();
            let now = sec.parse::<i128>().unwrap() * 1000 + micros.parse::<i128>().unwrap() / 1000;
            let when = if expiry == "px" { WAIT } else { now + WAIT + 1 };
            assert_eq!(
                redis.ask(&["set", "a", "1", expiry, &when.to_string()]),
                "OK"
            );
            let start = Instant::now();
            while redis.ask(&["dbsize"]) != "0" {
                assert!(start.elapsed() < Duration::from_secs(20), "{expiry} never");
            }
        });
    }
    redis.stop();
    Ok(answers)
}

#[test]
fn redis_waits_and_expires_keys_as_on_the_host() {
    let host = need!(redis_waits(&Run::on_host()));
    for (name, world) in timeouts::worlds() {
        assert_eq!(need!(redis_waits(&world)), host, "{name}");
    }
}

/// What a script in one session came to, in the client's words.
fn said(session: &Finished) -> String {
    format!("{} {} {}", session.code, session.stdout, session.stderr)
}

/// What a server started with `run` does about sessions that last too long.
fn postgres_waits(run: &Run) -> Result<Vec<String>, harness::Missing> {
    let postgres =
        Postgres::start(|dir, words| run.clone().in_dir(dir).start(&as_postgres(words)))?;
    // A prepared transaction holds its lock without a session.
    postgres.session("create table t (); begin; lock table t; prepare transaction 'holder'");

    // The server ends this session while its client, on the host, waits for that.
    let others = "select count(*) from pg_stat_activity where state = 'idle in transaction'";
    let client = postgres.client();
    let client = client.to_string_lossy();
    let idle = format!(
        "set idle_in_transaction_session_timeout = {WAIT}; begin;\n\
         \\! for i in $(seq 200); do {client} -c \"{others}\" | grep -qx 0 && break; sleep 0.1; done\n\
         select 1"
    );
    let scripts = [
        format!("select pg_sleep(0.{WAIT:03})"),
        format!("select pg_sleep_for('{WAIT} ms')"),
        format!("select pg_sleep_until(clock_timestamp() + '{WAIT} ms')"),
        format!("set statement_timeout = {WAIT}; select pg_sleep(60)"),
        format!("set lock_timeout = {WAIT}; select * from t"),
        idle,
    ];
    let sessions = scripts.map(|script| said(&timed(&script, || postgres.session(&script))));
    postgres.session("rollback prepared 'holder'").succeeded();
    postgres.stop();
    Ok(sessions.to_vec())
}

#[test]
fn postgres_ends_what_lasts_too_long_as_on_the_host() {
    let host = need!(postgres_waits(&Run::on_host()));
    // Query cancelled, lock not available, idle session in a transaction.
    for (said, code) in host[3..].iter().zip(["57014", "55P03", "25P03"]) {
        assert!(said.contains(code), "{said}");
    }
    for (name, world) in timeouts::worlds() {
        assert_eq!(need!(postgres_waits(&world)), host, "{name}");
    }
}
