//! Calls of unshare(2) and setns(2) that are the kernel's in part: the thread makes its call twice.

use super::Handlers;
use super::redirect::stands;
use crate::clock::ClockOffsets;
use crate::inject::Task;
use crate::supervisor::namespaces;
use crate::supervisor::redirect::{Place, Request};
use crate::sys::seccomp::{Answer, Notification};

/// How a call is to be made.
pub(super) struct Split {
    /// The argument that has the flags.
    pub(super) argument: u8,
    /// Those of the kernel's half.
    pub(super) first: u64,
    /// The time namespace that is entered by the other half, and its nonce.
    pub(super) enters: Option<(u64, u32)>,
    /// Whether the caller has the right to do so.
    pub(super) is_granted: bool,
}

impl Handlers<'_> {
    /// Has the thread make the kernel's half of its call, and then the call once more, for which we shall
    /// be asked.
    pub(super) fn split(
        &mut self,
        task: &Task<'_>,
        notification: &Notification,
        offsets: &ClockOffsets,
        split: Split,
    ) -> Option<Answer> {
        let proc = self.service.proc();
        let started = namespaces::start_of(proc, task.tid())?;
        // Of threads that have ended in between, and of calls that a signal handler has left.
        let is_over = |request: &Request| {
            request.tid == task.tid()
                || namespaces::start_of(proc, request.tid) != request.place.started()
        };
        self.service.journal.redirects.take_half_done(is_over);
        let place = Place::Split {
            argument: split.argument,
            first: split.first,
            started,
            enters: split.enters,
            is_granted: split.is_granted,
        };
        let data = &notification.data;
        let after = stands(task, data.instruction_pointer).ok()?.after(data);
        self.post(task, notification, offsets, after, place, None)
    }

    /// What was asked for when the thread began with this call, if the kernel's half of it is done.
    pub(super) fn half_done(&self, task: &Task<'_>, notification: &Notification) -> Option<Place> {
        let started = namespaces::start_of(self.service.proc(), task.tid())?;
        let data = &notification.data;
        let is_this = |request: &Request| {
            request.tid == task.tid()
                && request.number == data.nr.cast_unsigned()
                && request.args == data.args
                && request.place.started() == Some(started)
        };
        let request = self.service.journal.redirects.take_half_done(is_this)?;
        Some(request.place)
    }
}
