//! The helper's own part: measures what the bench asks for.
//!
//! The bench writes a row's name, the helper answers with samples in one line; it ends with its
//! standard input.

use std::io::{self, BufRead, Write};
use std::path::Path;

use super::measure::Bench;
use super::notify;
use super::rows::{Row, Side};
use crate::sys::seccomp;
use crate::{Error, Result};

/// Serves as the helper of `side` until the bench has no more questions.
pub(crate) fn serve(side: Side, program: Option<&Path>) -> Result<()> {
    let program = program.map(Path::to_owned);
    let answer_questions = move || answer_questions(program.as_deref());
    match side {
        Side::Host | Side::Inside => answer_questions(),
        Side::Filtered => {
            // Its listener stays open, and nothing is ever heard of it.
            let _listener = seccomp::install(&notify::one_rule())
                .map_err(|e| Error::os("cannot install a filter", e))?;
            answer_questions()
        }
        Side::Notified => notify::under_supervision(answer_questions),
    }
}

fn answer_questions(program: Option<&Path>) -> Result<()> {
    let failed = |e: io::Error| Error::os("cannot measure", e);
    let mut bench = Bench::new(program).map_err(failed)?;
    say("ready").map_err(failed)?;
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

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
