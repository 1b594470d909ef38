//! The command line: what the options mean, and how errors reach the user.

mod args;
mod clocks;
mod message;
mod run;

use std::io::Write;

use clap::Parser;

use crate::line::one_line;
use crate::{Error, Result};
use args::{Args, Command};

/// elsewhen itself failed, as for env(1) and timeout(1).
const EXIT_FAILED: i32 = 125;

/// Runs the command that the process's arguments state, and gives its exit status.
///
/// Errors are printed as one line, `elsewhen: MESSAGE`.
#[must_use]
pub fn main() -> i32 {
    let outcome = match Args::try_parse() {
        Ok(args) => dispatch(args),
        Err(error) => match message::of_usage(&error) {
            Some(message) => Err(Failure::from(Error::new(message))),
            // `--help` and `--version`.
            None => print(&error.to_string()).map(|()| 0).map_err(Failure::from),
        },
    };
    match outcome {
        Ok(status) => status,
        Err(failure) => {
            // Nothing is left to tell it to if the standard error is closed.
            let line = format!("elsewhen: {}\n", one_line(&failure.error.to_string()));
            let _ = std::io::stderr().write_all(line.as_bytes());
            failure.status
        }
    }
}

fn dispatch(args: Args) -> std::result::Result<i32, Failure> {
    match args.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check(args.json),
    }
}

/// `elsewhen check`: 0 if the guest backend can work here, 1 if not.
fn check(json: bool) -> std::result::Result<i32, Failure> {
    let report = crate::check::Report::gather()?;
    if json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Error::new(format!("cannot write the report: {error}")))?;
        print(&(text + "\n"))?;
    } else {
        print(&report.to_string())?;
    }
    Ok(i32::from(!report.guest.works))
}

/// Writes to the standard output at once; no runtime will flush it later.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::os("cannot write the standard output", error))
}

/// An error, and the exit status that goes with it.
#[derive(Debug)]
struct Failure {
    error: Error,
    status: i32,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            status: EXIT_FAILED,
        }
    }
}
