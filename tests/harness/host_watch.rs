//! A watch over the host's clocks for as long as something runs that must not move them.

use super::clock::{Host, SECOND};
use super::sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the clocks are looked at.
const EVERY: Duration = Duration::from_millis(50);

/// More than any daemon that keeps time moves a clock by at once, and less than the tests' own attempts do.
const MOST: i128 = SECOND / 2;

/// A watch. Dropped, it ends: the test fails if the clocks were moved meanwhile, and they are put back.
pub(crate) struct HostWatch {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl HostWatch {
    pub(crate) fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let thread = std::thread::spawn(move || watch(&ended));
        Self {
            ends,
            thread: Some(thread),
        }
    }
}

/// What was wrong, if anything.
fn watch(ends: &AtomicBool) -> Option<String> {
    let (before, kernel) = (Host::now(), sys::adjtimex());
    loop {
        // Once more after the end.
        let is_last = ends.load(Ordering::Acquire);
        let moved = before.moved();
        if moved.abs() > MOST {
            before.put_back();
            return Some(format!(
                "the host's time of day was moved by {moved} ns; put back"
            ));
        }
        let now = sys::adjtimex();
        if now != kernel {
            return Some(format!(
                "the host's tick and TAI were {kernel:?}, and are {now:?}"
            ));
        }
        if is_last {
            return None;
        }
        std::thread::sleep(EVERY);
    }
}

impl Drop for HostWatch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A second panic would abort the others.
        if let Ok(Some(wrong)) = thread.join()
            && !std::thread::panicking()
        {
            panic!("{wrong}");
        }
    }
}
