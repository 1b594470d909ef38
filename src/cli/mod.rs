//! The command line: what the options mean, and how errors reach the user.

mod adopt;
mod agent;
mod args;
mod clocks;
mod coverage;
mod criu;
mod exec;
mod ls;
mod message;
mod oci_profile;
mod oci_runtime;
mod resume;
mod run;
mod save;
mod show;
mod users;
mod view;

use std::io::Write;

use clap::{CommandFactory, Parser};

use crate::bench;
use crate::line::{one_line, shown};
use crate::{Error, Result};
use args::{Args, BenchArgs, BenchPart, BenchSideArgs, Command, Rounds};

/// elsewhen itself failed, as for env(1) and timeout(1).
const EXIT_FAILED: i32 = 125;

/// The command line's definition, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the command that the process's arguments state, and gives its exit status.
///
/// Errors are printed as one line, `elsewhen: MESSAGE`.
#[must_use]
pub fn main() -> i32 {
    let outcome = oci_runtime::by_name(std::env::args_os()).unwrap_or_else(by_arguments);
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

fn by_arguments() -> std::result::Result<i32, Failure> {
    match Args::try_parse() {
        Ok(args) => dispatch(args),
        Err(error) => match message::of_usage(&error) {
            Some(message) => Err(Error::new(message).into()),
            // `--help` and `--version`.
            None => Ok(print(&error.to_string()).map(|()| 0)?),
        },
    }
}

fn dispatch(args: Args) -> std::result::Result<i32, Failure> {
    match args.command {
        Command::Run(args) => run::run(args),
        Command::Exec(args) => exec::exec(args),
        Command::Ls(args) => ls::ls(&args),
        Command::Show(args) => show::show(&args),
        Command::Agent(args) => agent::agent(args),
        Command::Save(args) => save::save(&args),
        Command::Adopt => adopt::adopt(),
        Command::CriuAction(args) => criu::action(args),
        Command::CriuKeeper(args) => criu::keeper(args),
        Command::Check(args) => match &args.handle {
            Some(handle) => coverage::coverage(handle, args.json),
            None => check(args.json),
        },
        Command::OciProfile(args) => oci_profile::oci_profile(&args),
        Command::OciRuntime(args) => oci_runtime::oci_runtime(args),
        Command::Bench(args) => bench(args),
        Command::BenchSide(args) => bench_side(&args),
        Command::BenchPart(part) => bench_part(part),
    }
}

/// `elsewhen check`: 0 if the guest backend can work here, 1 if not.
fn check(json: bool) -> std::result::Result<i32, Failure> {
    let report = crate::check::Report::gather()?;
    print_report(&report, json)?;
    Ok(i32::from(!report.guest.works))
}

/// `elsewhen bench`.
fn bench(args: BenchArgs) -> std::result::Result<i32, Failure> {
    let rounds = match args.rounds {
        Rounds::Full => 100,
        Rounds::Small => 2,
    };
    let report = bench::Report::gather(&bench::Options {
        rounds,
        all_cpus: args.all_cpus,
        program: args.program,
    })?;
    if let Some(file) = &args.svg {
        std::fs::write(file, report.to_svg()).map_err(|error| {
            Error::os(format!("cannot write `{}`", shown(file.as_os_str())), error)
        })?;
    }
    if args.markdown {
        print(&report.to_markdown())?;
    } else {
        print_report(&report, args.json)?;
    }
    Ok(0)
}

/// A program that a process of the bench's starts.
fn bench_part(part: BenchPart) -> std::result::Result<i32, Failure> {
    match part {
        BenchPart::First { way, clock } => {
            let way = bench::Way::from_name(&way)
                .ok_or_else(|| Error::new(format!("the bench has no way `{way}`")))?;
            bench::read_first(way, clock)?;
        }
        BenchPart::FirstWait => bench::wait_first()?,
        BenchPart::Stay => bench::stay()?,
        BenchPart::Nothing => {}
    }
    Ok(0)
}

/// A process of the bench's.
fn bench_side(args: &BenchSideArgs) -> std::result::Result<i32, Failure> {
    let name = &args.side;
    let side = bench::Side::from_name(name)
        .ok_or_else(|| Error::new(format!("the bench has no side `{}`", shown(name.as_ref()))))?;
    bench::serve(side, args.program.as_deref(), args.cpu)?;
    Ok(0)
}

/// Prints a report as JSON, or for people.
fn print_report(report: &(impl serde::Serialize + std::fmt::Display), json: bool) -> Result<()> {
    match json {
        true => print_json(report),
        false => print(&report.to_string()),
    }
}

fn print_json(report: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Error::new(format!("cannot write the report: {error}")))?;
    print(&(text + "\n"))
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
