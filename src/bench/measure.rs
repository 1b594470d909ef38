//! The measurements themselves, each done in the process whose world is measured.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::exec::Launcher;
use super::parts::Surgeon;
use super::program::Program;
use super::rows::Row;
use crate::sys::clock;

/// What a helper keeps between measurements.
pub(super) struct Bench {
    short: Launcher,
    dynamic: Launcher,
    program: Option<Launcher>,
    /// Only one helper is asked for this, and not every world would let it.
    surgeon: Option<Surgeon>,
}

impl Bench {
    pub(super) fn new(program: Option<&Path>) -> io::Result<Self> {
        let program = program.map(File::open).transpose()?.map(Launcher::of);
        Ok(Self {
            short: Launcher::of(Program::Short.file()?),
            dynamic: Launcher::of(Program::Dynamic.file()?),
            program,
            surgeon: None,
        })
    }

    /// One round's samples: nanoseconds for doing the thing once, or KiB.
    pub(super) fn samples(&mut self, row: Row) -> io::Result<Vec<f64>> {
        let (times, samples) = row.amount();
        let mut all = Vec::new();
        for _ in 0..samples {
            match row {
                Row::Steps => all.extend(self.surgeon()?.operate()?),
                Row::Memory => all.push(private_memory()?),
                _ => all.push(self.sample(row, times)?),
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

    fn sample(&mut self, row: Row, times: u32) -> io::Result<f64> {
        match row {
            Row::Exec => timed(times, || self.short.run()),
            Row::ExecDynamic => timed(times, || self.dynamic.run()),
            Row::Program => match &mut self.program {
                Some(program) => timed(times, || program.run()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            Row::Unlisted => timed(times, || {
                black_box(rustix::process::getppid());
                Ok(())
            }),
            Row::Realtime => timed(times, || read(libc::CLOCK_REALTIME)),
            Row::Monotonic => timed(times, || read(libc::CLOCK_MONOTONIC)),
            Row::Coarse => timed(times, || read(libc::CLOCK_MONOTONIC_COARSE)),
            Row::SystemCall => timed(times, || {
                clock::read_by_system_call(libc::CLOCK_REALTIME).map(drop_reading)
            }),
            Row::Memory | Row::Steps => unreachable!("these are no loops"),
        }
    }
}

fn read(id: i32) -> io::Result<()> {
    clock::read(id).map(drop_reading)
}

fn drop_reading(reading: libc::timespec) {
    black_box(reading);
}

/// Nanoseconds that `action` takes, done `times` times.
fn timed(times: u32, mut action: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let start = Instant::now();
    for _ in 0..times {
        action()?;
    }
    Ok(nanoseconds(start) / f64::from(times))
}

/// Nanoseconds since `start`. A namespace's clocks tick as the host's do.
pub(super) fn nanoseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9
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
