//! The process that serves the live files.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::super::file::View;
use super::mount::{Mounted, lacks_for_good, mount};
use super::node::{Node, Nodes};
use super::protocol::{self, Request, op};
use crate::supervisor::namespaces;
use crate::supervisor::timens::{Records, Who};
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
    // No part of the session in which a keeper and its workers are.
    let _ = rustix::process::setsid();
    let mounted = match mount() {
        Ok(mounted) => mounted,
        Err(e) => {
            if lacks_for_good(&e) {
                let _ = channel::send(ready.as_fd(), super::NEVER, None);
            }
            process::exit_now(1);
        }
    };
    let live = &source.journal.live;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let Some(started) = namespaces::start_of(source.proc.as_fd(), pid) else {
        process::exit_now(1);
    };
    live.started.store(started, Ordering::Relaxed);
    live.root.store(mounted.root.as_raw_fd(), Ordering::Relaxed);
    for (to, namespace) in live.namespaces.iter().zip(&mounted.namespaces) {
        to.store(namespace.as_raw_fd(), Ordering::Relaxed);
    }
    source.journal.timens.close_all();
    live.pid.store(pid, Ordering::Release);
    let _ = channel::send(ready.as_fd(), super::READY, None);
    let mut server = Server {
        source,
        mounted,
        texts: HashMap::new(),
        begins: HashMap::new(),
        nodes: Nodes::default(),
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
    /// Where the position stands that is the file's beginning: behind what was written, as the kernel
    /// has moved it there.
    begins: HashMap<u64, u64>,
    nodes: Nodes,
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
            op::FORGET | op::BATCH_FORGET => {
                for (number, looks) in request.forgotten() {
                    self.nodes.forget(number, looks, self.records());
                }
                return Some(());
            }
            op::INTERRUPT => return Some(()),
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
                let members = self.source.members();
                let found = name.and_then(|name| self.nodes.look_up(name, members));
                let (number, node) = found.ok_or(libc::ENOENT)?;
                return Ok(protocol::entry(number, node.mode()));
            }
            // A shell that writes to a file empties it first, which does nothing here.
            op::GETATTR | op::SETATTR => {
                let mode = match request.node {
                    protocol::ROOT => 0o555,
                    number => self.nodes.get(number).ok_or(libc::EIO)?.mode(),
                };
                return Ok(protocol::attr(request.node, mode));
            }
            // The name is forgotten, and the file with the last who has it open (see `forget_name`).
            op::FLUSH | op::UNLINK => return Ok(Vec::new()),
            op::RELEASE => {
                if let Some(handle) = request.handle() {
                    self.texts.remove(&handle);
                    self.begins.remove(&handle);
                }
                return Ok(Vec::new());
            }
            op::OPEN | op::READ | op::WRITE | op::IOCTL => {}
            op::STATFS => return Ok(vec![0; 80]),
            _ => return Err(libc::ENOSYS),
        }
        let node = self.nodes.get(request.node).ok_or(libc::EIO)?;
        if request.op == op::OPEN {
            self.handles += 1;
            return Ok(protocol::open(self.handles));
        }
        if request.op == op::IOCTL {
            let asked = request.ioctl().ok_or(libc::EIO)?;
            return node.tell(asked).map(protocol::told);
        }
        let members = self.source.members();
        let (handle, position, len) = request.range().ok_or(libc::EIO)?;
        let begin = self.begins.get(&handle).copied().unwrap_or(0);
        // Before it is where somebody has moved it back to.
        let position = position.checked_sub(begin).unwrap_or(position);
        if request.op == op::WRITE {
            let bytes = request.written().ok_or(libc::EIO)?;
            if position != 0 {
                return Err(libc::EINVAL);
            }
            let written = node.write(members, bytes)?;
            if node.stays() {
                let (_, at, _) = request.range().ok_or(libc::EIO)?;
                self.begins.insert(handle, at + written as u64);
            }
            return Ok(protocol::written(written));
        }
        let offsets = self
            .source
            .offsets_of(request.tid, Who::Other)
            .unwrap_or(self.source.offsets);
        let offsets = match node {
            Node::View(View::Stat) => self.source.offsets_for_stat(request.tid, offsets),
            _ => offsets,
        };
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let is_new = start == 0 || !self.texts.contains_key(&handle);
        if is_new {
            let text = node.read(members, &offsets)?;
            if self.texts.len() >= TEXTS {
                // Who reads on after that may find two halves of two texts.
                self.texts.clear();
            }
            self.texts.insert(handle, text);
        }
        let text = &self.texts[&handle];
        let start = start.min(text.len());
        let end = start.saturating_add(len).min(text.len());
        Ok(text[start..end].to_vec())
    }

    fn records(&self) -> &'static Records {
        &self.source.journal.timens
    }
}
