//! The measurements themselves, each done in the process whose world is measured.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::arch::counter;
use super::exec::Launcher;
use super::parts::Surgeon;
use super::program::Program;
use super::reader::{Reader, Way, ticks_since};
use super::rows::{Action, Row};
use super::side::Side;
use super::waits;
use crate::sys::clock;

/// What a helper keeps between measurements.
pub(super) struct Bench {
    way: Way,
    reader: Reader,
    short: Launcher,
    three_calls: Launcher,
    itself: Launcher,
    given: Option<Launcher>,
    /// Only one helper is asked for this, and not every world would let it.
    surgeon: Option<Surgeon>,
}

impl Bench {
    pub(super) fn new(side: Side, program: Option<&Path>) -> io::Result<Self> {
        let itself = File::open("/proc/self/exe")?;
        Ok(Self {
            way: side.way(),
            reader: Reader::by(side.way()),
            short: Launcher::of(Program::Short.file()?),
            three_calls: Launcher::of(Program::Dynamic.file()?),
            itself: Launcher::with(itself, &[c"bench-part", c"nothing"]),
            given: program.map(File::open).transpose()?.map(Launcher::of),
            surgeon: None,
        })
    }

    /// One round's samples: ticks of the counter for doing the thing once, or KiB.
    pub(super) fn samples(&mut self, row: &Row) -> io::Result<Vec<f64>> {
        if let Action::Read(read) = row.action {
            // Code and data come into the caches.
            self.reader.ticks(read, 256);
        }
        if let Action::Wait(wait) = row.action {
            waits::warm_up(wait)?;
        }
        if let Action::Open(file) = row.action {
            // After as many the call site has been patched.
            timed(30, || File::open(file).map(drop))?;
        }
        let mut all = Vec::new();
        for _ in 0..row.samples {
            match row.action {
                Action::Steps => all.extend(self.surgeon()?.operate()?),
                action => all.push(self.sample(action, row.times)?),
            }
        }
        Ok(all)
    }

    fn surgeon(&mut self) -> io::Result<&mut Surgeon> {
        if self.surgeon.is_none() {
            self.surgeon = Some(Surgeon::new()?);
        }
        self.surgeon.as_mut().ok_or(io::ErrorKind::Other.into())
    }

    fn sample(&mut self, action: Action, times: u32) -> io::Result<f64> {
        match action {
            Action::Read(read) => Ok(self.reader.ticks(read, times)),
            Action::First(clock) => first(&["first", self.way.name(), &clock.to_string()]),
            Action::Wait(wait) => waits::ticks(wait, times),
            Action::FirstWait => first(&["first-wait"]),
            Action::Unlisted => timed(times, || {
                black_box(rustix::process::getppid());
                Ok(())
            }),
            Action::Trapped => timed(times, || {
                black_box(clock::read_by_system_call(libc::CLOCK_REALTIME)?);
                Ok(())
            }),
            Action::Open(file) => timed(times, || File::open(file).map(drop)),
            Action::Exec(Program::Short) => timed(times, || self.short.run()),
            Action::Exec(_) => timed(times, || self.three_calls.run()),
            Action::ExecDynamic => timed(times, || self.itself.run()),
            Action::ExecGiven => match &mut self.given {
                Some(program) => timed(times, || program.run()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            Action::Memory => private_memory(),
            Action::Steps => unreachable!("many samples at once"),
        }
    }
}

/// Ticks that `action` takes, done `times` times.
fn timed(times: u32, mut action: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let start = counter();
    for _ in 0..times {
        action()?;
    }
    Ok(ticks_since(start) / f64::from(times))
}

/// What a program that is started now takes for doing this for the first time, as it says itself.
fn first(part: &[&str]) -> io::Result<f64> {
    let output = Command::new("/proc/self/exe")
        .arg("bench-part")
        .args(part)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .map_err(|_| io::Error::other("a program of the bench has failed"))
}

/// KiB of this process's vDSO that no other process shares.
fn private_memory() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/smaps")?;
    text.lines()
        .skip_while(|line| !line.ends_with("[vdso]"))
        .find_map(|line| line.strip_prefix("Private_Dirty:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| io::Error::other("`/proc/self/smaps` says nothing of the vDSO"))
}
