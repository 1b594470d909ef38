//! Filters to compare with, and a supervisor that does nothing but answer.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;

use super::helper::shifted;
use crate::supervisor::is_hung_up;
use crate::sys::seccomp::{self, Answer, Notification};
use crate::{Error, Result, filter};

/// A filter with one rule: a call number that nothing uses.
pub(super) fn one_rule() -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    vec![
        line(LOAD, 0, 0, 0),
        line(JUMP_EQUAL, 0, 1, 1 << 20),
        line(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        line(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Puts this thread under a filter; as an ordinary user it gives up gaining privileges first.
pub(super) fn install(filter: &[libc::sock_filter]) -> std::io::Result<OwnedFd> {
    seccomp::install(filter).or_else(|error| match error.raw_os_error() {
        Some(libc::EACCES) => {
            rustix::thread::set_no_new_privs(true)?;
            seccomp::install(filter)
        }
        _ => Err(error),
    })
}

/// Does `work` under elsewhen's filter, while this thread lets every notified call continue.
pub(super) fn under_supervision(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    // A filter belongs to a thread and its children: this thread stays outside of it.
    let worker = std::thread::spawn(move || {
        let _ = sender.send(install(&filter::program(filter::Rules {
            strict: false,
            x32: false,
            shifted: filter::Shifted::of(&shifted()),
            timens: true,
            views: false,
        })));
        drop(sender);
        work()
    });
    let listener = receiver
        .recv()
        .map_err(|_| Error::new("a thread of the bench has died"))?
        .map_err(|e| Error::os("cannot install a filter", e))?;
    seccomp::wake_synchronously(listener.as_fd());
    answer_all(&listener);
    worker
        .join()
        .unwrap_or_else(|_| Err(Error::new("a thread of the bench has died")))
}

/// Until nobody is left under the filter.
fn answer_all(listener: &OwnedFd) {
    let mut notification = Notification {
        id: 0,
        pid: 0,
        flags: 0,
        data: libc::seccomp_data {
            nr: 0,
            arch: 0,
            instruction_pointer: 0,
            args: [0; 6],
        },
    };
    loop {
        match seccomp::receive(listener.as_fd(), &raw mut notification) {
            Ok(()) => {
                let _ = seccomp::answer(listener.as_fd(), notification.id, Answer::Continue);
            }
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
                if is_hung_up(listener.as_fd()) {
                    return;
                }
            }
            Err(_) => {}
        }
    }
}
