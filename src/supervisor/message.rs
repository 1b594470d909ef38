//! What the front and the keeper tell each other: one kind and one number.

use std::os::fd::BorrowedFd;

use crate::sys::channel;

/// Keeper to front: how the command fares. Front to keeper: a signal to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The command has ended; `alone` if nothing of its tree is left.
    Ended { code: i32, alone: bool },
    /// The command has stopped.
    Stopped,
    /// The command goes on.
    Continued,
    /// A signal for the command.
    Signal(i32),
}

impl Message {
    fn encode(self) -> [u8; 5] {
        let (kind, number) = match self {
            Message::Ended { code, alone: false } => (b'e', code),
            Message::Ended { code, alone: true } => (b'E', code),
            Message::Stopped => (b's', 0),
            Message::Continued => (b'c', 0),
            Message::Signal(signal) => (b'k', signal),
        };
        let mut bytes = [kind; 5];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; 5]) -> Option<Self> {
        let number = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        Some(match bytes[0] {
            b'e' => Message::Ended {
                code: number,
                alone: false,
            },
            b'E' => Message::Ended {
                code: number,
                alone: true,
            },
            b's' => Message::Stopped,
            b'c' => Message::Continued,
            b'k' => Message::Signal(number),
            _ => return None,
        })
    }

    /// Sends the message; a closed other end is found out by reading, not here.
    pub(super) fn send(self, to: BorrowedFd<'_>) {
        let _ = channel::send(to, &self.encode(), None);
    }
}

/// What a read brought.
pub(super) enum Incoming {
    Message(Message),
    Nothing,
    Closed,
}

/// The next message, without waiting.
pub(super) fn receive(from: BorrowedFd<'_>) -> Incoming {
    let mut bytes = [0; 5];
    match channel::receive(from, &mut bytes, false) {
        Ok(received) if received.len == 0 => Incoming::Closed,
        Ok(_) => Message::decode(bytes).map_or(Incoming::Nothing, Incoming::Message),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Incoming::Nothing,
        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Incoming::Nothing,
        Err(_) => Incoming::Closed,
    }
}
