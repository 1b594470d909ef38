//! One handler for each family of man pages, and the one `match` that finds it.

mod absolute;
mod adjtimex;
mod call_site;
mod clock_gettime;
mod clock_settime;
mod compat;
mod execve;
mod gettimeofday;
mod member;
mod open;
mod redirect;
mod setns;
mod split;
mod sysinfo;
mod time;
pub(super) mod timerfd_settime;
mod unshare;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::door;
use super::journal::Journal;
use super::redirect::{Pool, RedirectSlot};
use super::tracer::Tracer;
use super::views::{self, Next};
use super::warning::Warnings;
use super::worker::Service;
use crate::arch::{AUDIT_COMPAT, AUDIT_NATIVE, X32_BIT, compat as compat_nr, nr};
use crate::clock::{ClockOffsets, Offset};
use crate::filter::FIRST_UNKNOWN;
use crate::inject::{Fault, Found, Injector, Missing, Opener, Task};
use crate::page::CLOSED_COOKIE;
use crate::sys::seccomp::{Answer, Notification};
use absolute::Kind;
pub(crate) use absolute::wait_of;
use call_site::CallSites;

/// A notified call, as its handler sees it.
pub(super) struct Call<'a> {
    pub(super) task: Task<'a>,
    pub(super) args: [u64; 6],
    /// The offsets of the caller's namespace.
    pub(super) offsets: ClockOffsets,
    pub(super) journal: &'a Journal,
    pub(super) proc: BorrowedFd<'a>,
}

/// How a handler fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The call fails with this errno.
    Errno(i32),
    /// Nobody waits for an answer any more.
    Gone,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Failure::Gone,
            // A program that has an image can be written to; if that has changed, its pointer is
            // as useless to us as a wrong one.
            Fault::Denied | Fault::Address => Failure::Errno(libc::EFAULT),
        }
    }
}

/// What the call returns, or how it fails.
pub(super) type Reply = Result<i64, Failure>;

/// All handlers have this shape.
type Handler = fn(&Call<'_>) -> Reply;

/// The handlers and what they keep between calls; all of it may be lost with a worker.
pub(super) struct Handlers<'a> {
    service: &'a Service,
    injector: Injector,
    warnings: Warnings,
    /// Of a strict tree.
    tracer: Option<Tracer>,
    opener: Option<&'a Opener>,
    /// The threads that redirect, if they are this process's.
    pool: Option<Pool>,
    /// The threads that open files.
    views: views::Pool,
    sites: CallSites,
    /// Whether a dead worker may have begun with it.
    is_inherited: bool,
    /// Whether the calling thread may go on visits.
    may_visit: bool,
    errand: Option<Errand>,
}

/// What a call leaves to be done when it is no more in hand.
pub(super) enum Errand {
    /// A visit, by the calling thread; and the program's memory, to be closed afterwards.
    Visit(RedirectSlot<'static>, Option<File>),
    /// Nothing: a thread of the pool makes the visit.
    ByPool,
    /// Nothing: another thread gives the answer.
    Elsewhere,
}

impl<'a> Handlers<'a> {
    pub(super) fn new(
        service: &'a Service,
        front: Option<OwnedFd>,
        tracer: Option<Tracer>,
        opener: Option<&'a Opener>,
        pool: Option<Pool>,
        views: views::Pool,
    ) -> Self {
        Self {
            service,
            injector: Injector::new(service.image.clone()),
            warnings: Warnings::new(front, service.is_container),
            tracer,
            opener,
            pool,
            views,
            sites: CallSites::new(service.traps_unknown),
            is_inherited: false,
            may_visit: false,
            errand: None,
        }
    }

    /// Says of the next notification whether a dead worker may have begun with it, and whether the
    /// calling thread may go on a visit for it.
    pub(super) fn prepare(&mut self, is_inherited: bool, may_visit: bool) {
        self.is_inherited = is_inherited;
        self.may_visit = may_visit;
    }

    /// What the last call has left to be done; without an answer and an errand nobody waits for one.
    pub(super) fn take_errand(&mut self) -> Option<Errand> {
        self.errand.take()
    }

    /// The answer to a notification; `None` if nobody waits for it any more, or if it is
    /// another thread's to give.
    pub(super) fn answer(&mut self, notification: &Notification) -> Option<Answer> {
        self.errand = None;
        if let Some(tracer) = &mut self.tracer
            && execve::is_execve(notification)
        {
            self.errand = Some(Errand::Elsewhere);
            return execve::execve(tracer, notification);
        }
        let service = self.service;
        let pid = notification.pid.cast_signed();
        let data = &notification.data;
        let number = data.nr.cast_unsigned();
        // A profile notifies them whatever the kernel has, which is to answer for itself.
        if data.arch == AUDIT_NATIVE
            && (X32_BIT..X32_BIT + FIRST_UNKNOWN).contains(&number)
            && !self.service.has_x32
        {
            return Some(Answer::Continue);
        }
        if views::is_open(notification) {
            return self.open(notification);
        }
        let mut call = Call {
            task: Task::new(
                service.listener.as_fd(),
                service.proc.as_fd(),
                notification.id,
                pid,
                self.opener,
            ),
            args: data.args,
            offsets: ClockOffsets::default(),
            journal: service.journal,
            proc: service.proc.as_fd(),
        };
        let absolute = match data.arch {
            AUDIT_NATIVE => absolute::kind(number, &call.args),
            _ => None,
        };
        if let Some(Kind::Wait(told)) = absolute {
            let places = self.injector.places(&call.task);
            let more = redirect::places(data, told);
            call.task.read_ahead(places.into_iter().chain(more));
        }
        let setter = setter(data.arch, number);
        let mut found = Found::default();
        match self.member(&call.task) {
            Ok(member) => found = member,
            Err(Missing::Gone) => return None,
            // Refused to any program, with an image or without.
            Err(_) if setter.is_some() => {}
            Err(missing) => {
                let proc = self.service.proc.as_fd();
                let answer = self.warnings.host_time(&call.task, proc, missing);
                // What a runtime itself reads before it starts a program is another matter.
                let is_start = matches!(number, nr::BRK | nr::ARCH_PRCTL);
                return match answer {
                    Some(Answer::Continue)
                        if missing == Missing::Denied && service.is_container && is_start =>
                    {
                        Some(Answer::Errno(libc::ENOSYS))
                    }
                    answer => answer,
                };
            }
        }
        call.offsets = found.offsets;
        if let Some(kind) = absolute {
            let answer = self.redirect(&call.task, notification, found, kind);
            if let Some(Errand::Visit(_, mem)) = &mut self.errand {
                *mem = call.task.into_mem();
            }
            return answer;
        }
        match (data.arch, number) {
            (AUDIT_NATIVE, nr::UNSHARE) => return self.unshare(&call.task, notification, found),
            (AUDIT_NATIVE, nr::SETNS) => return self.setns(&call.task, notification, found),
            _ => {}
        }
        // A closed image adds the offset by itself.
        if data.arch == AUDIT_NATIVE && call.args[5] == CLOSED_COOKIE {
            call.offsets = ClockOffsets::default();
        }
        match setter.or_else(|| reader(data.arch, number)) {
            Some(handler) => answer(handler(&call)),
            None => match door::answer(&call, service.leaves_to_kernel) {
                Some(reply) => answer(reply),
                // A program's first call.
                None => {
                    self.injector.hold(call.task);
                    Some(Answer::Continue)
                }
            },
        }
    }

    /// The answer to a call that opens a file: the program may be one without an image.
    fn open(&mut self, notification: &Notification) -> Option<Answer> {
        let service = self.service;
        let task = Task::new(
            service.listener.as_fd(),
            service.proc.as_fd(),
            notification.id,
            notification.pid.cast_signed(),
            self.opener,
        );
        let next = match service.shows_proc {
            true => views::answer(&self.views, &task, notification),
            false => views::leave_alone(notification),
        };
        match next {
            Next::Answer(answer) => {
                if answer == Answer::Continue {
                    self.patch_open(&task, notification);
                }
                Some(answer)
            }
            Next::Gone => None,
            Next::Elsewhere => {
                self.errand = Some(Errand::Elsewhere);
                None
            }
        }
    }
}

/// The answer for an errno; 0: nobody waits any more.
fn errno(errno: i32) -> Option<Answer> {
    (errno != 0).then_some(Answer::Errno(errno))
}

fn answer(reply: Reply) -> Option<Answer> {
    match reply {
        Ok(value) => Some(Answer::Value(value)),
        Err(Failure::Errno(errno)) => Some(Answer::Errno(errno)),
        Err(Failure::Gone) => None,
    }
}

/// Calls that would change a clock.
fn setter(arch: u32, number: u32) -> Option<Handler> {
    if arch == AUDIT_COMPAT {
        return Some(match number {
            compat_nr::STIME => compat::stime,
            compat_nr::SETTIMEOFDAY => compat::settimeofday,
            compat_nr::ADJTIMEX => compat::adjtimex,
            compat_nr::CLOCK_SETTIME => compat::clock_settime,
            compat_nr::CLOCK_SETTIME64 => clock_settime::clock_settime,
            compat_nr::CLOCK_ADJTIME => compat::clock_adjtime,
            compat_nr::CLOCK_ADJTIME64 => adjtimex::clock_adjtime,
            _ => return None,
        });
    }
    Some(match number & !X32_BIT {
        nr::CLOCK_SETTIME => clock_settime::clock_settime,
        nr::SETTIMEOFDAY => clock_settime::settimeofday,
        nr::CLOCK_ADJTIME => adjtimex::clock_adjtime,
        nr::ADJTIMEX => adjtimex::adjtimex,
        _ => return None,
    })
}

/// Calls that read a clock; the rest are a program's first calls.
fn reader(arch: u32, number: u32) -> Option<Handler> {
    if arch == AUDIT_COMPAT {
        return Some(match number {
            compat_nr::CLOCK_GETTIME => compat::clock_gettime,
            compat_nr::CLOCK_GETTIME64 => compat::clock_gettime64,
            compat_nr::GETTIMEOFDAY => compat::gettimeofday,
            compat_nr::TIME => compat::time,
            compat_nr::SYSINFO => sysinfo::sysinfo32,
            _ => return None,
        });
    }
    Some(match number & !X32_BIT {
        nr::CLOCK_GETTIME => clock_gettime::clock_gettime,
        nr::GETTIMEOFDAY => gettimeofday::gettimeofday,
        nr::TIME => time::time,
        nr::SYSINFO => sysinfo::sysinfo,
        _ => return None,
    })
}

/// A reading of the host's clock, shifted: seconds and nanoseconds.
fn read_shifted(clock: i32, offsets: &ClockOffsets) -> Result<(i64, u32), Failure> {
    let host = crate::sys::clock::read(clock)
        .map_err(|e| Failure::Errno(e.raw_os_error().unwrap_or(libc::EINVAL)))?;
    let offset = offsets.of(clock).unwrap_or(Offset::ZERO);
    Ok(offset.add_to(host.tv_sec, host.tv_nsec))
}
