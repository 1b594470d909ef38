//! An offset changed from outside, over and over, while its clock is read.

use std::fs::{File, OpenOptions};
use std::hint::spin_loop;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::helper::{Helper, shifted};
use super::order::Random;
use super::rows::GOING_ON;
use crate::image::Image;
use crate::{ClockOffsets, Error, Offset, Result};

/// How often the offset changes.
const INTERVAL: Duration = Duration::from_micros(100);

/// CLOCK_MONOTONIC's place among an image's offsets.
const MONOTONIC: usize = 2;

/// What has been seen.
#[derive(Default)]
pub(super) struct Changes {
    /// Ticks of a read while the offset was left alone.
    pub(super) left_alone: Vec<f64>,
    /// Ticks of a read while it was changed; the same number, each taken beside the other.
    pub(super) changed: Vec<f64>,
    count: u32,
    time: Duration,
}

impl Changes {
    /// Microseconds from one change to the next.
    pub(super) fn interval(&self) -> f64 {
        self.time.as_secs_f64() * 1e6 / f64::from(self.count.max(1))
    }

    /// Measures `pairs` more: the same words are written either way, once into the helper's vDSO
    /// and once into this process, so that what else the writing does is on both sides.
    pub(super) fn watch(
        &mut self,
        helper: &mut Helper,
        pairs: u32,
        other_cpu: Option<&CpuSet>,
    ) -> Result<()> {
        let spare = AtomicU64::new(0);
        let spare = Place::own(&spare)?;
        let offset = Place::offset_of(helper)?;
        let words = [word(shifted().monotonic)?, word(Offset::from_secs(-1))?];
        let mut random = Random::new();
        for _ in 0..pairs {
            let mut both = [true, false];
            random.shuffle(&mut both);
            for changes in both {
                let place = if changes { &offset } else { &spare };
                let stop = AtomicBool::new(false);
                let begun = Barrier::new(2);
                let (answer, written) = std::thread::scope(|scope| {
                    let writer = scope.spawn(|| {
                        let waits =
                            other_cpu.is_none_or(|cpu| sched_setaffinity(None, cpu).is_err());
                        begun.wait();
                        place.rewrite(words, &stop, waits)
                    });
                    begun.wait();
                    let answer = helper.ask(&GOING_ON);
                    stop.store(true, Ordering::Relaxed);
                    (answer, writer.join())
                });
                let (count, time) = written
                    .unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
                    .map_err(|e| Error::os("cannot change an offset", e))?;
                if changes {
                    self.changed.extend(answer?);
                    self.count += count;
                    self.time += time;
                } else {
                    self.left_alone.extend(answer?);
                }
            }
        }
        Ok(())
    }
}

/// A word in a process's memory.
struct Place {
    memory: File,
    at: u64,
}

impl Place {
    fn own(word: &AtomicU64) -> Result<Self> {
        Self::open("self", word.as_ptr() as u64)
    }

    /// The word that CLOCK_MONOTONIC is shifted by.
    fn offset_of(helper: &Helper) -> Result<Self> {
        let at = helper.vdso() + (Image::compose()?.offsets_at() + 8 * MONOTONIC) as u64;
        let place = Self::open(&helper.pid().to_string(), at)?;
        let mut found = [0; 8];
        place
            .memory
            .read_exact_at(&mut found, at)
            .map_err(|e| Error::os("cannot read an offset", e))?;
        if u64::from_le_bytes(found) != word(shifted().monotonic)? {
            return Err(Error::new("an offset does not lie where it should"));
        }
        Ok(place)
    }

    fn open(process: &str, at: u64) -> Result<Self> {
        let path = format!("/proc/{process}/mem");
        let memory = OpenOptions::new().read(true).write(true).open(&path);
        let memory = memory.map_err(|e| Error::os(format!("cannot open `{path}`"), e))?;
        Ok(Self { memory, at })
    }

    /// Writes one word and the other in turn until `stop`, and leaves the first; says how often
    /// it was changed, and in what time.
    fn rewrite(
        &self,
        words: [u64; 2],
        stop: &AtomicBool,
        waits: bool,
    ) -> std::io::Result<(u32, Duration)> {
        let start = Instant::now();
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let next = start + INTERVAL * (count + 1);
            if waits {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                spin_loop();
            }
            let word = words[usize::from(count % 2 == 0)];
            self.memory.write_all_at(&word.to_le_bytes(), self.at)?;
            count += 1;
        }
        let time = start.elapsed();
        self.memory.write_all_at(&words[0].to_le_bytes(), self.at)?;
        Ok((count, time))
    }
}

/// How an image holds CLOCK_MONOTONIC's offset.
fn word(monotonic: Offset) -> Result<u64> {
    let offsets = ClockOffsets {
        monotonic,
        ..ClockOffsets::default()
    };
    Ok(Image::words(&offsets)?[MONOTONIC])
}
