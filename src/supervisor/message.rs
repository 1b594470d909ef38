//! What the front and the keeper tell each other: one kind and one number.

use std::os::fd::BorrowedFd;

use crate::sys::{channel, process};

/// Keeper to front: how the command fares. Front to keeper: a signal to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The command has ended; `alone` if nothing of its tree is left.
    Ended { how: End, alone: bool },
    /// The command has stopped by this signal of its terminal's.
    Stopped(i32),
    /// The command goes on.
    Continued,
    /// The front asks whether the command is stopped still, and is told so.
    Still,
    /// The command's process is there, and blocks all signals.
    Born,
    /// What came before that has been passed on: the command may start.
    Ready,
    /// A signal for the command.
    Signal(i32),
    /// A signal that the front's process group has got.
    GroupSignal(i32),
}

/// How the command has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Message {
    fn encode(self) -> [u8; 5] {
        let (kind, number) = match self {
            Message::Ended { how, alone } => (if alone { b'E' } else { b'e' }, how.number()),
            Message::Stopped(signal) => (b's', signal),
            Message::Continued => (b'c', 0),
            Message::Still => (b'?', 0),
            Message::Born => (b'b', 0),
            Message::Ready => (b'r', 0),
            Message::Signal(signal) => (b'k', signal),
            Message::GroupSignal(signal) => (b'g', signal),
        };
        let mut bytes = [kind; 5];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; 5]) -> Option<Self> {
        let number = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        Some(match bytes[0] {
            kind @ (b'e' | b'E') => Message::Ended {
                how: End::from_number(number),
                alone: kind == b'E',
            },
            b's' => Message::Stopped(number),
            b'c' => Message::Continued,
            b'?' => Message::Still,
            b'b' => Message::Born,
            b'r' => Message::Ready,
            b'k' => Message::Signal(number),
            b'g' => Message::GroupSignal(number),
            _ => return None,
        })
    }

    /// Sends the message; a closed other end is found out by reading, not here.
    pub(super) fn send(self, to: BorrowedFd<'_>) {
        let _ = self.try_send(to);
    }

    /// Sends the message; false if there is no room for it now, or nobody to read it.
    pub(super) fn try_send(self, to: BorrowedFd<'_>) -> bool {
        channel::send(to, &self.encode(), None).is_ok()
    }
}

impl End {
    /// The code, or the signal below zero.
    fn number(self) -> i32 {
        match self {
            End::Exited(code) => code,
            End::Killed(signal) => -signal,
        }
    }

    fn from_number(number: i32) -> Self {
        if number < 0 {
            End::Killed(-number)
        } else {
            End::Exited(number)
        }
    }
}

/// Passes on to the command what the front had before there was one, until its [`Message::Ready`] or its end.
pub(super) fn wait_for_front(front: BorrowedFd<'_>, command: i32) {
    loop {
        let mut bytes = [0; 5];
        match channel::receive(front, &mut bytes, true) {
            Ok(received) if received.len == 5 => match Message::decode(bytes) {
                Some(Message::Signal(signal)) => process::kill(command, signal),
                Some(Message::Ready) => return,
                _ => {}
            },
            _ => return,
        }
    }
}

/// What a warning's message begins with; the rest is its line.
const WARNING: u8 = b'w';

/// Hands a line to the front for its standard error.
///
/// # Errors
/// `EAGAIN`: it has not read earlier ones yet. Any other: there is no front any more.
pub(super) fn warn(to: BorrowedFd<'_>, line: &str) -> std::io::Result<()> {
    let mut bytes = vec![WARNING];
    bytes.extend(line.as_bytes().iter().take(MOST_BYTES - 1));
    channel::send(to, &bytes, None)
}

/// The longest message.
const MOST_BYTES: usize = 1024;

/// What a read brought.
pub(super) enum Incoming {
    Message(Message),
    Warning(String),
    Nothing,
    Closed,
}

/// The next message, without waiting.
pub(super) fn receive(from: BorrowedFd<'_>) -> Incoming {
    let mut bytes = [0; MOST_BYTES];
    match channel::receive(from, &mut bytes, false) {
        Ok(received) if received.len == 0 => Incoming::Closed,
        Ok(received) if bytes[0] == WARNING => {
            Incoming::Warning(String::from_utf8_lossy(&bytes[1..received.len]).into_owned())
        }
        Ok(received) => bytes[..received.len]
            .try_into()
            .ok()
            .and_then(Message::decode)
            .map_or(Incoming::Nothing, Incoming::Message),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Incoming::Nothing,
        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Incoming::Nothing,
        // Told once, when the other end closes with something unread: its last words still come.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => receive(from),
        Err(_) => Incoming::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_last_word_is_heard_though_the_other_end_has_left_something_unread() {
        let (ours, theirs) = channel::pair().unwrap();
        let last = Message::Ended {
            how: End::Killed(15),
            alone: true,
        };
        last.send(theirs.as_fd());
        Message::Signal(10).send(ours.as_fd());
        drop(theirs);
        let heard = receive(ours.as_fd());
        assert!(matches!(heard, Incoming::Message(message) if message == last));
        assert!(matches!(receive(ours.as_fd()), Incoming::Closed));
    }
}
