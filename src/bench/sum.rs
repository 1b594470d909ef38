//! From samples to medians, ratios, and whether they are within their targets.

use std::collections::HashMap;

use super::change::Changes;
use super::parts;
use super::report::{Cell, ChangeReport, Part, RowReport, TargetReport};
use super::rows::{Row, STEPS};
use super::side::Side;
use super::statistics::{median, median_and_interval};
use super::targets::{CHANGED, Measure, TARGETS};

/// All samples of each row in each world.
#[derive(Default)]
pub(super) struct Samples(HashMap<(&'static str, &'static str), Vec<f64>>);

impl Samples {
    pub(super) fn add(&mut self, row: &Row, side: Side, samples: Vec<f64>) {
        let all = self.0.entry((row.name, side.name())).or_default();
        all.extend(samples);
    }

    fn of(&self, row: &Row, side: Side) -> &[f64] {
        let all = self.0.get(&(row.name, side.name()));
        all.map(Vec::as_slice).unwrap_or_default()
    }
}

/// What has been measured, and what it amounts to.
pub(super) struct Sum {
    pub(super) samples: Samples,
    pub(super) changes: Changes,
    /// Nanoseconds of the counter's tick.
    pub(super) tick: f64,
}

impl Sum {
    /// The median, if there is one.
    fn median(&self, row: &Row, side: Side) -> Option<f64> {
        let samples = self.samples.of(row, side);
        let unit = if row.is_memory() { 1.0 } else { self.tick };
        (!samples.is_empty()).then(|| unit * median(samples.to_vec()))
    }

    /// The rows that were measured.
    pub(super) fn rows(&self) -> Vec<RowReport> {
        let rows = Row::table().map(|row| self.row(row));
        rows.filter(|row| !row.cells.is_empty()).collect()
    }

    fn row(&self, row: &'static Row) -> RowReport {
        let over = |median: f64, other: Side| {
            let other = self.median(row, other).filter(|other| *other > 0.0);
            other.map(|other| median / other)
        };
        let cells = row.sides.iter().filter_map(|side| {
            let median = self.median(row, *side)?;
            Some(Cell {
                side: side.name(),
                median,
                ratio: over(median, Side::Host),
                ratio_to_kernel: over(median, Side::Kernel),
                more: self.median(row, Side::Host).map(|host| median - host),
            })
        });
        let targets = TARGETS.iter().filter_map(|target| {
            if !target.rows.contains(&row.name) {
                return None;
            }
            let inside = self.median(row, Side::Inside)?;
            let measured = match target.of {
                Measure::Itself => inside,
                Measure::RatioTo(side) => over(inside, side)?,
                Measure::MoreThan(side) => inside - self.median(row, side)?,
            };
            Some(TargetReport {
                kind: target.of.kind(),
                against: target.of.against().map(Side::name),
                at_most: target.at_most,
                measured,
                met: measured <= target.at_most,
            })
        });
        RowReport {
            name: row.name,
            title: row.title,
            group: row.group.name(),
            unit: if row.is_memory() { "KiB" } else { "ns" },
            cells: cells.collect(),
            targets: targets.collect(),
        }
    }

    pub(super) fn change(&self) -> ChangeReport {
        let Changes {
            left_alone,
            changed,
            ..
        } = &self.changes;
        let ratios = changed
            .iter()
            .zip(left_alone)
            .map(|(one, other)| one / other);
        let (ratio, interval) = median_and_interval(ratios.collect());
        ChangeReport {
            every_us: self.changes.interval(),
            left_alone: self.tick * median(left_alone.clone()),
            changed: self.tick * median(changed.clone()),
            ratio,
            interval,
            at_most: CHANGED,
            met: interval[0] <= CHANGED,
        }
    }

    /// What each world adds to an exec, and the worker's steps within the last.
    pub(super) fn exec_parts(&self) -> Vec<Part> {
        let exec = |side: Side| {
            let exec = Row::from_name("exec").and_then(|row| self.median(row, side));
            exec.unwrap_or_default()
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
        let all = self.samples.of(&STEPS, Side::Host);
        let mut rest = inside - notified;
        for (i, (name, title)) in parts::STEPS.into_iter().enumerate() {
            let own = all.iter().skip(i).step_by(parts::STEPS.len());
            let median = self.tick * median(own.copied().collect());
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
}
