//! `elsewhen ls`: the namespaces that are running.

use super::args::LsArgs;
use super::view::{View, views};
use super::{Failure, print, print_json};
use crate::TimeNamespace;
use crate::clock::ClockOffsets;
use crate::line::shown;

const HEAD: [&str; 6] = ["NAME", "PID", "OWNER", "PROCESSES", "TIME", "OFFSETS"];

/// Carries out `elsewhen ls`.
pub(super) fn ls(args: &LsArgs) -> std::result::Result<i32, Failure> {
    let views = views(TimeNamespace::list()?)?;
    if args.json {
        print_json(&views)?;
    } else if !views.is_empty() {
        print(&table(&views))?;
    }
    Ok(0)
}

fn table(views: &[View]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(views.iter().map(row));
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match HEAD[column] {
            "PID" | "PROCESSES" => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn row(view: &View) -> [String; 6] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        or_none(view.name.clone()),
        or_none(view.pid().map(|pid| pid.to_string())),
        shown(view.owner.shown().as_ref()),
        view.processes().count().to_string(),
        view.time(),
        shifts(&view.shifts),
    ]
}

/// The offsets that there are; TAI's only where it does not follow REALTIME's.
fn shifts(offsets: &ClockOffsets) -> String {
    let all = [
        ("realtime", offsets.realtime, !offsets.realtime.is_zero()),
        ("tai", offsets.tai, offsets.tai != offsets.realtime),
        ("monotonic", offsets.monotonic, !offsets.monotonic.is_zero()),
        ("boottime", offsets.boottime, !offsets.boottime.is_zero()),
    ];
    let told = all.iter().filter(|(_, _, is_told)| *is_told);
    let told: Vec<_> = told
        .map(|(clock, offset, _)| format!("{clock} {offset}"))
        .collect();
    match told.is_empty() {
        true => "none".to_owned(),
        false => told.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    #[test]
    fn only_what_is_shifted_is_told() {
        let day = Offset::from_secs(86_400);
        let mut offsets = ClockOffsets::default();
        assert_eq!(shifts(&offsets), "none");
        offsets.realtime = day;
        assert_eq!(shifts(&offsets), "realtime +86400, tai +0");
        offsets.tai = day;
        offsets.boottime = day;
        assert_eq!(shifts(&offsets), "realtime +86400, boottime +86400");
    }
}
