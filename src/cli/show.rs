//! `elsewhen show`: all there is to say of one namespace.

use std::fmt::{self, Display, Formatter};
use std::io::Read;

use rustix::process::geteuid;

use super::args::ShowArgs;
use super::view::{Process, Tree, View, since, views};
use super::{Error, Failure, print_report};
use crate::RunningNamespace;
use crate::line::shown;

/// Carries out `elsewhen show`.
pub(super) fn show(args: &ShowArgs) -> std::result::Result<i32, Failure> {
    let one = RunningNamespace::find(&args.handle)?;
    let view = views(vec![one])?.pop();
    let view = view.ok_or_else(|| Error::new("the namespace has just ended"))?;
    print_report(&view, args.json)?;
    Ok(0)
}

fn line(f: &mut Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{name:<11}{value}")
}

impl Display for View {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            line(f, "name", name)?;
        }
        line(f, "owner", shown(self.owner.shown().as_ref()))?;
        if let Some(since) = since(self) {
            line(f, "since", since)?;
        }
        let strict = if self.strict { ", strict" } else { "" };
        line(f, "backend", format_args!("{}{strict}", self.backend))?;
        line(f, "reads", self.way_of_reads())?;
        line(f, "time", self.time())?;
        let (clocks, offsets) = (&self.clocks, &self.offsets);
        for (clock, now, offset) in [
            ("REALTIME", &clocks.realtime, &offsets.realtime),
            ("TAI", &clocks.tai, &offsets.tai),
            ("MONOTONIC", &clocks.monotonic, &offsets.monotonic),
            ("BOOTTIME", &clocks.boottime, &offsets.boottime),
        ] {
            line(f, clock, format_args!("{now:>21}  {offset}"))?;
        }
        self.trees.iter().try_for_each(|tree| tree.fmt(f))
    }
}

impl View {
    fn way_of_reads(&self) -> String {
        match &self.reads {
            Some(reads) => shown(reads.as_ref()),
            None if self.backend == "kernel" => "the kernel's vDSO".to_owned(),
            None => "as in the namespace around it".to_owned(),
        }
    }
}

impl Display for Tree {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.keeper, self.inner) {
            (Some(keeper), false) => line(f, "keeper", keeper)?,
            (Some(keeper), true) => line(f, "keeper", format_args!("{keeper}, in another tree"))?,
            (None, _) if self.processes.is_empty() => {
                line(f, "keeper", "in another pid namespace")?
            }
            (None, _) => {}
        }
        for process in &self.processes {
            line(
                f,
                "  process",
                format_args!("{:<8} {}", process.pid, process.command()),
            )?;
        }
        Ok(())
    }
}

impl Process {
    /// The command line. It lies in the process's memory, where another user's process can make
    /// us wait for ever: of that, the name in brackets, as ps(1) writes it.
    fn command(&self) -> String {
        let line = match self.uid == geteuid().as_raw() {
            true => command_line(self.pid),
            false => None,
        };
        match line {
            Some(line) => shown(line.as_ref()),
            None => format!("[{}]", shown(self.name.as_ref())),
        }
    }
}

fn command_line(pid: i32) -> Option<String> {
    const MOST: u64 = 400;
    let file = std::fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let words = text.trim_end_matches('\0').replace('\0', " ");
    (!words.is_empty()).then_some(words)
}
