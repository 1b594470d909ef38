//! A helper process, as the bench sees it.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::cpus::Cpus;
use super::rows::Row;
use super::side::{Side, libfaketime};
use crate::{Backend, ClockOffsets, CommandExt, Error, Offset, Result, TimeNamespace};

/// This program itself.
pub(super) const ITSELF: &str = "/proc/self/exe";

/// A process in one of the worlds; it ends when this is dropped.
pub(super) struct Helper {
    side: Side,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: i32,
    vdso: u64,
}

impl Helper {
    /// Starts the helper of `side` on the CPUs that this process may use; its supervisor on the
    /// others where that is the point.
    pub(super) fn start(side: Side, program: Option<&Path>, cpus: &Cpus) -> Result<Self> {
        let failed = |e| Error::os(format!("cannot start the bench's {} side", side.name()), e);
        let mut command = command(side)?;
        command.args(["bench-side", side.name()]).args(program);
        if let (Side::Across, Some(cpu)) = (side, cpus.chosen) {
            command.args(["--cpu", &cpu.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = match side {
            Side::Across => cpus.on_the_others(|| command.spawn()),
            _ => command.spawn(),
        };
        let mut child = child.map_err(failed)?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are pipes");
        };
        let mut helper = Self {
            side,
            child,
            questions: Some(questions),
            answers: BufReader::new(answers),
            pid: 0,
            vdso: 0,
        };
        let greeting = helper.answer()?;
        let mut words = greeting.split(' ').skip_while(|word| *word != "ready");
        (helper.pid, helper.vdso) = words
            .nth(1)
            .and_then(|pid| pid.parse().ok())
            .zip(words.next().and_then(|vdso| vdso.parse().ok()))
            .ok_or_else(|| helper.lost())?;
        Ok(helper)
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// Its process id, which is not that of a front before it.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Where its vDSO lies.
    pub(super) fn vdso(&self) -> u64 {
        self.vdso
    }

    /// One round's samples of `row`.
    pub(super) fn ask(&mut self, row: &Row) -> Result<Vec<f64>> {
        if let Some(questions) = &mut self.questions {
            writeln!(questions, "{}", row.name).map_err(|e| self.failed(e))?;
        }
        let answer = self.answer()?;
        let samples: Option<Vec<f64>> = answer.split(' ').map(|word| word.parse().ok()).collect();
        samples.ok_or_else(|| self.lost())
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .map_err(|e| self.failed(e))?;
        Ok(line.trim_end().to_owned())
    }

    fn failed(&self, e: io::Error) -> Error {
        Error::os(
            format!("cannot ask the bench's {} side", self.side.name()),
            e,
        )
    }

    fn lost(&self) -> Error {
        Error::new(format!("the bench's {} side has failed", self.side.name()))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.child.wait();
    }
}

/// This program in the world of `side`.
fn command(side: Side) -> Result<Command> {
    let mut command = Command::new(ITSELF);
    match side {
        Side::Inside | Side::Across => {
            command.time_namespace(&TimeNamespace::new(shifted())?.backend(Backend::Guest));
        }
        Side::Kernel => {
            command.args(["run", "--backend=kernel", "--monotonic=+1d"]);
            command.args(["--boottime=+1d", "--", ITSELF]);
        }
        Side::Libfaketime => {
            let library = libfaketime().unwrap_or_default();
            command.env("LD_PRELOAD", library).env("FAKETIME", "+1d");
        }
        _ => {}
    }
    Ok(command)
}

/// Offsets that are not zero, so that nothing can be saved.
pub(super) fn shifted() -> ClockOffsets {
    let day = Offset::from_secs(86_400);
    ClockOffsets {
        realtime: day,
        tai: day,
        monotonic: day,
        boottime: day,
    }
}
