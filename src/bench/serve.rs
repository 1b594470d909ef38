//! What the bench's other processes do.
//!
//! A helper is told a row's name and answers with samples in one line; it ends with its standard
//! input. The programs that it starts do one thing and end.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::measure::Bench;
use super::notify;
use super::reader::{Reader, Way};
use super::rows::Row;
use super::side::Side;
use super::waits;
use crate::sys::process;
use crate::{Error, Result};

/// Serves as the helper of `side` until the bench has no more questions.
///
/// It stays on `cpu`, if one is given, whatever it was started on.
pub(crate) fn serve(side: Side, program: Option<&Path>, cpu: Option<usize>) -> Result<()> {
    if let Some(cpu) = cpu {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one)
            .map_err(|e| Error::os(format!("cannot go to CPU {cpu}"), e.into()))?;
    }
    let program = program.map(Path::to_owned);
    let answer_questions = move || answer_questions(side, program.as_deref());
    match side {
        Side::Filtered => {
            // Its listener stays open, and nothing is ever heard of it.
            let _listener = notify::install(&notify::one_rule())
                .map_err(|e| Error::os("cannot install a filter", e))?;
            answer_questions()
        }
        Side::Notified => notify::under_supervision(answer_questions),
        _ => answer_questions(),
    }
}

fn answer_questions(side: Side, program: Option<&Path>) -> Result<()> {
    let failed = |e: io::Error| Error::os("cannot measure", e);
    let mut bench = Bench::new(side, program).map_err(failed)?;
    // Where the process and its vDSO are, for who changes its offsets.
    let pid = rustix::process::getpid().as_raw_nonzero();
    say(&format!("ready {pid} {}", process::own_vdso())).map_err(failed)?;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(failed)?;
        let row = Row::from_name(&line)
            .ok_or_else(|| Error::new(format!("no row of the bench is called `{line}`")))?;
        let samples = bench.samples(row).map_err(failed)?;
        let words: Vec<String> = samples.iter().map(f64::to_string).collect();
        say(&words.join(" ")).map_err(failed)?;
    }
    Ok(())
}

/// Reads a clock for the first time since this program was started, and prints how long it took.
pub(crate) fn read_first(way: Way, clock: i32) -> Result<()> {
    let ticks = Reader::by(way).first(clock);
    say(&ticks.to_string()).map_err(|e| Error::os("cannot answer", e))
}

/// Waits for an absolute time for the first time since this program was started, and prints how
/// long it took.
pub(crate) fn wait_first() -> Result<()> {
    let ticks = waits::first().map_err(|e| Error::os("cannot wait", e))?;
    say(&ticks.to_string()).map_err(|e| Error::os("cannot answer", e))
}

/// Says that it is there, and stays until its standard input ends.
pub(crate) fn stay() -> Result<()> {
    let failed = |e: io::Error| Error::os("cannot wait", e);
    say("ready").map_err(failed)?;
    io::stdin().read(&mut [0]).map(drop).map_err(failed)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
