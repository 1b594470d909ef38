//! A thread with descriptors of its own, and what is done from there.
//!
//! A process that is started closes what is not for it, and close(2) of a file of a FUSE file system waits for its
//! server, whoever else has that file open (`fs/open.c: filp_flush`). So what strangers have sent must not be
//! where keepers are started. What opens a path may never come back either; it holds nothing there that the agent's end
//! is to close, such as the socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::sys::{channel, process};
use crate::{Error, Result};

/// The loop's end of it.
pub(super) struct Apart {
    tasks: Sender<Task>,
    /// Where descriptors go there; what comes back says that something is done.
    ours: OwnedFd,
    _theirs: Arc<OwnedFd>,
}

/// What is to be done there.
enum Task {
    /// Start a keeper, which takes its order from the descriptor that has been sent.
    Keeper(Sender<io::Result<u32>>),
    /// Something that may last, in a thread of its own.
    Work(Work),
}

type Work = Box<dyn FnOnce() + Send>;

impl Apart {
    /// Starts it; nothing that strangers have sent is here yet.
    ///
    /// # Errors
    /// As for pthread_create(3), socketpair(2) and unshare(2).
    pub(super) fn start() -> Result<Self> {
        let what = "cannot start a thread with descriptors of its own";
        let (ours, theirs) = channel::pair().map_err(|e| Error::os(what, e))?;
        let theirs = Arc::new(theirs);
        let (tasks, todo) = channel();
        let (says, started) = channel();
        let end = Arc::clone(&theirs);
        thread::Builder::new()
            .name("apart".to_owned())
            .spawn(move || {
                let result = process::have_own_descriptors(end.as_raw_fd());
                let is_apart = result.is_ok();
                let _ = says.send(result);
                if is_apart {
                    serve(&todo, &end);
                }
            })
            .map_err(|e| Error::os(what, e))?;
        started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("it has ended")))
            .map_err(|e| Error::os(what, e))?;
        Ok(Self {
            tasks,
            ours,
            _theirs: theirs,
        })
    }

    /// Starts a keeper; its process id.
    ///
    /// # Errors
    /// As for fork(2) and execve(2).
    pub(super) fn start_keeper(&self, stdin: BorrowedFd<'_>) -> io::Result<u32> {
        let (reply, answer) = channel();
        channel::send(self.ours.as_fd(), b"k", Some(stdin))?;
        let gone = || io::Error::other("the thread that starts keepers has ended");
        self.tasks.send(Task::Keeper(reply)).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Has something done that may last; [`Self::as_fd`] is readable then.
    pub(super) fn work(&self, work: impl FnOnce() + Send + 'static) {
        // Where there is nobody to do it, it is late.
        let _ = self.tasks.send(Task::Work(Box::new(work)));
    }

    /// What is readable when work has been done.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    /// Takes what has made it readable.
    pub(super) fn heed(&self) {
        let mut byte = [0];
        while channel::receive(&self.ours, &mut byte, false).is_ok_and(|got| got.len > 0) {}
    }
}

fn serve(todo: &Receiver<Task>, end: &Arc<OwnedFd>) {
    for task in todo {
        match task {
            Task::Keeper(reply) => {
                let _ = reply.send(keeper(end));
            }
            Task::Work(work) => {
                let end = Arc::clone(end);
                let work = move || {
                    work();
                    // Full means that there is enough to be heeded.
                    let _ = channel::send(end.as_fd(), b"d", None);
                };
                let thread = thread::Builder::new().name("reader".to_owned());
                // Where there is no thread to be had it is late, and its asker is told so.
                let _ = thread.spawn(work);
            }
        }
    }
}

fn keeper(end: &OwnedFd) -> io::Result<u32> {
    let stdin = channel::receive(end, &mut [0], false)?.descriptor;
    let stdin = stdin.ok_or_else(|| io::Error::other("no socket for the keeper"))?;
    let child = Command::new("/proc/self/exe")
        .arg("adopt")
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(child.id())
}
