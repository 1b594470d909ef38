//! A helper process, as the bench sees it.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::rows::{Row, Side};
use crate::{ClockOffsets, CommandExt, Error, Offset, Result, TimeNamespace};

/// A process in one of the worlds; it ends when this is dropped.
pub(super) struct Helper {
    side: Side,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts the helper of `side` on the CPUs that this process may use.
    pub(super) fn start(side: Side, program: Option<&Path>) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["bench-side", side.name()])
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if side == Side::Inside {
            command.time_namespace(&TimeNamespace::new(shifted())?);
        }
        let failed = |e| Error::os(format!("cannot start the bench's {} side", side.name()), e);
        let mut child = command.spawn().map_err(failed)?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are pipes");
        };
        let mut helper = Self {
            side,
            child,
            questions: Some(questions),
            answers: BufReader::new(answers),
        };
        match helper.answer()?.as_str() {
            "ready" => Ok(helper),
            _ => Err(helper.lost()),
        }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// One round's samples of `row`.
    pub(super) fn ask(&mut self, row: Row) -> Result<Vec<f64>> {
        if let Some(questions) = &mut self.questions {
            writeln!(questions, "{}", row.name()).map_err(|e| self.failed(e))?;
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

/// Offsets that are not zero, so that nothing can be saved.
fn shifted() -> ClockOffsets {
    let day = Offset::from_secs(86_400);
    ClockOffsets {
        realtime: day,
        tai: day,
        monotonic: day,
        boottime: day,
    }
}
