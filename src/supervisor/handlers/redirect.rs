//! What is to become of a thread with an absolute time: into the gate, or once more over its own
//! `syscall` instruction.

use std::os::fd::{AsFd, BorrowedFd};

use libc::{CLOCK_REALTIME as REALTIME, CLOCK_REALTIME_ALARM as REALTIME_ALARM, CLOCK_TAI as TAI};

use super::absolute::{self, Kind};
use super::call_site::{CallSite, To};
use super::{Errand, Handlers};
use crate::arch;
use crate::clock::ClockOffsets;
use crate::inject::{Fault, Found, GuestPtr, Missing, Task};
use crate::page::{CALL, FUTEX_WAIT_COOKIE, GENERATION, WAIT_COOKIE};
use crate::supervisor::clock_of;
use crate::supervisor::namespaces;
use crate::supervisor::redirect::{Place, Request};
use crate::supervisor::settings::{Setting, Timer};
use crate::sys::clock as host_clock;
use crate::sys::seccomp::{self, Answer, Notification};

impl Handlers<'_> {
    /// Has the caller make its call with a converted time.
    pub(super) fn redirect(
        &mut self,
        task: &Task<'_>,
        notification: &Notification,
        found: Found,
        kind: Kind,
    ) -> Option<Answer> {
        // A worker has died after it had posted this.
        if self.is_inherited && self.service.journal.redirects.has(notification.id) {
            self.errand = Some(Errand::Elsewhere);
            return None;
        }
        let data = &notification.data;
        let offsets = &found.offsets;
        // A closed image has asked, for a time that it has converted by the caller's own offset. A
        // child that has been moved meanwhile converts it anew.
        let stands = stands(task, data.instruction_pointer).ok()?;
        let after = stands.after(data);
        let in_gate = match after {
            Some(after) => self.injector.in_gate(task, after),
            None if is_closed(data) => self.injector.gate_again(task),
            None => None,
        };
        if let Some(at) = in_gate {
            if found.is_closed {
                return Some(Answer::Continue);
            }
            let as_it_is = ClockOffsets::default();
            let times = wait_times(task, data, &as_it_is, kind).ok()?;
            let (again, end) = (Place::Again { at }, interrupted(data, kind, times));
            return self.post(task, notification, offsets, after, again, end);
        }
        let call = match kind {
            Kind::Wait(call) => Some(call),
            Kind::Timer(id) => self.setting(task, |proc, tid| clock_of::of_timer(proc, tid, id))?,
            Kind::Timerfd(fd) => {
                self.setting(task, |proc, tid| clock_of::of_timerfd(proc, tid, fd))?
            }
            Kind::Unknown => None,
        };
        let number = data.nr.cast_unsigned();
        let times = wait_times(task, data, offsets, kind).ok()?;
        let mut site = None;
        let place = match call {
            Some(call) if stands == Stands::AtBridge => Place::Here {
                call,
                cookie: cookie(data.nr.cast_unsigned(), call),
                times,
            },
            Some(call) => {
                let gate = self.injector.ensure_gate(task);
                let gate = match gate.and_then(|gate| gate.ok_or(Missing::NoGate)) {
                    Ok(gate) => gate,
                    Err(Missing::NoVdso) => return Some(Answer::Continue),
                    Err(Missing::Gone) => return None,
                    Err(missing) => {
                        let proc = self.service.proc.as_fd();
                        return self.warnings.host_time(task, proc, missing);
                    }
                };
                if let (Kind::Wait(_), Some(after)) = (kind, after) {
                    site = self.sites.open(task, after).map(|site| (site, gate.entry));
                }
                Place::Gate {
                    at: gate.first,
                    call,
                }
            }
            None if kind == Kind::Unknown => match after.map(|at| self.rewind(task, at, number)) {
                Some(Ok(Some(at))) => Place::Again { at },
                Some(Err(Missing::Gone)) => return None,
                _ => return Some(Answer::Continue),
            },
            None => return Some(Answer::Continue),
        };
        // Read as long as the thread waits.
        let setting = timer(kind).and_then(|timer| self.setting_of(task, timer, data.args[2]));
        // As long as the thread waits: later there may be another program's code at this place.
        if let Some((site, gate)) = site {
            if !task.is_waiting() {
                return None;
            }
            self.sites.patch(&site, number, To::Gate(gate));
        }
        let end = interrupted(data, kind, times);
        let answer = self.post(task, notification, offsets, after, place, end);
        if let (Some(setting), Some(_)) = (setting, &self.errand) {
            let (journal, proc) = (self.service.journal, self.service.proc.as_fd());
            journal.settings.note(proc, &setting);
        }
        answer
    }

    /// Has the thread go on elsewhere; its `syscall` lies before `after`, if that is known, and a handler
    /// ends it as `interrupted` has it ([`Request::interrupted`]).
    pub(super) fn post(
        &mut self,
        task: &Task<'_>,
        notification: &Notification,
        offsets: &ClockOffsets,
        after: Option<u64>,
        place: Place,
        interrupted: Option<i32>,
    ) -> Option<Answer> {
        let service = self.service;
        // A thread that makes a call in the midst of a visit may keep us waiting.
        let visits = self.may_visit
            && !matches!(place, Place::Split { .. })
            && !seccomp::is_waited_for(service.listener.as_fd());
        // What was opened by the thread's id was its own. A visit asks for itself.
        if !visits && !task.is_waiting() {
            return None;
        }
        let data = &notification.data;
        let redirects = &service.journal.redirects;
        let request = Request {
            id: notification.id,
            tid: task.tid(),
            number: data.nr.cast_unsigned(),
            args: data.args,
            offsets: *offsets,
            after,
            place,
            interrupted,
        };
        self.errand = match visits {
            true => redirects
                .keep(request)
                .map(|slot| Errand::Visit(slot, None)),
            false => redirects.post(request).map(|()| Errand::ByPool),
        };
        match (&self.errand, &self.pool) {
            (None, _) => return Some(Answer::Errno(libc::EINTR)),
            // The request stays in the journal, for the next.
            (Some(Errand::ByPool), Some(pool)) => drop(pool.wake()),
            _ => {}
        }
        None
    }

    /// Where a thread goes on that has made the call `number`, which no kernel knows, before `after`;
    /// `Ok(None)` if it is a mistake of its own.
    fn rewind(&mut self, task: &Task<'_>, after: u64, number: u32) -> Result<Option<u64>, Missing> {
        let Some(gate) = self.injector.ensure_gate(task)? else {
            return Ok(None);
        };
        let site = CallSite::open(task, after);
        if !task.is_waiting() {
            return Err(Missing::Gone);
        }
        Ok(site.and_then(|site| site.rewind(number, gate)))
    }

    /// What the gate is told of a timer's setting; `Some(None)` if the call goes on as it stands, `None`
    /// if the caller is gone.
    ///
    /// The kernel converts times of its clocks by the namespace of whoever makes the call, which may
    /// be an inner one: so that is left to the caller.
    ///
    /// DIFFERENCE: without `CONFIG_CHECKPOINT_RESTORE` nobody can tell a POSIX timer's clock, and an
    /// absolute setting is taken for the host's.
    fn setting(
        &self,
        task: &Task<'_>,
        find: impl FnOnce(BorrowedFd<'_>, i32) -> Result<Option<i32>, clock_of::Unknown>,
    ) -> Option<Option<u16>> {
        let clock = find(self.service.proc.as_fd(), task.tid());
        let is_ours = |clock: &i32| {
            !self.service.leaves_to_kernel || matches!(*clock, REALTIME | REALTIME_ALARM | TAI)
        };
        // What was read was another's if the thread has ended.
        task.is_waiting()
            .then(|| clock.ok().flatten().filter(is_ours))
            .map(|clock| clock.and_then(absolute::setting))
    }

    /// What a timer is about to be set to, to be remembered; what the kernel is to refuse may be among it.
    fn setting_of(&self, task: &Task<'_>, timer: Timer, from: u64) -> Option<Setting> {
        let pid = namespaces::process_of(self.service.proc.as_fd(), task.tid())?;
        // Reading asks whether the caller still waits, after all that was asked before.
        let spec = task.read(GuestPtr::new(from)).ok()?;
        Some(Setting {
            pid,
            timer,
            spec,
            generation: GENERATION,
        })
    }
}

/// The timer whose setting is to be remembered.
fn timer(kind: Kind) -> Option<Timer> {
    match kind {
        Kind::Timer(id) => Some(Timer::Id(id)),
        Kind::Timerfd(fd) => Some(Timer::Descriptor(fd)),
        Kind::Wait(_) | Kind::Unknown => None,
    }
}

/// The places that are looked at for a wait whatever becomes of it: the time comes last, as its
/// address may be wrong.
pub(super) fn places(data: &libc::seccomp_data, told: u16) -> [(u64, usize); 2] {
    [
        (before_bridge(data.instruction_pointer), arch::BRIDGE.len()),
        (time_of(data, told), size_of::<[i64; 2]>()),
    ]
}

/// Where [`arch::BRIDGE`] would begin.
fn before_bridge(after: u64) -> u64 {
    after.wrapping_sub(arch::BRIDGE_BEFORE)
}

/// The address of a wait's time.
fn time_of(data: &libc::seccomp_data, told: u16) -> u64 {
    let [time, _] = told.to_le_bytes();
    data.args[usize::from(time & 0x38) / 8]
}

/// What stands before the address that the kernel has named for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// A `syscall` where a C library looks for a thread that is to be cancelled: the thread has to wait in
    /// this very place (glibc 2.41: `__syscall_cancel_arch`, musl: `__syscall_cp_asm`).
    AtBridge,
    /// Any other `syscall`.
    AtCall,
    /// None: user-mode Linux names an address of its own (`arch/um/kernel/process.c: get_thread_reg`).
    ///
    /// DIFFERENCE: a bridge is not seen there, so that a thread that waits cannot be cancelled.
    Unknown,
}

impl Stands {
    /// The address behind the call, if it is known.
    pub(super) fn after(self, data: &libc::seccomp_data) -> Option<u64> {
        (self != Self::Unknown).then_some(data.instruction_pointer)
    }
}

/// Looks at the code before `after`.
pub(super) fn stands(task: &Task<'_>, after: u64) -> Result<Stands, Missing> {
    let mut bytes = [0; arch::BRIDGE.len()];
    match task.peek(before_bridge(after), &mut bytes) {
        Ok(()) if bytes == arch::BRIDGE => Ok(Stands::AtBridge),
        Ok(()) if is_call(&bytes) => Ok(Stands::AtCall),
        Err(Fault::Gone) => Err(Missing::Gone),
        _ => Ok(Stands::Unknown),
    }
}

/// Whether a `syscall` stands where it does in [`arch::BRIDGE`].
fn is_call(bytes: &[u8; arch::BRIDGE.len()]) -> bool {
    let after = usize::try_from(arch::BRIDGE_BEFORE).expect("a few bytes");
    bytes[..after].ends_with(&arch::SYSCALL)
}

/// Whether a call carries the cookie of a closed image's gate.
fn is_closed(data: &libc::seccomp_data) -> bool {
    const CLOSED: u32 = WAIT_COOKIE ^ 1 << 31;
    let cookie = CLOSED + data.nr.cast_unsigned();
    data.args[4..]
        .iter()
        .any(|spare| spare >> 32 == u64::from(cookie))
        || data.args[5] >> 48 == u64::from(CLOSED >> 16)
}

/// The cookie as it is put into its register, without the end of the time's address.
fn cookie(number: u32, call: u16) -> u64 {
    match call & CALL.cookie_r9_high {
        bits if bits == CALL.cookie_r9_high => {
            u64::from(FUTEX_WAIT_COOKIE | GENERATION & 0xffff) << 32
        }
        _ => u64::from(WAIT_COOKIE + number) << 32 | u64::from(GENERATION & 0xffff) << 16,
    }
}

/// With which error of the kernel's own a handler that runs before a wait begins ends it; `None` if it
/// does not, or the time has passed.
///
/// DIFFERENCE: at a bridge, where no gate makes the call then, it ends so also if Linux would not wait for
/// another reason.
fn interrupted(data: &libc::seccomp_data, kind: Kind, times: Option<[[i64; 2]; 2]>) -> Option<i32> {
    const CLOCKS: [i32; 4] = [REALTIME, TAI, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME];
    let (Kind::Wait(call), Some([host, _])) = (kind, times) else {
        return None;
    };
    let error = absolute::interrupted(data.nr.cast_unsigned(), &data.args)?;
    let now = host_clock::read(CLOCKS[usize::from(call >> 14)]).ok()?;
    ([now.tv_sec, now.tv_nsec] < host).then_some(error)
}

/// The host's time of a wait and the program's own; `None` if it is no wait, or the kernel is to say what is
/// wrong with it.
fn wait_times(
    task: &Task<'_>,
    data: &libc::seccomp_data,
    offsets: &ClockOffsets,
    kind: Kind,
) -> Result<Option<[[i64; 2]; 2]>, Missing> {
    let Kind::Wait(call) = kind else {
        return Ok(None);
    };
    let from = time_of(data, call);
    let guest = match task.read(GuestPtr::<[i64; 2]>::new(from)) {
        Ok(guest) => guest,
        Err(Fault::Gone) => return Err(Missing::Gone),
        Err(_) => return Ok(None),
    };
    let offset = offsets.in_order()[usize::from(call >> 14)];
    Ok(offset
        .to_host(guest[0], guest[1])
        .map(|(sec, nsec)| [[sec, nsec], guest]))
}
