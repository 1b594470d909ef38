//! open(2), openat(2) and calls that name a file at a site that is used often: it is patched, since an open that is let through
//! takes ten times as long.

use super::Handlers;
use super::call_site::To;
use crate::arch::nr;
use crate::inject::Task;
use crate::sys::seccomp::Notification;

/// At which use a site is patched, which takes as long as some twenty opens that are let through.
const USES: u32 = 24;

impl Handlers<'_> {
    /// Patches the caller's site if it is worth it; the caller waits meanwhile.
    pub(super) fn patch_open(&mut self, task: &Task<'_>, notification: &Notification) {
        let (after, number) = (
            notification.data.instruction_pointer,
            notification.data.nr.cast_unsigned(),
        );
        // Its flags lie in memory; and the others are rare.
        if matches!(number, nr::OPENAT2 | nr::MOUNT | nr::OPEN_TREE | nr::IOCTL) {
            return;
        }
        let Some(site) = self.sites.open_often(task, after, USES) else {
            return;
        };
        // In libc's `syscall()` any call can follow. A program without an image has no gate.
        if !site.is_of(number) || self.member(task).is_err() {
            return;
        }
        let code;
        let gate = match self.injector.ensure_gate(task) {
            Ok(Some(gate)) => match gate.open {
                Some(gate) => To::Gate(gate),
                // A vDSO that is nearly full (Debian's 6.12).
                None => {
                    code = crate::image::opens();
                    To::Code(&code)
                }
            },
            _ => return,
        };
        // As long as the thread waits: later there may be another program's code at this place.
        if task.is_waiting() {
            self.sites.patch(&site, number, gate);
        }
    }
}
