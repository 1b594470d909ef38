//! The whole bench: starts the helpers, asks them, and sums up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::arch::counter;
use super::change::Changes;
use super::cpus::Cpus;
use super::crowd::Crowd;
use super::helper::Helper;
use super::order::Random;
use super::reader::ticks_since;
use super::report::{Machine, Report, SideReport};
use super::rows::{Action, Row};
use super::side::Side;
use super::sum::{Samples, Sum};
use crate::Result;
use crate::check::{clock_source, kernel_release};

/// Rounds that the same helpers answer: how fast a process reads depends a little on where its
/// memory happens to lie.
const ROUNDS_OF_A_HELPER: u32 = 10;
/// After this time no more rounds are begun.
const ENOUGH: Duration = Duration::from_secs(45);
/// Pairs of reads with an offset left alone and changed, in a round.
const PAIRS: u32 = 4;

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How often each row is measured, unless that takes too long.
    pub rounds: u32,
    /// Whether every CPU is used, and not only one.
    pub all_cpus: bool,
    /// A program of the user's whose exec is measured too.
    pub program: Option<PathBuf>,
}

impl Report {
    /// Measures as the options say.
    ///
    /// # Errors
    /// A helper cannot be started, among them one in a namespace.
    pub fn gather(options: &Options) -> Result<Self> {
        let cpus = Cpus::choose(options.all_cpus)?;
        let (clock, start) = (Instant::now(), counter());
        let mut bench = Bench {
            program: options.program.as_deref(),
            sides: Side::ALL.map(|side| (side, side.absence().or_else(|| cpus.absence(side)))),
            cpus,
            samples: Samples::default(),
            changes: Changes::default(),
        };
        let mut rounds = 0;
        while rounds < options.rounds && clock.elapsed() < ENOUGH {
            let some = ROUNDS_OF_A_HELPER.min(options.rounds - rounds);
            bench.some_rounds(some, rounds / ROUNDS_OF_A_HELPER % 2 == 1)?;
            rounds += some;
        }
        let tick = clock.elapsed().as_secs_f64() * 1e9 / ticks_since(start);
        let sum = Sum {
            samples: bench.samples,
            changes: bench.changes,
            tick,
        };
        Ok(Self {
            machine: Machine {
                processor: processor(),
                kernel: kernel_release(),
                clock_source: clock_source().unwrap_or_else(|| "unknown".to_owned()),
                cpu: bench.cpus.chosen,
            },
            rounds,
            rows: sum.rows(),
            change: sum.change(),
            exec_parts: sum.exec_parts(),
            sides: bench
                .sides
                .into_iter()
                .map(|(side, absent)| SideReport {
                    name: side.name(),
                    title: side.title(),
                    absent,
                })
                .collect(),
        })
    }
}

struct Bench<'a> {
    program: Option<&'a Path>,
    /// All, and why one is absent.
    sides: [(Side, Option<String>); Side::ALL.len()],
    cpus: Cpus,
    samples: Samples,
    changes: Changes,
}

impl Bench<'_> {
    /// Some rounds without a crowd, and half as many in one; which of the two comes first changes.
    fn some_rounds(&mut self, rounds: u32, crowd_first: bool) -> Result<()> {
        let present = self.sides.iter().filter(|(_, absent)| absent.is_none());
        let mut helpers = present
            .filter(|(side, _)| *side != Side::Crowded)
            .map(|(side, _)| Helper::start(*side, self.program, &self.cpus))
            .collect::<Result<Vec<_>>>()?;
        if crowd_first {
            self.in_a_crowd(&mut helpers, rounds.div_ceil(2))?;
        }
        self.ask(&mut helpers, rounds, Side::Host)?;
        for helper in &mut helpers {
            if helper.side() == Side::Inside {
                let cpus = self.cpus.others.as_ref();
                self.changes.watch(helper, PAIRS * rounds, cpus)?;
            }
        }
        if !crowd_first {
            self.in_a_crowd(&mut helpers, rounds.div_ceil(2))?;
        }
        Ok(())
    }

    /// The crowd stands only while its column is measured.
    fn in_a_crowd(&mut self, helpers: &mut [Helper], rounds: u32) -> Result<()> {
        let absent = self.sides.iter_mut().find_map(|(side, absent)| {
            (*side == Side::Crowded && absent.is_none()).then_some(absent)
        });
        let Some(absent) = absent else {
            return Ok(());
        };
        match Crowd::gather() {
            Ok(_crowd) => self.ask(helpers, rounds, Side::Crowded),
            Err(error) => {
                *absent = Some(error.to_string());
                Ok(())
            }
        }
    }

    /// Asks the helpers in a random order, a different one each round.
    ///
    /// `host` is what the host is now. In a crowd all helpers are asked too, so that each finds
    /// the caches as it does without, but only the host's answers are kept.
    fn ask(&mut self, helpers: &mut [Helper], rounds: u32, host: Side) -> Result<()> {
        let mut questions: Vec<(usize, &Row)> = helpers
            .iter()
            .enumerate()
            .flat_map(|(i, helper)| Row::of(helper.side()).map(move |row| (i, row)))
            .filter(|(_, row)| self.program.is_some() || row.action != Action::ExecGiven)
            .collect();
        let mut random = Random::new();
        // The first round only warms up.
        for round in 0..=rounds {
            random.shuffle(&mut questions);
            for &(i, row) in &questions {
                let answer = helpers[i].ask(row)?;
                let side = match helpers[i].side() {
                    Side::Host => host,
                    side => side,
                };
                let is_kept = host == Side::Host || side == Side::Crowded;
                if round > 0 && is_kept && row.sides.contains(&side) {
                    self.samples.add(row, side, answer);
                }
            }
        }
        Ok(())
    }
}

/// The processor's name in `/proc/cpuinfo`.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}
