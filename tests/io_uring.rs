//! io_uring waits without system calls: a strict namespace refuses it, another lets it be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::{Missing, need, tools};
use std::ffi::OsString;

const LAX: [&str; 3] = ["--backend=guest", "--realtime", "-1d"];
const STRICT: [&str; 4] = ["--strict", "--backend=guest", "--realtime", "-1d"];

fn guest(mode: &str) -> Result<Vec<OsString>, Missing> {
    let guest = guests::build("io_uring", Kind::Glibc)?;
    Ok(vec![guest.into_os_string(), mode.into()])
}

/// Where the host has io_uring, the guest's words.
fn where_possible(mode: &str) -> Result<Vec<OsString>, Missing> {
    let host = Run::on_host().run(&guest("nop")?).succeeded();
    match host.stdout.as_str() {
        "setup 0\nresult 0\nshort\n" => guest(mode),
        other => Err(Missing(format!("no io_uring on this host: {other}"))),
    }
}

#[test]
fn a_strict_namespace_refuses_io_uring() {
    for mode in ["nop", "absolute"] {
        let run = Run::inside(&STRICT).run(&need!(guest(mode))).succeeded();
        assert_eq!(run.stdout, format!("setup {}\n", libc::EPERM));
    }
}

#[test]
fn a_strict_namespace_refuses_io_uring_through_int_0x80() {
    let words = need!(guest("int80"));
    let host = Run::on_host().run(&words);
    // EFAULT: the call is known, and its second argument is not one.
    if host.stdout != format!("setup {}\n", libc::EFAULT) {
        harness::skip!("this kernel has no i386 calls, or no io_uring");
    }
    let run = Run::inside(&STRICT).run(&words).succeeded();
    assert_eq!(run.stdout, format!("setup {}\n", libc::EPERM));
}

#[test]
fn without_strict_io_uring_works() {
    let words = need!(where_possible("nop"));
    let run = Run::inside(&LAX).run(&words).succeeded();
    assert_eq!(run.stdout, "setup 0\nresult 0\nshort\n");
}

/// The limitation that `--strict` is for: yesterday's clock has not reached a time that the host's
/// passed a day ago.
#[test]
fn without_strict_an_absolute_timeout_of_io_uring_is_on_the_hosts_clock() {
    let words = need!(where_possible("absolute"));
    let run = Run::inside(&LAX).run(&words).succeeded();
    let result = -libc::ETIME;
    assert_eq!(run.stdout, format!("setup 0\nresult {result}\nshort\n"));
}

/// Its files and timers, by a library that takes io_uring where it is allowed.
#[test]
fn node_runs_in_a_strict_namespace() {
    let node = need!(tools::find("node"));
    let script = "const fs = require('fs').promises; (async () => { \
        const text = await fs.readFile('/proc/self/comm', 'utf8'); \
        await new Promise(done => setTimeout(done, 20)); \
        console.log(text.trim().length > 0 && Date.now() < DEADLINE); })()";
    let now = harness::sys::clock_gettime(libc::CLOCK_REALTIME) / 1_000_000;
    let script = script.replace("DEADLINE", &(now - 3_600_000).to_string());
    let words = [node.into_os_string(), "-e".into(), script.into()];
    let run = Run::inside(&STRICT)
        .through(&["env", "UV_USE_IO_URING=1"])
        .run(&words)
        .succeeded();
    assert_eq!(run.stdout, "true\n", "{run:#?}");
}
