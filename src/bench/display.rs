//! The report for people: one line a row, one column a world.

use std::fmt::{self, Display, Formatter};

use super::report::{Cell, Report, RowReport};
use super::rows::Side;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        let place = match machine.cpu {
            Some(cpu) => format!("on CPU {cpu}"),
            None => "on all CPUs".to_owned(),
        };
        writeln!(
            f,
            "{}, Linux {}, clock source {}; medians of {} rounds {place}\n",
            machine.processor, machine.kernel, machine.clock_source, self.rounds,
        )?;
        let mut header = format!("{:<46}", "");
        for side in Side::ALL {
            header += &format!("{:>11}{:8}", side.name(), "");
        }
        writeln!(f, "{}", header.trim_end())?;
        for row in &self.rows {
            self::row(f, row)?;
        }
        writeln!(f, "\nparts of an exec inside")?;
        for part in &self.exec_parts {
            writeln!(f, "{:<64}{:>11}", part.title, time(part.median))?;
        }
        Ok(())
    }
}

fn row(f: &mut Formatter<'_>, row: &RowReport) -> fmt::Result {
    let mut line = format!("{:<46}", row.title);
    for side in Side::ALL {
        match row.cells.iter().find(|cell| cell.side == side.name()) {
            Some(cell) => line += &self::cell(cell, row.unit),
            None => line += &format!("{:19}", ""),
        }
    }
    writeln!(f, "{}", line.trim_end())
}

fn cell(cell: &Cell, unit: &str) -> String {
    let value = match unit {
        "ns" => time(cell.median),
        unit => format!("{:.0} {unit}", cell.median),
    };
    match cell.ratio {
        Some(ratio) if cell.side != Side::Host.name() => format!("{value:>11}{ratio:>7.2}x"),
        _ => format!("{value:>11}{:8}", ""),
    }
}

fn time(nanoseconds: f64) -> String {
    if nanoseconds.abs() < 1000.0 {
        format!("{nanoseconds:.1} ns")
    } else {
        format!("{:.1} us", nanoseconds / 1000.0)
    }
}
