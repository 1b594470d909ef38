//! `elsewhen agent`: gives containers their namespaces.
//!
//! Container runtimes connect to its socket and hand over the listener of each process that they put
//! into a container. The agent decides which clocks the container has and starts a keeper, which lives
//! as long as that process and all that it starts. So the agent is a door only: it can end and be
//! started again while containers run.

mod apart;
mod callers;
mod closer;
mod connection;
mod containers;
mod deciding;
mod keepers;
mod log;
mod message;
mod metrics;
mod order;
mod pair;
mod requests;
mod restored;
mod socket;
mod views;

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

pub(crate) use order::take;

use crate::supervisor::{Counters, check_adopter};
use crate::sys::signal;
use crate::{Error, Result, registry};
use apart::Apart;
use closer::Closer;
use connection::Connection;
use containers::Containers;
use deciding::Deciding;
use log::{Limit, Line};
use metrics::Metrics;
use pair::Pair;
use socket::Socket;

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
    let apart = Apart::start()?;
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
        apart,
        closer,
        connections: Vec::new(),
        deciding: Deciding::default(),
        pairs: Vec::new(),
        containers: Containers::default(),
        counters,
        metrics: options.metrics.map(|file| Metrics::new(file, counters)),
        limit: Limit::default(),
        limits: HashMap::new(),
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
    apart: Apart,
    closer: Closer,
    connections: Vec<Connection>,
    deciding: Deciding,
    pairs: Vec<Pair>,
    containers: Containers,
    counters: &'static Counters,
    metrics: Option<Metrics>,
    limit: Limit,
    /// Of what the containers of users cause who are neither root nor the agent's own.
    limits: HashMap<u32, Limit>,
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
            self.decide(ready.decided);
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
        let decided = self.apart.as_fd();
        fds.push(PollFd::from_borrowed_fd(decided, PollFlags::IN));
        let connections = self.connections.iter().map(Connection::as_fd);
        fds.extend(connections.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let pairs = pair_fds.iter();
        fds.extend(pairs.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let next = self
            .connections
            .iter()
            .map(Connection::deadline)
            .chain(self.rests_until.filter(|until| *until > now))
            .chain(self.deciding.next_deadline())
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
        let (own, rest) = fds.split_at(3);
        let (connections, pairs) = rest.split_at(self.connections.len());
        Ready {
            signals: is_ready(&own[0]),
            socket: is_ready(&own[1]) && accepts,
            decided: is_ready(&own[2]),
            connections: connections.iter().map(is_ready).collect(),
            pairs: pairs.iter().map(is_ready).collect(),
        }
    }

    /// Writes a line about a user's container: root's and the agent's own user's are all told.
    fn log(&mut self, user: u32, line: Line) {
        match containers::is_trusted(user) {
            true => line.write(),
            false => self.limits.entry(user).or_default().write(line),
        }
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
    /// Something that lasted has been done.
    decided: bool,
    connections: Vec<bool>,
    /// Of those that may have something to say.
    pairs: Vec<bool>,
}
