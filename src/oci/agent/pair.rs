//! The keepers that this agent has started: each a program of its own, which outlives the agent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use super::order::Order;
use crate::sys::channel;
use crate::{Error, Result};

/// A keeper.
pub(super) struct Pair {
    pub(super) pid: i32,
    /// The container that it serves a part of.
    pub(super) container: String,
    /// The user who has made the container.
    pub(super) user: u32,
    /// Until it serves.
    socket: Option<OwnedFd>,
}

/// What a keeper has said.
pub(super) enum Said {
    Nothing,
    /// It serves.
    Ready,
    /// It cannot, and ends.
    Failed(String),
}

impl Pair {
    /// Starts one.
    ///
    /// # Errors
    /// As for fork(2), execve(2) and socketpair(2).
    pub(super) fn start(order: &Order, container: &str, listener: OwnedFd) -> Result<Self> {
        let (ours, theirs) = channel::pair().map_err(|e| Error::os("cannot make a socket", e))?;
        order.send(ours.as_fd(), listener.as_fd())?;
        let child = Command::new("/proc/self/exe")
            .arg("adopt")
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::os("cannot start a keeper", e))?;
        Ok(Self {
            pid: child.id().cast_signed(),
            container: container.to_owned(),
            user: order.user,
            socket: Some(ours),
        })
    }

    /// What is to be looked at, as long as something is to be heard.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Hears what it has said.
    pub(super) fn hear(&mut self) -> Said {
        let Some(socket) = &self.socket else {
            return Said::Nothing;
        };
        let mut bytes = [0; 1024];
        let len = match channel::receive(socket, &mut bytes, false) {
            Ok(received) => received.len,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Said::Nothing,
            Err(_) => 0,
        };
        self.socket = None;
        match bytes[..len].split_first() {
            Some((b'!', _)) => Said::Ready,
            Some((_, text)) => Said::Failed(String::from_utf8_lossy(text).into_owned()),
            // It has been killed, which its end will tell.
            None => Said::Nothing,
        }
    }
}
