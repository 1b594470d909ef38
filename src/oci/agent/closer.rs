//! Closes what strangers have sent.
//!
//! To close a descriptor may last as long as its sender likes: a file of a FUSE file system, a TCP socket
//! with SO_LINGER. So threads of their own do that, and the loop goes on. There are so many of them, and so
//! much may wait for them; then nothing more is taken in until there is room.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::containers::is_trusted;
use crate::{Error, Result};

/// Threads, each of which may be at something that lasts.
const MOST_THREADS: usize = 32;

/// Of these, for what one user has sent who is neither root nor the agent's own.
const SHARE: usize = 8;

/// Connections that may wait before it is full.
const MOST_WAITING: usize = 256;

/// A thread does nothing but to let go.
const STACK: usize = 64 << 10;

/// Something to be closed, and the user who has sent it.
type Closed = (u32, Box<dyn Send>);

/// The threads' end of it, and the loop's.
#[derive(Clone, Default)]
pub(super) struct Closer(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Closed>,
    /// Whose things are being closed, by a thread each.
    closing: Vec<u32>,
    threads: usize,
}

impl Closer {
    /// Starts the first thread.
    ///
    /// # Errors
    /// As for pthread_create(3).
    pub(super) fn start() -> Result<Self> {
        let closer = Self::default();
        closer.state().threads = 1;
        closer
            .add_thread()
            .map_err(|e| Error::os("cannot start a thread", e))?;
        Ok(closer)
    }

    /// Closes a connection, with what has come by it and what still lies in its queue.
    pub(super) fn close(&self, user: u32, connection: impl Send + 'static) {
        let mut state = self.state();
        state.waiting.push_back((user, Box::new(connection)));
        let are_busy = state.closing.len() + state.waiting.len() > state.threads;
        if are_busy && state.threads < MOST_THREADS {
            state.threads += 1;
            drop(state);
            // Without it, it waits for those that are there.
            if self.add_thread().is_err() {
                self.state().threads -= 1;
            }
        }
        self.0.1.notify_one();
    }

    /// Whether so much waits that no more is to be taken in.
    pub(super) fn is_full(&self) -> bool {
        self.state().waiting.len() >= MOST_WAITING
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_thread(&self) -> std::io::Result<()> {
        let closer = self.clone();
        thread::Builder::new()
            .name("closer".to_owned())
            .stack_size(STACK)
            .spawn(move || closer.work())
            .map(drop)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            while let Some((user, connection)) = state.take() {
                drop(state);
                drop(connection);
                state = self.state();
                state.done(user);
            }
            // One is enough for what comes at its usual pace.
            if state.threads > 1 && state.threads > state.closing.len() + 1 {
                state.threads -= 1;
                return;
            }
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// The first that may be closed now.
    fn take(&mut self) -> Option<Closed> {
        let has_room = |user: u32| {
            let theirs = self.closing.iter().filter(|other| **other == user).count();
            is_trusted(user) || theirs < SHARE
        };
        let place = self.waiting.iter().position(|(user, _)| has_room(*user))?;
        let taken = self.waiting.remove(place)?;
        self.closing.push(taken.0);
        Some(taken)
    }

    fn done(&mut self, user: u32) {
        if let Some(place) = self.closing.iter().position(|other| *other == user) {
            self.closing.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    /// Says that its end has begun, which then lasts until it may end.
    struct Long(Sender<()>, Arc<Mutex<()>>);

    impl Drop for Long {
        fn drop(&mut self) {
            let _ = self.0.send(());
            drop(self.1.lock());
        }
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    fn count(begun: &Receiver<()>, many: usize) {
        for _ in 0..many {
            begun.recv_timeout(PATIENCE).unwrap();
        }
    }

    #[test]
    fn one_users_descriptors_do_not_keep_anothers_open() {
        let closer = Closer::start().unwrap();
        let (says, begun) = channel();
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        for _ in 0..3 * MOST_THREADS {
            closer.close(70_001, Long(says.clone(), Arc::clone(&gate)));
        }
        count(&begun, SHARE);
        let (others, other) = channel();
        closer.close(70_002, Long(others, Arc::default()));
        other.recv_timeout(PATIENCE).unwrap();
        assert!(begun.try_recv().is_err());
        drop(held);
        count(&begun, 3 * MOST_THREADS - SHARE);
    }

    #[test]
    fn it_is_full_until_what_waits_is_closed() {
        let closer = Closer::start().unwrap();
        let (says, begun) = channel();
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        for _ in 0..MOST_THREADS {
            closer.close(0, Long(says.clone(), Arc::clone(&gate)));
        }
        count(&begun, MOST_THREADS);
        for _ in 0..MOST_WAITING {
            assert!(!closer.is_full());
            closer.close(0, Long(says.clone(), Arc::clone(&gate)));
        }
        assert!(closer.is_full());
        drop(held);
        count(&begun, MOST_WAITING);
        assert!(!closer.is_full());
        assert!(closer.state().threads <= MOST_THREADS);
    }
}
