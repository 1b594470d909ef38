//! Who connects, and for how long.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Agent;
use super::connection::{Connection, Outcome};
use super::deciding::Request;
use super::log::Line;
use crate::Error;
use crate::sys::peer::peer;

/// Connections at a time. A runtime holds one for as long as it makes a container.
const MOST_CONNECTIONS: usize = 512;

impl Agent {
    /// Whether connections have to wait until there is room for what was sent by others.
    pub(super) fn rests(&mut self) -> bool {
        let is_full = self.closer.is_full();
        if is_full {
            self.rests_until = Some(Instant::now() + Duration::from_millis(200));
            if !self.is_full {
                Line::warning("full")
                    .with(
                        "error",
                        "descriptors that have been sent take long to close; nobody is heard until then",
                    )
                    .write();
            }
        }
        self.is_full = is_full;
        is_full
    }

    pub(super) fn accept(&mut self) {
        // A few at a time, so that those that are there are heard too.
        for _ in 0..32 {
            let socket = match self.socket.listener.accept() {
                Ok((socket, _)) => OwnedFd::from(socket),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if e.raw_os_error() == Some(libc::ECONNABORTED) => continue,
                Err(e) => {
                    self.rests_until = Some(Instant::now() + Duration::from_millis(200));
                    self.warn(Line::warning("accept").with("error", e));
                    return;
                }
            };
            self.rests_until = None;
            let Ok(peer) = peer(socket.as_fd()) else {
                continue;
            };
            let user = peer.user;
            let why = match self.users.contains(&user) {
                // What it starts is not to be seen either.
                true if peer.pid == 0 => Some(
                    "the runtime is not to be seen in this pid namespace; run the agent in the host's",
                ),
                true => None,
                false => Some("the user may not ask; `--user` says who may"),
            };
            if let Some(why) = why {
                self.counters.refusals.add();
                let line = Line::warning("refused").with("user", user);
                self.warn(line.with("error", why));
                self.closer.close(user, socket);
                continue;
            }
            if self.connections.len() >= MOST_CONNECTIONS {
                self.make_room();
            }
            self.connections.push(Connection::new(socket, user));
        }
    }

    /// Closes a connection of the user who has most: the one that has been silent for longest, or else the
    /// oldest.
    fn make_room(&mut self) {
        let of = |user: u32| self.connections.iter().filter(move |c| c.user == user);
        let user = self
            .connections
            .iter()
            .map(|c| c.user)
            .max_by_key(|user| of(*user).count());
        let theirs = |c: &Connection| Some(c.user) == user;
        let connections = &self.connections;
        let silent = connections.iter().position(|c| theirs(c) && c.is_silent());
        let place = silent.or_else(|| connections.iter().position(theirs));
        let connection = self.connections.remove(place.unwrap_or(0));
        self.refuse(connection.user, None, &Error::new("too many connections"));
        self.closer.close(connection.user, connection);
    }

    pub(super) fn read(&mut self, ready: &[bool]) {
        let mut still = Vec::with_capacity(self.connections.len());
        let connections = std::mem::take(&mut self.connections);
        for (i, mut connection) in connections.into_iter().enumerate() {
            if !ready.get(i).copied().unwrap_or(false) {
                still.push(connection);
                continue;
            }
            match connection.read() {
                Ok(Outcome::Open) => {
                    still.push(connection);
                    continue;
                }
                // A runtime that has found out that it cannot start the container.
                Ok(Outcome::Empty) => {}
                Ok(Outcome::Message(message, listener)) => self.take(Request {
                    message,
                    listener,
                    user: connection.user,
                }),
                Err(error) => self.refuse(connection.user, None, &error),
            }
            self.closer.close(connection.user, connection);
        }
        self.connections = still;
    }

    pub(super) fn close_late(&mut self) {
        let now = Instant::now();
        while let Some(late) = self.connections.iter().position(|c| c.deadline() <= now) {
            let connection = self.connections.remove(late);
            // One that says nothing has nothing to be refused.
            if !connection.is_silent() {
                let error = Error::new("the message does not come to its end");
                self.refuse(connection.user, None, &error);
            }
            self.closer.close(connection.user, connection);
        }
    }
}
