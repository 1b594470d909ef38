//! execve(2) and execveat(2), which only the filter of a strict tree notifies.

use crate::arch::{AUDIT_COMPAT, X32_BIT, compat, nr, x32};
use crate::supervisor::tracer::Tracer;
use crate::sys::seccomp::{Answer, Notification};

/// Whether the call is a form of execve(2), of any ABI.
pub(super) fn is_execve(notification: &Notification) -> bool {
    let number = notification.data.nr.cast_unsigned();
    if notification.data.arch == AUDIT_COMPAT {
        return matches!(number, compat::EXECVE | compat::EXECVEAT);
    }
    match number.checked_sub(X32_BIT) {
        None => matches!(number, nr::EXECVE | nr::EXECVEAT),
        Some(number) => matches!(number, x32::EXECVE | x32::EXECVEAT),
    }
}

/// Hands the call over to the tracer, which answers it; too many at a time fail as fork(2) does.
pub(super) fn execve(tracer: &mut Tracer, notification: &Notification) -> Option<Answer> {
    let tid = notification.pid.cast_signed();
    match tracer.hand_over(notification.id, tid) {
        Some(()) => None,
        None => Some(Answer::Errno(libc::EAGAIN)),
    }
}
