//! A terminal with somebody at its keyboard.

use super::sys;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for what is expected on the screen.
const LIMIT: Duration = Duration::from_secs(90);

/// A pseudoterminal. Dropped, it hangs up.
#[derive(Debug)]
pub(crate) struct Terminal {
    screen: File,
    programs: Option<Arc<File>>,
    /// All that was ever on the screen.
    shown: String,
    /// How much of it has been looked at.
    seen: usize,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let (screen, programs) = sys::open_terminal();
        sys::resize(&screen, 24, 80);
        Self {
            screen,
            programs: Some(Arc::new(programs)),
            shown: String::new(),
            seen: 0,
        }
    }

    /// The side that the programs have as their streams.
    pub(super) fn program_side(&self) -> Arc<File> {
        self.programs.clone().expect("the programs' side is open")
    }

    /// Leaves the programs' side to the programs: when the last one goes, the screen ends.
    pub(crate) fn hand_over(&mut self) {
        self.programs = None;
    }

    /// Types; `\x03` is Ctrl-C, `\x1a` Ctrl-Z and `\x1c` Ctrl-\.
    pub(crate) fn send(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text` after what was last waited for, and gives what came
    /// before it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                let before = self.shown[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return before;
            }
            assert!(
                start.elapsed() < LIMIT && self.read(),
                "`{text}` is not shown; this is:\n{}\n--- and since the last look:\n{}",
                &self.shown[..self.seen],
                &self.shown[self.seen..],
            );
        }
    }

    /// Reads more of the screen; false if no program has it open any more.
    fn read(&mut self) -> bool {
        if !sys::is_readable(&self.screen, 100) {
            return true;
        }
        let mut bytes = [0; 4096];
        match self.screen.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(len) => {
                let text = String::from_utf8_lossy(&bytes[..len]);
                self.shown.push_str(&text.replace('\r', ""));
                true
            }
        }
    }

    /// Changes the window's size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        sys::resize(&self.screen, rows, columns);
    }
}
