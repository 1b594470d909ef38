//! The process that serves the live files.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::mount::{Mounted, mount};
use super::node::{Node, Reader};
use super::protocol::{self, Request, op};
use crate::supervisor::namespaces;
use crate::supervisor::views::Source;
use crate::sys::{channel, process};

/// Texts that are kept for who reads on.
const TEXTS: usize = 256;

/// Serves until the keeper ends; says by `ready` that it does.
pub(super) fn run(source: &Source, ready: &OwnedFd) -> ! {
    let keep = [
        source.proc.as_raw_fd(),
        source.keeper.as_raw_fd(),
        ready.as_raw_fd(),
    ];
    process::close_all_but(0, &keep);
    let Ok(mounted) = mount() else {
        process::exit_now(1);
    };
    let live = &source.journal.live;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let Some(started) = namespaces::start_of(source.proc.as_fd(), pid) else {
        process::exit_now(1);
    };
    live.started.store(started, Ordering::Relaxed);
    live.root.store(mounted.root.as_raw_fd(), Ordering::Relaxed);
    live.pid.store(pid, Ordering::Release);
    let _ = channel::send(ready.as_fd(), b"!", None);
    let mut server = Server {
        source,
        mounted,
        texts: HashMap::new(),
        handles: 0,
    };
    while server.serve().is_some() {}
    process::exit_now(0)
}

struct Server<'a> {
    source: &'a Source,
    mounted: Mounted,
    /// What was read from the beginning, for who reads on: the text changes meanwhile.
    texts: HashMap<u64, Vec<u8>>,
    /// Files that were ever opened.
    handles: u64,
}

impl Server<'_> {
    /// Waits for a request, and answers it; `None` if there will be no more.
    fn serve(&mut self) -> Option<()> {
        let device = &self.mounted.device;
        let mut buffer = [0; protocol::BUFFER];
        let len = match rustix::io::read(device, &mut buffer) {
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => return self.wait(),
            Err(_) => return None,
        };
        let request = Request::read(&buffer[..len])?;
        let result = match request.op {
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return Some(()),
            op::DESTROY => return None,
            _ => self.answer(&request),
        };
        let reply = request.reply(result);
        // ENOENT: the caller has been killed.
        let _ = rustix::io::write(&self.mounted.device, &reply);
        Some(())
    }

    fn wait(&self) -> Option<()> {
        let mut fds = [
            PollFd::new(&self.mounted.device, PollFlags::IN),
            PollFd::new(&self.source.keeper, PollFlags::IN),
        ];
        let _ = poll(&mut fds, None);
        fds[1].revents().is_empty().then_some(())
    }

    fn answer(&mut self, request: &Request<'_>) -> Result<Vec<u8>, i32> {
        match request.op {
            op::INIT => return Ok(protocol::init()),
            op::LOOKUP => {
                let name = request.body.split(|byte| *byte == 0).next();
                let node = name.and_then(Node::named).ok_or(libc::ENOENT)?;
                return Ok(protocol::entry(node.number()));
            }
            op::GETATTR | op::SETATTR => return Ok(protocol::attr(request.node)),
            op::FLUSH => return Ok(Vec::new()),
            op::RELEASE => {
                if let Some(handle) = request.handle() {
                    self.texts.remove(&handle);
                }
                return Ok(Vec::new());
            }
            op::OPEN | op::READ | op::WRITE => {}
            op::STATFS => return Ok(vec![0; 80]),
            _ => return Err(libc::ENOSYS),
        }
        let node = Node::numbered(request.node).ok_or(libc::EIO)?;
        if request.op == op::OPEN {
            self.handles += 1;
            return Ok(protocol::open(self.handles));
        }
        let reader = Reader {
            proc: self.source.proc.as_fd(),
            tid: request.tid,
            offsets: self
                .source
                .offsets_of(request.tid)
                .unwrap_or(self.source.offsets),
        };
        let (handle, position, len) = request.range().ok_or(libc::EIO)?;
        if request.op == op::WRITE {
            let bytes = request.written().ok_or(libc::EIO)?;
            return node.write(&reader, bytes, position).map(protocol::written);
        }
        let text = self.text(node, &reader, handle, position)?;
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let end = start.saturating_add(len).min(text.len());
        Ok(text[start..end].to_vec())
    }

    /// The text that a read at `position` is part of: a new one at the beginning
    /// (`fs/seq_file.c: seq_read_iter`).
    fn text(
        &mut self,
        node: Node,
        reader: &Reader<'_>,
        handle: u64,
        position: u64,
    ) -> Result<&[u8], i32> {
        if position == 0 || !self.texts.contains_key(&handle) {
            let text = node.read(reader)?;
            if self.texts.len() >= TEXTS {
                // Who reads on after that may find two halves of two texts.
                self.texts.clear();
            }
            self.texts.insert(handle, text);
        }
        Ok(&self.texts[&handle])
    }
}
