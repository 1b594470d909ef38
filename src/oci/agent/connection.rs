//! One connection: bytes and descriptors, up to a whole message.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use super::message::{MOST_BYTES, Message, Parsed};
use crate::{Error, Result};

/// A runtime may connect long before it has made the container.
const SILENCE: Duration = Duration::from_secs(60);

/// What has begun to come comes at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// More descriptors make no message.
const MOST_DESCRIPTORS: usize = 8;

/// The kernel's own limit for one message (`SCM_MAX_FD`): what there were no room for, it would close at once.
const ROOM: usize = 253;

/// A connection.
pub(super) struct Connection {
    socket: OwnedFd,
    /// The peer's user, as the kernel knows it.
    pub(super) user: u32,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    deadline: Instant,
}

/// What has become of a connection.
pub(super) enum Outcome {
    /// More is to come.
    Open,
    /// Closed without a word.
    Empty,
    Message(Box<Message>, OwnedFd),
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, user: u32) -> Self {
        Self {
            socket,
            user,
            bytes: Vec::new(),
            descriptors: Vec::new(),
            deadline: Instant::now() + SILENCE,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether nothing has come yet.
    pub(super) fn is_silent(&self) -> bool {
        self.bytes.is_empty()
    }

    /// When it is closed.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// No message will come of it.
    pub(super) fn read(&mut self) -> Result<Outcome> {
        let mut part = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ROOM))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut part)],
            &mut ancillary,
            flags,
        );
        let received = match received {
            Ok(received) => received,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Outcome::Open),
            Err(e) => return Err(Error::os("the connection failed", e.into())),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || self.descriptors.len() > MOST_DESCRIPTORS
        {
            return Err(Error::new("too many descriptors came"));
        }
        if received.bytes == 0 {
            return match self.is_silent() {
                true => Ok(Outcome::Empty),
                false => Err(Error::new("the message ends too early")),
            };
        }
        let is_first = self.is_silent();
        if is_first {
            self.deadline = Instant::now() + PATIENCE;
        }
        self.bytes.extend_from_slice(&part[..received.bytes]);
        // To read it all anew for each part would cost its square; the first one tells what is none at all.
        let may_be_whole = matches!(self.bytes.last(), Some(b'}' | b' ' | b'\t' | b'\r' | b'\n'));
        let parsed = match is_first || may_be_whole {
            true => Message::parse(&self.bytes)?,
            false => Parsed::Part,
        };
        match parsed {
            Parsed::Whole(message) => {
                let listener = message.listener(&mut self.descriptors)?;
                Ok(Outcome::Message(message, listener))
            }
            Parsed::Part if self.bytes.len() >= MOST_BYTES => {
                Err(Error::new("the message is too long"))
            }
            Parsed::Part => Ok(Outcome::Open),
        }
    }
}
