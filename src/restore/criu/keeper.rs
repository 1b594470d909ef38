//! A keeper for each filter: a process of its own, so that it has one thread and nothing of CRIU's.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::clock::ClockOffsets;
use crate::sys::channel;
use crate::{AdoptedFilter, Error, Result, TimeNamespace, kernel, registry};

/// How long a keeper may take to begin.
const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// What a keeper is to do.
#[derive(Debug)]
pub(crate) struct Order {
    /// From the clocks that the kernel gives the processes.
    pub(crate) offsets: ClockOffsets,
    /// A process whose time namespace of the kernel's it is to be in.
    pub(crate) like: Option<i32>,
    /// The process that was restored.
    pub(crate) first: i32,
    /// The namespace's name.
    pub(crate) name: Option<String>,
}

/// Looks whether a keeper could have its namespace run under this name, which another may take all the same
/// before it does.
///
/// # Errors
/// It is no name, or another namespace of this user's has it.
pub(super) fn expect_name(name: &str) -> Result<()> {
    TimeNamespace::new(ClockOffsets::default())?.named(name)?;
    registry::expect_free(name).map_err(|error| match error.errno() {
        Some(libc::EEXIST) => error.with_way_out(
            "the file of clocks gives it to what is restored, and a namespace of that name is running: end that \
             one (`elsewhen show NAME` names its processes), or put `null` for the `name` in the file",
        ),
        _ => error,
    })
}

impl Order {
    /// Starts a keeper of the processes under `listener`'s filter, and waits until it serves them.
    ///
    /// # Errors
    /// It has not begun, and says why on the standard error.
    pub(super) fn start(&self, listener: OwnedFd) -> Result<()> {
        let failed = |what: &str, error| Error::os(format!("cannot {what} a keeper"), error);
        let (ours, theirs) = channel::pair().map_err(|e| failed("reach", e))?;
        let program = std::env::current_exe().map_err(|e| failed("find", e))?;
        // What it prints later would be nobody's.
        Command::new(program)
            .args(self.words())
            .stdin(Stdio::from(listener))
            .stdout(Stdio::from(theirs))
            .spawn()
            .map_err(|e| failed("start", e))?;
        let mut ready = [PollFd::new(&ours, PollFlags::IN)];
        let _ = poll(&mut ready, Some(&PATIENCE));
        let mut byte = [0];
        match channel::receive(&ours, &mut byte, false) {
            Ok(received) if received.len == 1 => Ok(()),
            _ => Err(Error::new("the keeper of a restored process has not begun")),
        }
    }

    fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["criu-keeper".into()];
        for (clock, offset) in ["realtime", "tai", "monotonic", "boottime"].iter().zip([
            self.offsets.realtime,
            self.offsets.tai,
            self.offsets.monotonic,
            self.offsets.boottime,
        ]) {
            words.push(format!("--{clock}={offset}").into());
        }
        words.push(format!("--first={}", self.first).into());
        if let Some(pid) = self.like {
            words.push(format!("--like={pid}").into());
        }
        if let Some(name) = &self.name {
            words.push(format!("--name={name}").into());
        }
        words
    }

    /// Becomes the keeper: the standard input is the listener, the standard output a socket for the word
    /// that it has begun.
    ///
    /// # Errors
    /// As for [`TimeNamespace::adopt`].
    pub(crate) fn carry_out(&self) -> Result<()> {
        // As whoever looks for it sees that: the kernel shows it by the time namespace of who reads.
        let started = registry::started(self.first);
        let first = started.map(|started| (self.first, started));
        if let Some(pid) = self.like {
            let namespace = File::open(format!("/proc/{pid}/ns/time"))
                .map_err(|error| Error::os("cannot open the kernel's time namespace", error))?;
            kernel::join(&namespace)?;
        }
        let owned = |stream: std::io::Result<OwnedFd>| {
            stream.map_err(|error| Error::os("cannot use the standard streams", error))
        };
        let listener = owned(std::io::stdin().as_fd().try_clone_to_owned())?;
        let ready = owned(std::io::stdout().as_fd().try_clone_to_owned())?;
        let mut namespace = TimeNamespace::new(self.offsets)?;
        if let Some(name) = &self.name {
            namespace = namespace.named(name)?;
        }
        match namespace.adopt_from(first, listener, AdoptedFilter::Own, Some(ready))? {}
    }
}
