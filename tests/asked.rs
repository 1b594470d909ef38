//! Which waits ask the supervisor each time, and which only the first.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::bridges::{Libc, Program, inside, lines};
use harness::process::Run;
use harness::{Missing, need};

/// What the names of waits that are cancellation points begin with.
const CANCELLABLE: [&str; 4] = ["clock_nanosleep", "pthread_cond", "sem_", "mq_"];

/// A kind of wait, and how many of a hundred asked.
struct Asked {
    name: String,
    of_hundred: i32,
}

/// Each wait that asks gives up the processor twice: for the answer, and for being redirected. One
/// until a time that has passed seldom does otherwise.
fn asked(libc: Libc) -> Result<Vec<Asked>, Missing> {
    let program = Program::with(libc)?;
    let host = program.run(&Run::on_host(), &["count", "threads", "500"]);
    let there = program.run(&inside(), &["count", "threads", "500"]);
    let number = |word: &str| word.parse::<i32>().unwrap();
    let both = lines(&host).into_iter().zip(lines(&there));
    let asked: Vec<Asked> = both
        .map(|(host, there)| Asked {
            name: there[0].to_owned(),
            of_hundred: (number(there[1]) - number(host[1])) / 2,
        })
        .collect();
    println!("{libc:?}: a wait until a time that has passed, on the host and inside");
    for (line, asked) in lines(&there).iter().zip(&asked) {
        let host = lines(&host)
            .iter()
            .find(|host| host[0] == line[0])
            .map(|host| number(host[2]));
        let (name, inside, of_hundred) = (line[0], number(line[2]), asked.of_hundred);
        println!(
            "{name:34} {:9} ns {inside:9} ns  {of_hundred:3} % ask",
            host.unwrap()
        );
    }
    assert_eq!(asked.len(), 8, "{there:#?}");
    Ok(asked)
}

/// Those whose names begin so ask each time, and the others only at first.
fn these_ask_each_time(libc: Libc, asking: &[&str]) {
    for wait in need!(asked(libc)) {
        let asks = asking.iter().any(|begin| wait.name.starts_with(begin));
        let (name, n) = (&wait.name, wait.of_hundred);
        assert_eq!(n > 50, asks, "{name}: {n} of 100 have asked");
        assert!(asks || n <= 10, "{name}: {n} of 100 have asked");
    }
}

/// In programs with threads two of its places cannot be patched: the number is not put into its
/// register just before the call.
#[test]
fn waits_by_the_machines_glibc_ask_once_but_for_those_for_messages() {
    let said = Run::on_host().run(&["getconf", "GNU_LIBC_VERSION"]);
    let minor = said.stdout.trim().rsplit('.').next().unwrap().parse();
    if minor.is_ok_and(|minor: u32| minor >= 41) {
        these_ask_each_time(Libc::Here, &CANCELLABLE);
    } else {
        these_ask_each_time(Libc::Here, &["mq_"]);
    }
}

/// All cancellation points share one place there, which has to stay as it is.
#[test]
fn cancellation_points_of_debian_13s_glibc_ask_each_time() {
    these_ask_each_time(Libc::Debian13, &CANCELLABLE);
}

/// musl waits for its own threads' doings by relative times.
#[test]
fn cancellation_points_of_musl_ask_each_time_if_their_times_are_absolute() {
    these_ask_each_time(Libc::Musl, &["clock_nanosleep", "mq_"]);
}
