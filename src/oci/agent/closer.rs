//! Closes what strangers have sent.
//!
//! To close a descriptor may last as long as its sender likes: a file of a FUSE file system, a TCP socket
//! with SO_LINGER. So another thread does that, and the loop goes on.

use std::sync::mpsc::{self, Sender};

use crate::{Error, Result};

/// The thread's end of it.
pub(super) struct Closer(Sender<Box<dyn Send>>);

impl Closer {
    /// Starts the thread, which ends with the process.
    ///
    /// # Errors
    /// As for pthread_create(3).
    pub(super) fn start() -> Result<Self> {
        let (sender, receiver) = mpsc::channel::<Box<dyn Send>>();
        std::thread::Builder::new()
            .name("closer".to_owned())
            .spawn(move || receiver.into_iter().for_each(drop))
            .map_err(|e| Error::os("cannot start a thread", e))?;
        Ok(Self(sender))
    }

    /// Closes a connection, with what has come by it and what still lies in its queue.
    pub(super) fn close(&self, connection: impl Send + 'static) {
        // Without the thread it is closed here.
        let _ = self.0.send(Box::new(connection));
    }
}
