//! The keepers that this agent has started: each a program of its own, which outlives the agent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::apart::Apart;
use super::log::Limit;
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
    /// Until it has ended.
    socket: Option<OwnedFd>,
    /// Whether it has yet to serve.
    pub(super) is_waiting: bool,
    /// Of what its programs cause.
    pub(super) limit: Limit,
}

/// What a keeper has said.
pub(super) enum Said {
    Nothing,
    /// It serves.
    Ready,
    /// It cannot, and ends.
    Failed(String),
    /// Something about a program of the container's.
    Warning(String),
}

impl Pair {
    /// Starts one.
    ///
    /// # Errors
    /// As for fork(2), execve(2) and socketpair(2).
    pub(super) fn start(
        apart: &Apart,
        order: &Order,
        container: &str,
        listener: OwnedFd,
    ) -> Result<Self> {
        let (ours, theirs) = channel::pair().map_err(|e| Error::os("cannot make a socket", e))?;
        order.send(ours.as_fd(), listener.as_fd())?;
        let pid = apart
            .start_keeper(theirs.as_fd())
            .map_err(|e| Error::os("cannot start a keeper", e))?;
        Ok(Self {
            pid: pid.cast_signed(),
            container: container.to_owned(),
            user: order.user,
            socket: Some(ours),
            is_waiting: true,
            limit: Limit::default(),
        })
    }

    /// What is to be looked at, as long as something may be heard.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Hears the next thing that it has said.
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
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        match bytes[..len].split_first() {
            Some((b'!', _)) => {
                self.is_waiting = false;
                Said::Ready
            }
            Some((b'w', line)) => Said::Warning(text(line)),
            Some((_, why)) => Said::Failed(text(why)),
            // It has ended, which a signal tells.
            None => {
                self.socket = None;
                Said::Nothing
            }
        }
    }
}
