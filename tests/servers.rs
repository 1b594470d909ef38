//! Servers that keep time: started inside, asked from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, Reading, SECOND};
use harness::process::{Run, Running};
use harness::{guests, need, tools};
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Asks until the answer is an exit status of 0, as long as the server lives.
fn wait_until_ready(server: &mut Running, client: &[&OsStr]) {
    let start = Instant::now();
    while Run::on_host().run(client).code != 0 {
        assert!(
            server.is_alive(),
            "the server has ended\n{}",
            server.output()
        );
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(40), "{}", server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

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

fn ask(client: &[&OsStr], question: &[&str]) -> String {
    let question: Vec<&OsStr> = question.iter().map(OsStr::new).collect();
    let answer = Run::on_host().run(&[client, &question].concat());
    answer.succeeded().stdout.trim().to_owned()
}

#[test]
fn redis_tells_and_keeps_the_shifted_time() {
    let redis = need!(tools::find("redis-server"));
    let client = need!(tools::find("redis-cli"));
    let dir = guests::public_directory();
    let socket = dir.path().join("redis.socket");
    let client = [client.as_os_str(), "-s".as_ref(), socket.as_os_str()];

    let server: Vec<&OsStr> = [
        redis.as_os_str(),
        "--unixsocket".as_ref(),
        socket.as_os_str(),
    ]
    .into_iter()
    .chain(["--port", "0", "--save", "", "--appendonly", "no"].map(OsStr::new))
    .collect();
    let mut server = Run::shifted().in_dir(dir.path()).start(&server);
    wait_until_ready(&mut server, &[&client[..], &["ping".as_ref()]].concat());

    for _ in 0..20 {
        let before = Host::now();
        let answer = ask(&client, &["time"]);
        let (sec, micros) = answer.split_once('\n').unwrap();
        expect_shifted(before, &format!("{sec}.{:0>6}", micros.trim()));
    }

    let now = Host::now();
    let now = now.until(now, "REALTIME").before / SECOND;
    let inside = now + harness::SHIFT;
    // Its future is the future, and what is the host's future is its past.
    for (key, at, there) in [("later", inside + 500, "1"), ("past", now + 500, "0")] {
        assert_eq!(ask(&client, &["set", key, "1"]), "OK");
        assert_eq!(ask(&client, &["expireat", key, &at.to_string()]), "1");
        assert_eq!(ask(&client, &["exists", key]), there, "{key}");
    }
    let left: i128 = ask(&client, &["ttl", "later"]).parse().unwrap();
    assert!((300..=501).contains(&left), "{left}");

    assert_eq!(ask(&client, &["set", "soon", "1", "px", "100"]), "OK");
    let start = Instant::now();
    while ask(&client, &["exists", "soon"]) == "1" {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it never expires"
        );
    }

    Run::on_host().run(&[&client[..], &["shutdown".as_ref(), "nosave".as_ref()]].concat());
    assert_eq!(server.finish().code, 0);
}

/// The words that make a command PostgreSQL's: its server refuses to be root.
fn as_postgres(words: &[&OsStr]) -> Vec<std::ffi::OsString> {
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let user = if harness::is_root() { &user[..] } else { &[] };
    user.iter()
        .map(std::convert::Into::into)
        .chain(words.iter().map(std::convert::Into::into))
        .collect()
}

/// Makes a cluster on the host, which takes longest.
fn make_cluster(initdb: &Path, data: &Path) {
    let words = [initdb.as_os_str(), "--pgdata".as_ref(), data.as_os_str()];
    let options = [
        "--no-sync",
        "--auth=trust",
        "--username=tester",
        "--no-locale",
    ];
    let options = options.map(OsStr::new);
    let command = as_postgres(&[&words[..], &options].concat());
    Run::on_host().run(&command).succeeded();
}

/// Starts a server with `run`, asks it the time and lets it sleep, and stops it.
fn postgres_keeps_the_shifted_time(start: impl FnOnce(&Path, &[&OsStr]) -> Running) {
    let initdb = need!(tools::postgres("initdb"));
    let postgres = need!(tools::postgres("postgres"));
    let psql = need!(tools::find("psql"));
    let dir = guests::public_directory();
    let data = dir.path().join("data");
    make_cluster(&initdb, &data);

    let words: Vec<&OsStr> = [
        postgres.as_os_str(),
        "-D".as_ref(),
        data.as_os_str(),
        "-k".as_ref(),
    ]
    .into_iter()
    .chain([dir.path().as_os_str()])
    .chain(["-c", "listen_addresses=", "-c", "fsync=off"].map(OsStr::new))
    .collect();
    let mut server = start(dir.path(), &words);

    let client: Vec<&OsStr> = [psql.as_os_str(), "-h".as_ref(), dir.path().as_os_str()]
        .into_iter()
        .chain(
            [
                "-U", "tester", "-d", "postgres", "-X", "-A", "-t", "-q", "-c",
            ]
            .map(OsStr::new),
        )
        .collect();
    wait_until_ready(&mut server, &[&client[..], &["select 1".as_ref()]].concat());

    for clock in ["now()", "clock_timestamp()", "statement_timestamp()"] {
        let before = Host::now();
        let answer = ask(&client, &[&format!("select extract(epoch from {clock})")]);
        expect_shifted(before, &answer);
    }

    let before = Instant::now();
    let slept = "select clock_timestamp() - statement_timestamp() >= '1 s' from pg_sleep(1)";
    assert_eq!(ask(&client, &[slept]), "t");
    assert!(before.elapsed() >= Duration::from_millis(990));

    let before = Host::now();
    let answer = ask(
        &client,
        &["select extract(epoch from pg_postmaster_start_time())"],
    );
    let started = Reading::parse(&answer).unwrap();
    let expected = server.started().until(before, "REALTIME");
    assert!(expected.shifted(harness::SHIFT * SECOND).contains(started));

    // SIGINT is the fast shutdown; the command passes it on, or is in the server's place.
    let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let stop = format!("kill -INT {}", pid.lines().next().unwrap());
    Run::on_host().run(&["sh", "-c", &stop]).succeeded();
    let ended = server.finish();
    assert_eq!(ended.code, 0, "{ended:#?}");
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
