//! The report for people: one line a row, one column a world.

use std::fmt::{self, Display, Formatter};

use super::report::{Cell, Machine, Report, RowReport};
use super::rows::Group;
use super::side::Side;

// Widths: of a row's title, of a number, of its ratio to the host, of that to the kernel's.
const TITLE: usize = 38;
const VALUE: usize = 9;
const RATIO: usize = 7;
const KERNEL: usize = 11;
// Of what it is more than the host's.
const MORE: usize = 11;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.place())?;
        for group in Group::TABLE {
            self.group(f, group)?;
        }
        for side in &self.sides {
            if let Some(absent) = &side.absent {
                writeln!(f, "\n{}: nothing measured: {absent}", side.name)?;
            }
        }
        self.change(f)?;
        writeln!(f, "\nparts of an exec inside")?;
        for part in &self.exec_parts {
            writeln!(f, "{:<64}{:>11}", part.title, time(part.median))?;
        }
        Ok(())
    }
}

impl Report {
    /// The machine, and how it was measured.
    pub(super) fn place(&self) -> String {
        let Machine {
            processor,
            kernel,
            clock_source,
            cpu,
        } = &self.machine;
        let place = match cpu {
            Some(cpu) => format!("on CPU {cpu}"),
            None => "on all CPUs".to_owned(),
        };
        let rounds = self.rounds;
        format!(
            "{processor}, Linux {kernel}, clock source {clock_source}; \
             medians of {rounds} rounds {place}"
        )
    }

    pub(super) fn rows_of(&self, group: Group) -> impl Iterator<Item = &RowReport> {
        let rows = self.rows.iter();
        rows.filter(move |row| row.group == group.name())
    }

    fn group(&self, f: &mut Formatter<'_>, group: Group) -> fmt::Result {
        let mut header = format!("\n{:<TITLE$}", group.title());
        for side in group.sides() {
            let name = side.name().replace('_', " ");
            header += &format!("{name:>0$}", width(*side));
        }
        let more = if group == Group::Waits { "more" } else { "" };
        let header = header + &format!("{:>KERNEL$}{more:>MORE$}", "of kernel");
        writeln!(f, "{}", header.trim_end())?;
        for row in self.rows_of(group) {
            writeln!(f, "{}", line(row, group).trim_end())?;
        }
        Ok(())
    }

    fn change(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let change = &self.change;
        let [low, high] = change.interval;
        writeln!(f, "\nMONOTONIC read inside while its offset is changed")?;
        write!(
            f,
            "left alone {}, changed every {:.0} us {}: {:.4}x, in 95 of 100 cases {low:.4}x to {high:.4}x",
            time(change.left_alone),
            change.every_us,
            time(change.changed),
            change.ratio,
        )?;
        match change.met {
            true => writeln!(f),
            false => writeln!(f, "  misses {}", change.at_most),
        }
    }
}

fn line(row: &RowReport, group: Group) -> String {
    let mut line = format!("{:<TITLE$}", row.title);
    for side in group.sides() {
        let cell = row.cells.iter().find(|cell| cell.side == side.name());
        let cell = cell.map_or_else(|| "-".to_owned(), |cell| self::cell(cell, row.unit));
        line += &format!("{cell:>0$}", width(*side));
    }
    let inside = row.cells.iter().find(|it| it.side == Side::Inside.name());
    let of_kernel = inside.and_then(|cell| cell.ratio_to_kernel).map(ratio);
    line += &format!("{:>KERNEL$}", of_kernel.unwrap_or_default());
    if group == Group::Waits {
        let more = inside.and_then(|cell| cell.more).map(time);
        line += &format!("{:>MORE$}", more.unwrap_or_default());
    }
    line + &missed(row)
}

/// The width of a column.
fn width(side: Side) -> usize {
    if side == Side::Host {
        VALUE
    } else {
        VALUE + RATIO
    }
}

fn cell(cell: &Cell, unit: &str) -> String {
    let value = match unit {
        "ns" => time(cell.median),
        unit => format!("{:.0} {unit}", cell.median),
    };
    match cell.ratio {
        Some(times) if cell.side != Side::Host.name() => {
            format!("{value}{:>RATIO$}", ratio(times))
        }
        _ if cell.side == Side::Host.name() => value,
        _ => format!("{value}{:RATIO$}", ""),
    }
}

/// `  misses 0.93 of host, 0.89 of kernel`, `  misses 100 ns more`, or nothing.
fn missed(row: &RowReport) -> String {
    let missed = row.targets.iter().filter(|target| !target.met);
    let missed: Vec<String> = missed
        .map(|target| match target.against {
            Some(_) if target.kind == "more" => format!("{} ns more", target.at_most),
            Some(side) => format!("{:.2} of {side}", target.at_most),
            None => format!("{} {}", target.at_most, row.unit),
        })
        .collect();
    if missed.is_empty() {
        return String::new();
    }
    format!("  misses {}", missed.join(", "))
}

/// `0.93x`, `12.3x`, `1234x`.
pub(super) fn ratio(ratio: f64) -> String {
    match ratio {
        small if small < 9.995 => format!("{ratio:.2}x"),
        medium if medium < 99.95 => format!("{ratio:.1}x"),
        _ => format!("{ratio:.0}x"),
    }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds.abs() {
        short if short < 999.95 => format!("{nanoseconds:.1} ns"),
        medium if medium < 999_950.0 => format!("{:.1} us", nanoseconds / 1e3),
        _ => format!("{:.2} ms", nanoseconds / 1e6),
    }
}
