//! What absolute waits cost by other C libraries' functions, with the supervisor on the same CPU and on another:
//! `cargo bench --bench libcs`.
//!
//! Each wait is until a time that has passed. Rounds on the host and inside take turns, all on one CPU; what is printed
//! is medians.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on must panic")]

#[allow(unused_macros, unused_imports, reason = "nothing is skipped here")]
#[path = "../tests/harness/mod.rs"]
mod harness;

use harness::bridges::{Libc, Program, inside, lines};
use harness::process::Run;

const ROUNDS: usize = 21;
/// How often each wait is made in a round.
const WAITS: &str = "300";
/// More than this inside, in nanoseconds, is a visit of the supervisor's.
const VISIT: i64 = 5000;

/// Where the program waits, and where the supervisor is.
#[derive(Clone, Copy)]
enum Side {
    Host,
    SameCpu,
    OtherCpu,
}

const SIDES: [Side; 3] = [Side::Host, Side::SameCpu, Side::OtherCpu];

impl Side {
    /// The world's program is kept on CPU 1, whatever started it.
    fn run(self) -> (Run, &'static [&'static str]) {
        const SAME: [&str; 3] = ["taskset", "-c", "1"];
        const OTHER: [&str; 3] = ["taskset", "-c", "0"];
        match self {
            Self::Host => (Run::on_host().through(&SAME), &[]),
            Self::SameCpu => (inside().through(&SAME), &[]),
            Self::OtherCpu => (inside().through(&OTHER), &["taskset", "-c", "1"]),
        }
    }
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The waits' names, and what each took on each side, in nanoseconds.
fn measure(program: &Program, threads: &str) -> Vec<(String, [i64; 3])> {
    let mut taken: Vec<(String, [Vec<i64>; 3])> = Vec::new();
    for round in 0..ROUNDS {
        for turn in 0..SIDES.len() {
            let at = (round + turn) % SIDES.len();
            let (run, first) = SIDES[at].run();
            let finished = program.run_through(&run, first, &["count", threads, WAITS]);
            for (kind, line) in lines(&finished).into_iter().enumerate() {
                if taken.len() == kind {
                    taken.push((line[0].to_owned(), Default::default()));
                }
                taken[kind].1[at].push(line[2].parse().unwrap());
            }
        }
    }
    let medians = |(name, sides): (String, [Vec<i64>; 3])| (name, sides.map(median));
    taken.into_iter().map(medians).collect()
}

fn report(libc: Libc, threads: &str) {
    let program = match Program::with(libc) {
        Ok(program) => program,
        Err(harness::Missing(what)) => return println!("{libc:?}: not measured: {what}\n"),
    };
    println!(
        "{libc:?}, {threads}: ns on the host; more inside; more with the supervisor on another CPU"
    );
    let rows = measure(&program, threads);
    let mut visited = 0;
    for (name, [host, same, other]) in &rows {
        visited += usize::from(same - host > VISIT);
        println!(
            "  {name:36} {host:7} {:+8} {:+8}",
            same - host,
            other - host
        );
    }
    println!("  visited each time: {visited} of {}\n", rows.len());
}

fn main() {
    for libc in [Libc::Here, Libc::Debian13, Libc::Musl] {
        for threads in ["alone", "threads"] {
            report(libc, threads);
        }
    }
}
