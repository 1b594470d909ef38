//! Many namespaces at once, in each a program that sleeps.

use std::io::{BufRead, BufReader, PipeWriter, pipe};
use std::process::{Child, Command, Stdio};

use super::helper::{ITSELF, shifted};
use crate::{Backend, CommandExt, Error, Result, TimeNamespace};

const MEMBERS: usize = 100;

/// The programs; they end when this is dropped, or when this process does.
pub(super) struct Crowd {
    members: Vec<Child>,
    door: Option<PipeWriter>,
}

impl Crowd {
    /// Starts each in a namespace of its own, and waits until all sleep.
    pub(super) fn gather() -> Result<Self> {
        let failed = |e| Error::os("cannot start 100 namespaces", e);
        let namespace = TimeNamespace::new(shifted())?.backend(Backend::Guest);
        let (inner, door) = pipe().map_err(failed)?;
        let mut crowd = Self {
            members: Vec::with_capacity(MEMBERS),
            door: Some(door),
        };
        for _ in 0..MEMBERS {
            let mut member = Command::new(ITSELF)
                .args(["bench-part", "stay"])
                .stdin(inner.try_clone().map_err(failed)?)
                .stdout(Stdio::piped())
                .time_namespace(&namespace)
                .spawn()
                .map_err(failed)?;
            let answer = member.stdout.take();
            crowd.members.push(member);
            let mut line = String::new();
            if let Some(answer) = answer {
                BufReader::new(answer)
                    .read_line(&mut line)
                    .map_err(failed)?;
            }
            if line.trim_end() != "ready" {
                return Err(Error::new("cannot start 100 namespaces: one has ended"));
            }
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.door = None;
        for member in &mut self.members {
            let _ = member.wait();
        }
    }
}
