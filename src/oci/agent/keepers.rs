//! What keepers say, and what signals do.

use std::os::fd::AsFd;

use super::log::Line;
use super::pair::{Pair, Said};
use super::{Agent, metrics};
use crate::sys::{process, signal};

impl Agent {
    /// True if the agent is to end.
    pub(super) fn heed_signals(&mut self) -> bool {
        let mut ends = false;
        while let Some(arrived) = signal::next(self.signals.as_fd()) {
            match arrived.signal {
                libc::SIGTERM | libc::SIGINT => ends = true,
                libc::SIGUSR1 => metrics::line(self.counters).write(),
                _ => {}
            }
        }
        while let Ok(Some((pid, change))) = process::next_change() {
            let status = match change {
                process::Change::Exited(code) => code,
                process::Change::Killed(signal) => 128 + signal,
                _ => continue,
            };
            self.pair_ended(pid, status);
        }
        if ends {
            Line::info("stopped").write();
        }
        ends
    }

    fn pair_ended(&mut self, pid: i32, status: i32) {
        let Some(place) = self.pairs.iter().position(|pair| pair.pid == pid) else {
            return;
        };
        let mut pair = self.pairs.swap_remove(place);
        self.tell(&mut pair);
        let line = match status {
            0 => Line::info("ended"),
            _ => Line::warning("keeper-failed").with("status", status),
        };
        let line = line.with("container", &pair.container).with("keeper", pid);
        self.log(pair.user, line);
        self.containers.remove(pair.user, &pair.container);
    }

    pub(super) fn hear_pairs(&mut self, ready: &[bool]) {
        // In the order in which they were asked for.
        let mut pairs = std::mem::take(&mut self.pairs);
        let open = pairs.iter_mut().filter(|pair| pair.as_fd().is_some());
        for (pair, _) in open.zip(ready).filter(|(_, ready)| **ready) {
            self.tell(pair);
        }
        self.pairs = pairs;
    }

    /// Logs what a keeper has said.
    fn tell(&mut self, pair: &mut Pair) {
        loop {
            let said = pair.hear();
            let line = |event, error| {
                let line = Line::warning(event).with("container", &pair.container);
                line.with("keeper", pair.pid).with("error", error)
            };
            match said {
                Said::Nothing => return,
                Said::Ready => {}
                Said::Failed(why) => {
                    self.counters.refusals.add();
                    let line = line("refused", why);
                    pair.limit.write(line);
                }
                // A container can cause as many as it likes.
                Said::Warning(what) => {
                    let line = line("warning", what);
                    pair.limit.write(line);
                }
            }
        }
    }
}
