//! What runtimes hand over, and the keepers that are started for it.

use super::Agent;
use super::containers::{self, Found};
use super::deciding::{Decided, Request};
use super::log::Line;
use super::order::{Order, numbers};
use super::pair::Pair;
use crate::{Error, Result};

/// Keepers of one user's containers that wait for the first call, unless the user is root or the agent's own:
/// each is a process of the agent's.
const MOST_WAITING: usize = 256;

impl Agent {
    /// Takes what a runtime hands over: at once, or when it is known which clocks it is to have.
    pub(super) fn take(&mut self, request: Request) {
        let (user, id) = (request.user, &request.message.state.id);
        if request.reads() || self.deciding.knows(user, id) {
            self.deciding.add(request);
            return;
        }
        let found = self.containers.find(&request.message, user);
        self.settle(request, found);
    }

    /// Goes on with the requests whose clocks are known by now.
    pub(super) fn decide(&mut self, is_told: bool) {
        if is_told {
            self.apart.heed();
        }
        while let Some((request, decided)) = self.deciding.next(&self.apart) {
            let found = match decided {
                Decided::Made(made) => made.map(|made| Found::made(made, &request.message)),
                Decided::Joins => self.containers.find(&request.message, request.user),
            };
            self.settle(request, found);
        }
    }

    fn settle(&mut self, request: Request, found: Result<Found>) {
        let (user, id) = (request.user, request.message.state.id.clone());
        let settled = found.and_then(|found| self.hand_over(request, &found));
        if let Err(error) = settled {
            self.refuse(user, Some(&id), &error);
        }
    }

    /// Starts a keeper for what a message hands over.
    ///
    /// If this fails the listener is closed, so that the process's first call fails, and it does not run
    /// at the host's time.
    fn hand_over(&mut self, request: Request, found: &Found) -> Result<()> {
        let Request {
            message,
            listener,
            user,
        } = request;
        let waiting = |pair: &&Pair| pair.user == user && pair.is_waiting;
        if !containers::is_trusted(user)
            && self.pairs.iter().filter(waiting).count() >= MOST_WAITING
        {
            return Err(Error::new(
                "too many of the user's containers are about to start",
            ));
        }
        let container = &found.container;
        let id = &message.state.id;
        let order = Order {
            offsets: numbers(&container.offsets),
            name: container.name.clone(),
            proc: !container.host_proc,
            own_filter: false,
            container: Some((id.clone(), container.member.clone())),
            beside: found.beside,
            user,
        };
        let pair = Pair::start(&self.apart, &order, id, listener)?;
        let (event, count) = match message.state.is_creating() {
            true => ("container", &self.counters.namespaces),
            false => ("joined", &self.counters.joined),
        };
        count.add();
        self.containers.add(user, id, found);
        let offsets = &container.offsets;
        let line = Line::info(event)
            .with("container", id)
            .with("namespace", &container.member.id)
            .with("keeper", pair.pid)
            .with("user", user)
            .with("realtime", offsets.realtime)
            .with("tai", offsets.tai)
            .with("monotonic", offsets.monotonic)
            .with("boottime", offsets.boottime)
            .with("proc", if container.host_proc { "off" } else { "on" });
        self.pairs.push(pair);
        self.log(user, line);
        Ok(())
    }

    pub(super) fn refuse(&mut self, user: u32, id: Option<&str>, error: &Error) {
        self.counters.refusals.add();
        let mut line = Line::warning("refused").with("user", user);
        if let Some(id) = id {
            line = line.with("container", id);
        }
        self.warn(line.with("error", error));
    }
}
