//! `elsewhen agent`: gives containers their namespaces.
//!
//! Container runtimes connect to its socket and hand over the listener of each process that they put
//! into a container. The agent decides which clocks the container has and starts a keeper, which lives
//! as long as that process and all that it starts. So the agent is a door only: it can end and be
//! started again while containers run.

mod closer;
mod connection;
mod containers;
mod log;
mod message;
mod metrics;
mod order;
mod pair;
mod socket;
mod views;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

pub(crate) use order::take;

use crate::supervisor::{Counters, check_adopter};
use crate::sys::peer::peer;
use crate::sys::{process, signal};
use crate::{Error, Result, registry};
use closer::Closer;
use connection::{Connection, Outcome};
use containers::Containers;
use log::{Limit, Line};
use message::Message;
use metrics::Metrics;
use order::{Order, numbers};
use pair::{Pair, Said};
use socket::Socket;

/// Keepers of one user's containers that wait for the first call, unless the user is root or the agent's own:
/// each is a process of the agent's.
const MOST_WAITING: usize = 256;

/// Connections at a time. A runtime holds one for as long as it makes a container.
const MOST_CONNECTIONS: usize = 512;

/// What an agent is started with.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where to listen, if not in the usual place, and if the service manager hands over no socket.
    pub(crate) socket: Option<PathBuf>,
    /// The permissions of the socket.
    pub(crate) mode: u32,
    /// Users who may ask, besides root and the agent's own.
    pub(crate) users: Vec<u32>,
    /// Where to write the counts.
    pub(crate) metrics: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// There is nothing to listen to, or no place for what keepers share; or no container's programs could be
/// given their clocks from here.
pub(crate) fn run(options: Options) -> Result<()> {
    check_adopter()?;
    // Makes the directory that the usual socket lies in, too.
    let counters = Counters::open()?;
    let socket = match Socket::inherited()? {
        Some(socket) => socket,
        None => {
            let path = options.socket.unwrap_or_else(registry::socket);
            Socket::make(&path, options.mode)?
        }
    };
    let _inherited = signal::Inherited::set_aside();
    let signals =
        signal::descriptor(true).map_err(|e| Error::os("cannot make a signal descriptor", e))?;
    raise_limit();
    let closer = Closer::start()?;
    Line::info("started")
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("pid", std::process::id())
        .write();
    views::tell_what_is_missing();
    let mut users = vec![0, rustix::process::geteuid().as_raw()];
    users.extend(&options.users);
    Agent {
        socket,
        signals,
        users,
        closer,
        connections: Vec::new(),
        pairs: Vec::new(),
        containers: Containers::default(),
        counters,
        metrics: options.metrics.map(|file| Metrics::new(file, counters)),
        limit: Limit::default(),
        rests_until: None,
        is_full: false,
    }
    .serve();
    Ok(())
}

/// A connection, a keeper that is being started: each takes a descriptor.
fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

struct Agent {
    socket: Socket,
    signals: OwnedFd,
    users: Vec<u32>,
    closer: Closer,
    connections: Vec<Connection>,
    pairs: Vec<Pair>,
    containers: Containers,
    counters: &'static Counters,
    metrics: Option<Metrics>,
    limit: Limit,
    /// Till when no connection is accepted, for want of descriptors.
    rests_until: Option<Instant>,
    /// Whether it has been said that no connection is accepted, as too many wait to be closed.
    is_full: bool,
}

impl Agent {
    fn serve(&mut self) {
        loop {
            let ready = self.wait();
            // First, since the end of a keeper, which a signal tells, takes it out of the list.
            self.hear_pairs(&ready.pairs);
            if ready.signals && self.heed_signals() {
                return;
            }
            self.read(&ready.connections);
            if ready.socket && !self.rests() {
                self.accept();
            }
            self.close_late();
            if let Some(metrics) = &mut self.metrics
                && let Err(error) = metrics.write()
            {
                Line::warning("metrics").with("error", error).write();
            }
        }
    }

    fn wait(&self) -> Ready {
        let now = Instant::now();
        let accepts = self.rests_until.is_none_or(|until| until <= now);
        let pair_fds: Vec<BorrowedFd<'_>> = self.pairs.iter().filter_map(Pair::as_fd).collect();
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let flags = match accepts {
            true => PollFlags::IN,
            false => PollFlags::empty(),
        };
        fds.push(PollFd::new(&self.socket.listener, flags));
        let connections = self.connections.iter().map(Connection::as_fd);
        fds.extend(connections.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let pairs = pair_fds.iter();
        fds.extend(pairs.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let next = self
            .connections
            .iter()
            .map(Connection::deadline)
            .chain(self.rests_until.filter(|until| *until > now))
            .chain(self.metrics.as_ref().map(Metrics::next))
            .min();
        let timeout = next.map(|at| {
            let left = at.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let _ = poll(&mut fds, timeout.as_ref());
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (own, rest) = fds.split_at(2);
        let (connections, pairs) = rest.split_at(self.connections.len());
        Ready {
            signals: is_ready(&own[0]),
            socket: is_ready(&own[1]) && accepts,
            connections: connections.iter().map(is_ready).collect(),
            pairs: pairs.iter().map(is_ready).collect(),
        }
    }

    /// True if the agent is to end.
    fn heed_signals(&mut self) -> bool {
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
        line.with("container", &pair.container)
            .with("keeper", pid)
            .write();
        self.containers.remove(pair.user, &pair.container);
    }

    fn hear_pairs(&mut self, ready: &[bool]) {
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
                    line("refused", why).write();
                }
                // A container can cause as many as it likes.
                Said::Warning(what) => {
                    let line = line("warning", what);
                    pair.limit.write(line);
                }
            }
        }
    }

    /// Whether connections have to wait until there is room for what was sent by others.
    fn rests(&mut self) -> bool {
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

    fn accept(&mut self) {
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
        self.refuse(&connection, None, &Error::new("too many connections"));
        self.closer.close(connection.user, connection);
    }

    fn read(&mut self, ready: &[bool]) {
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
                Ok(Outcome::Message(message, listener)) => {
                    if let Err(error) = self.hand_over(&message, listener, connection.user) {
                        self.refuse(&connection, Some(&message.state.id), &error);
                    }
                }
                Err(error) => self.refuse(&connection, None, &error),
            }
            self.closer.close(connection.user, connection);
        }
        self.connections = still;
    }

    fn close_late(&mut self) {
        let now = Instant::now();
        while let Some(late) = self.connections.iter().position(|c| c.deadline() <= now) {
            let connection = self.connections.remove(late);
            // One that says nothing has nothing to be refused.
            if !connection.is_silent() {
                let error = Error::new("the message does not come to its end");
                self.refuse(&connection, None, &error);
            }
            self.closer.close(connection.user, connection);
        }
    }

    /// Starts a keeper for what a message hands over.
    ///
    /// If this fails the listener is closed, so that the process's first call fails, and it does not run
    /// at the host's time.
    fn hand_over(&mut self, message: &Message, listener: OwnedFd, user: u32) -> Result<()> {
        let waiting = |pair: &&Pair| pair.user == user && pair.is_waiting;
        if !containers::is_trusted(user)
            && self.pairs.iter().filter(waiting).count() >= MOST_WAITING
        {
            return Err(Error::new(
                "too many of the user's containers are about to start",
            ));
        }
        let container = self.containers.find(message, user)?;
        let id = &message.state.id;
        let order = Order {
            offsets: numbers(&container.offsets),
            name: container.name.clone(),
            proc: !container.host_proc,
            own_filter: false,
            container: Some((id.clone(), container.member.clone())),
            user,
        };
        let pair = Pair::start(&order, id, listener)?;
        let (event, count) = match message.state.is_creating() {
            true => ("container", &self.counters.namespaces),
            false => ("joined", &self.counters.joined),
        };
        count.add();
        self.containers.add(user, id, &container);
        let offsets = &container.offsets;
        Line::info(event)
            .with("container", id)
            .with("namespace", &container.member.id)
            .with("keeper", pair.pid)
            .with("user", user)
            .with("realtime", offsets.realtime)
            .with("tai", offsets.tai)
            .with("monotonic", offsets.monotonic)
            .with("boottime", offsets.boottime)
            .with("proc", if container.host_proc { "off" } else { "on" })
            .write();
        self.pairs.push(pair);
        Ok(())
    }

    fn refuse(&mut self, connection: &Connection, id: Option<&str>, error: &Error) {
        self.counters.refusals.add();
        let mut line = Line::warning("refused").with("user", connection.user);
        if let Some(id) = id {
            line = line.with("container", id);
        }
        self.warn(line.with("error", error));
    }

    /// Writes a line that anybody may have caused, if there are not too many of these.
    fn warn(&mut self, line: Line) {
        self.limit.write(line);
    }
}

/// What there is to be done.
struct Ready {
    signals: bool,
    socket: bool,
    connections: Vec<bool>,
    /// Of those that may have something to say.
    pairs: Vec<bool>,
}
