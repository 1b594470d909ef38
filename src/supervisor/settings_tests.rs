use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::supervisor::journal::Journal;
use crate::sys::shared;

impl Settings {
    /// What is remembered, the latest last.
    fn entries(&self) -> Vec<Setting> {
        let mut places: Vec<&Place> = self.places.iter().filter(|p| p.pid() > 0).collect();
        places.sort_by_key(|place| place.age.load(Ordering::Relaxed));
        let read = |place: &&Place| {
            let timer = place.timer.load(Ordering::Relaxed);
            let number = i32::from_le_bytes(timer.to_le_bytes()[..4].try_into().unwrap());
            Setting {
                pid: place.pid(),
                timer: match timer >> 32 {
                    0 => Timer::Id(number),
                    _ => Timer::Descriptor(number),
                },
                spec: [0, 1, 2, 3].map(|i| place.spec[i].load(Ordering::Relaxed)),
                generation: place.generation.load(Ordering::Relaxed),
            }
        };
        places.iter().map(read).collect()
    }
}

/// A process that lives until it is dropped.
struct Process(Child);

impl Process {
    fn start() -> Self {
        let mut cat = Command::new("cat");
        Self(cat.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn settings() -> &'static Settings {
    &shared::map::<Journal>().unwrap().settings
}

fn proc() -> File {
    File::open("/proc").unwrap()
}

fn setting(pid: i32, timer: Timer, sec: i64) -> Setting {
    Setting {
        pid,
        timer,
        spec: [0, 5, sec, 999_999_999],
        generation: 7,
    }
}

fn lost(settings: &Settings) -> u64 {
    settings.lost.load(Ordering::Relaxed)
}

#[test]
fn each_timer_is_remembered_as_it_was_set_last() {
    let (proc, settings) = (proc(), settings());
    let (one, other) = (Process::start(), Process::start());
    let mut expected = Vec::new();
    for pid in [one.pid(), other.pid()] {
        for timer in [Timer::Id(0), Timer::Descriptor(0), Timer::Id(i32::MAX)] {
            settings.note(proc.as_fd(), &setting(pid, timer, 1));
            expected.push(setting(pid, timer, i64::from(pid)));
        }
    }
    for again in &expected {
        settings.note(proc.as_fd(), again);
    }
    assert_eq!(settings.entries(), expected);
    assert_eq!(lost(settings), 0);
}

#[test]
fn a_dead_processs_place_is_taken_before_a_living_ones() {
    let (proc, settings) = (proc(), settings());
    let (dead, living) = (Process::start(), Process::start());
    let (dead_pid, pid) = (dead.pid(), living.pid());
    for id in 0..20_000 {
        settings.note(proc.as_fd(), &setting(dead_pid, Timer::Id(id), 1));
    }
    let full = settings.entries();
    assert_eq!(full.len(), SETTINGS);
    assert!(full.contains(&setting(dead_pid, Timer::Id(19_999), 1)));
    assert!(!full.contains(&setting(dead_pid, Timer::Id(0), 1)));
    let lost_before = lost(settings);
    assert!(lost_before > 0);
    drop(dead);
    for id in 0..1000 {
        settings.note(proc.as_fd(), &setting(pid, Timer::Id(id), 2));
    }
    assert_eq!(lost(settings), lost_before);
    let entries = settings.entries();
    for id in 0..1000 {
        assert!(entries.contains(&setting(pid, Timer::Id(id), 2)), "{id}");
    }
    // Nothing can be noted of who is gone.
    settings.note(proc.as_fd(), &setting(dead_pid, Timer::Id(-1), 3));
    assert_eq!(settings.entries(), entries);
}
