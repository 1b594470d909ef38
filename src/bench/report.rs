//! The whole bench: starts the helpers, asks them, and sums up.

use std::collections::HashMap;
use std::path::PathBuf;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use super::helper::Helper;
use super::order::Random;
use super::parts::STEPS;
use super::rows::{Row, Side, Unit};
use crate::check::{clock_source, kernel_release};
use crate::{Error, Result};

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How often each row is measured.
    pub rounds: u32,
    /// Whether every CPU is used, and not only one.
    pub all_cpus: bool,
    /// A program of the user's whose exec is measured too.
    pub program: Option<PathBuf>,
}

/// What `elsewhen bench` prints; the field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// How often each row was measured, in turn with the others.
    pub rounds: u32,
    /// What was measured.
    pub rows: Vec<RowReport>,
    /// What an exec inside is made of.
    pub exec_parts: Vec<Part>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// The host's clock source.
    pub clock_source: String,
    /// The CPU that everything ran on, unless it was all.
    pub cpu: Option<usize>,
}

/// One thing, measured in several worlds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowReport {
    /// Its stable name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// `ns` or `KiB`.
    pub unit: &'static str,
    /// The medians.
    pub cells: Vec<Cell>,
}

/// A median.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The world: `host`, `filtered`, `notified` or `inside`.
    pub side: &'static str,
    /// The median of all samples.
    pub median: f64,
    /// Divided by the host's.
    pub ratio: Option<f64>,
}

/// A part of an exec inside a namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Its stable name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Nanoseconds.
    pub median: f64,
}

/// All samples of a row in a world.
type Samples = HashMap<(&'static str, &'static str), Vec<f64>>;

impl Report {
    /// Measures as the options say.
    ///
    /// # Errors
    /// A helper cannot be started, among them one in a namespace.
    pub fn gather(options: &Options) -> Result<Self> {
        let rounds = options.rounds;
        let program = options.program.as_deref();
        let cpu = if options.all_cpus { None } else { Some(pin()?) };
        let mut helpers = Side::ALL
            .into_iter()
            .map(|side| Helper::start(side, program))
            .collect::<Result<Vec<_>>>()?;
        let samples = sample(&mut helpers, rounds, program.is_some())?;
        let rows = Row::TABLE
            .into_iter()
            .filter(|row| program.is_some() || *row != Row::Program)
            .map(|row| row_report(row, &samples));
        Ok(Self {
            machine: Machine {
                processor: processor(),
                kernel: kernel_release(),
                clock_source: clock_source().unwrap_or_else(|| "unknown".to_owned()),
                cpu,
            },
            rounds,
            rows: rows.collect(),
            exec_parts: exec_parts(&samples),
        })
    }
}

/// Asks the helpers in a random order, a different one each round.
fn sample(helpers: &mut [Helper], rounds: u32, program: bool) -> Result<Samples> {
    let mut questions: Vec<(usize, Row)> = helpers
        .iter()
        .enumerate()
        .flat_map(|(i, helper)| Row::of(helper.side()).map(move |row| (i, row)))
        .filter(|(_, row)| program || *row != Row::Program)
        .collect();
    let mut random = Random::new();
    let mut samples = Samples::new();
    // The first round only warms up.
    for round in 0..=rounds {
        random.shuffle(&mut questions);
        for &(i, row) in &questions {
            let answer = helpers[i].ask(row)?;
            if round > 0 {
                let key = (row.name(), helpers[i].side().name());
                samples.entry(key).or_default().extend(answer);
            }
        }
    }
    Ok(samples)
}

fn row_report(row: Row, samples: &Samples) -> RowReport {
    let of = |side: Side| {
        let samples = samples.get(&(row.name(), side.name()));
        median(samples.cloned().unwrap_or_default())
    };
    let host = of(Side::Host);
    let cells = row.sides().iter().map(|side| Cell {
        side: side.name(),
        median: of(*side),
        ratio: (host > 0.0).then(|| of(*side) / host),
    });
    RowReport {
        name: row.name(),
        title: row.title(),
        unit: match row.unit() {
            Unit::Nanoseconds => "ns",
            Unit::Kibibytes => "KiB",
        },
        cells: cells.collect(),
    }
}

/// What each world adds to an exec, and the worker's steps within the last.
fn exec_parts(samples: &Samples) -> Vec<Part> {
    let exec = |side: Side| {
        let key = (Row::Exec.name(), side.name());
        median(samples.get(&key).cloned().unwrap_or_default())
    };
    let mut parts = Vec::new();
    let mut part = |name, title, median| {
        parts.push(Part {
            name,
            title,
            median,
        });
    };
    let (host, filtered) = (exec(Side::Host), exec(Side::Filtered));
    let (notified, inside) = (exec(Side::Notified), exec(Side::Inside));
    part("plain", "the exec itself", host);
    part("filter", "being under a filter", filtered - host);
    part("notification", "asking a supervisor", notified - filtered);
    let key = (Row::Steps.name(), Side::Host.name());
    let all = samples.get(&key).map(Vec::as_slice).unwrap_or_default();
    let mut rest = inside - notified;
    for (i, (name, title)) in STEPS.into_iter().enumerate() {
        let own = all.iter().skip(i).step_by(STEPS.len());
        let median = median(own.copied().collect());
        rest -= median;
        part(name, title, median);
    }
    part(
        "rest",
        "the supervisor's book-keeping, and ending with more memory",
        rest,
    );
    part("inside", "all of it", inside);
    parts
}

/// The middle one; 0 of none.
fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// Keeps this process and all that it starts on the last CPU that it may use.
fn pin() -> Result<usize> {
    let failed = |e: rustix::io::Errno| Error::os("cannot choose a CPU", e.into());
    let allowed = sched_getaffinity(None).map_err(failed)?;
    let last = (0..CpuSet::MAX_CPU)
        .rev()
        .find(|cpu| allowed.is_set(*cpu))
        .unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).map_err(failed)?;
    Ok(last)
}

/// The processor's name in `/proc/cpuinfo`.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    #[expect(clippy::float_cmp, reason = "nothing is computed")]
    fn a_median_is_one_of_the_samples() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 4.0);
    }
}
