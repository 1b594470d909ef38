//! The report as the README has it: ratios to the host.

use super::display::ratio;
use super::report::{Report, RowReport};
use super::rows::Group;
use super::side::Side;

/// The columns, and what stands above them.
const COLUMNS: [(Side, &str); 5] = [
    (Side::Crowded, "while 100 namespaces run"),
    (Side::Kernel, "kernel's time namespace"),
    (Side::Inside, "**elsewhen**"),
    (Side::Libfaketime, "libfaketime"),
    (Side::SystemCall, "system call"),
];

impl Report {
    /// Ratios to the host, as a table in Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("| × host |");
        for (_, title) in COLUMNS {
            text += &format!(" {title} |");
        }
        text += " elsewhen × kernel's |\n|---|";
        text += &"---:|".repeat(COLUMNS.len() + 1);
        text += "\n";
        for group in Group::TABLE {
            let rows = self.rows_of(group).filter(|row| row.unit == "ns");
            for (i, row) in rows.enumerate() {
                if i == 0 {
                    let empty = " |".repeat(COLUMNS.len() + 1);
                    text += &format!("| *{}* |{empty}\n", group.title());
                }
                text += &line(row);
            }
        }
        let change = &self.change;
        let [low, high] = change.interval;
        text += &format!(
            "\n{}.\nReads of a clock whose offset changes every {:.0} µs take {:.3} of those with one \
             left alone (95 %: {low:.3} to {high:.3}).\n",
            self.place(),
            change.every_us,
            change.ratio,
        );
        for side in &self.sides {
            if let Some(absent) = &side.absent {
                text += &format!("Not measured: {}: {absent}.\n", side.title);
            }
        }
        text
    }
}

fn line(row: &RowReport) -> String {
    let mut line = format!("| {} |", row.title);
    for (side, _) in COLUMNS {
        let cell = row.cells.iter().find(|cell| cell.side == side.name());
        let ratio = cell.and_then(|cell| cell.ratio);
        line += &entry(row, side, ratio, Side::Host);
    }
    let inside = row.cells.iter().find(|it| it.side == Side::Inside.name());
    let to_kernel = inside.and_then(|cell| cell.ratio_to_kernel);
    line += &entry(row, Side::Inside, to_kernel, Side::Kernel);
    line + "\n"
}

/// The ratio of `side` to `against`, and the target that it misses.
fn entry(row: &RowReport, side: Side, measured: Option<f64>, against: Side) -> String {
    let Some(measured) = measured else {
        return " – |".to_owned();
    };
    let value = ratio(measured).replace('x', "");
    let missed = row
        .targets
        .iter()
        .find(|it| side == Side::Inside && it.against == Some(against.name()) && !it.met);
    match missed {
        Some(target) if target.kind == "more" => {
            format!(" {value} (misses {} ns more) |", target.at_most)
        }
        Some(target) => format!(" {value} (misses {:.2}) |", target.at_most),
        None => format!(" {value} |"),
    }
}
