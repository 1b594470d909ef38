//! Requests of root's and the agent's own user whose clocks are not decided yet: files have to be read for that, and
//! their file system may take as long as it likes. A thread reads them, and the loop goes on.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::apart::Apart;
use super::containers::{decide, is_trusted};
use super::message::Message;
use crate::registry::Container;
use crate::{Error, Result};

/// What an engine has just written is there at once; a busy disk may take its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads that read, those that never come back among them.
const MOST_READERS: usize = 64;

/// What a runtime has handed over.
pub(super) struct Request {
    pub(super) message: Box<Message>,
    pub(super) listener: OwnedFd,
    pub(super) user: u32,
}

/// What there is to say of a request.
pub(super) enum Decided {
    /// A new container has these clocks, or none.
    Made(Result<Container>),
    /// It joins a container that has been decided by now.
    Joins,
}

type Answer = Receiver<Result<Container>>;

struct Waiting {
    request: Request,
    until: Instant,
    /// Once somebody reads.
    answer: Option<Answer>,
}

/// The requests, in the order in which they came.
#[derive(Default)]
pub(super) struct Deciding {
    waiting: Vec<Waiting>,
    /// Of readers that nobody waits for any more.
    late: Vec<Answer>,
}

impl Request {
    fn is_of(&self, user: u32, id: &str) -> bool {
        self.user == user && self.message.state.id == id
    }

    /// Whether files may have to be read.
    pub(super) fn reads(&self) -> bool {
        self.message.state.is_creating() && is_trusted(self.user)
    }
}

impl Deciding {
    /// Takes a request.
    pub(super) fn add(&mut self, request: Request) {
        self.waiting.push(Waiting {
            request,
            until: Instant::now() + PATIENCE,
            answer: None,
        });
    }

    /// Whether a container of that id is being decided.
    pub(super) fn knows(&self, user: u32, id: &str) -> bool {
        self.waiting.iter().any(|one| one.request.is_of(user, id))
    }

    /// When somebody's patience ends.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|one| one.until).min()
    }

    /// The next request that is decided; has others begun, as far as there is room.
    pub(super) fn next(&mut self, apart: &Apart) -> Option<(Request, Decided)> {
        let now = Instant::now();
        let still_reads = |answer: &Answer| matches!(answer.try_recv(), Err(TryRecvError::Empty));
        self.late.retain(still_reads);
        for place in 0..self.waiting.len() {
            let (earlier, rest) = self.waiting.split_at_mut(place);
            let one = &mut rest[0];
            let is_late = one.until <= now;
            let decided = match &one.answer {
                Some(answer) => match answer.try_recv() {
                    Ok(decided) => Some(decided),
                    Err(TryRecvError::Disconnected) => {
                        Some(Err(Error::new("no thread can be had to read the bundle")))
                    }
                    Err(TryRecvError::Empty) if is_late => Some(Err(Error::new(
                        "the bundle's `config.json`, or the file of `resume`, does not come: its file \
                         system does not answer",
                    ))),
                    Err(TryRecvError::Empty) => None,
                },
                None if is_late && one.request.reads() => Some(Err(Error::new(
                    "the file systems of too many other bundles do not answer",
                ))),
                None => {
                    let (user, id) = (one.request.user, &one.request.message.state.id);
                    let is_second = earlier.iter().any(|other| other.request.is_of(user, id));
                    if !is_second && !one.request.reads() {
                        return Some((self.waiting.remove(place).request, Decided::Joins));
                    }
                    if !is_second && self.readers() < MOST_READERS {
                        self.waiting[place].begin(apart);
                    }
                    None
                }
            };
            let Some(decided) = decided else { continue };
            let one = self.waiting.remove(place);
            // It holds one of the places for readers for as long as it reads.
            self.late.extend(one.answer);
            return Some((one.request, Decided::Made(decided)));
        }
        None
    }

    fn readers(&self) -> usize {
        let reading = self.waiting.iter().filter(|one| one.answer.is_some());
        reading.count() + self.late.len()
    }
}

impl Waiting {
    fn begin(&mut self, apart: &Apart) {
        let (says, answer) = channel();
        let message = self.request.message.clone();
        apart.work(move || {
            // Nobody may wait any more.
            let _ = says.send(decide(&message, true));
        });
        self.answer = Some(answer);
    }
}
