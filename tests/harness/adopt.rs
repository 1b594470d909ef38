//! Being the one who hands a listener over to `elsewhen adopt`.

use super::process::{alone, elsewhen};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Where guests hand over what they have.
pub(crate) struct Counter {
    socket: UnixListener,
    directory: TempDir,
}

impl Counter {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(directory.path().join("socket")).unwrap();
        Self { socket, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The descriptor that the next guest hands over.
    pub(crate) fn take(&self) -> OwnedFd {
        let (connection, _) = self.socket.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        recvmsg(&connection, &mut parts, &mut ancillary, flags).unwrap();
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        descriptor.expect("the guest hands a descriptor over")
    }
}

/// A process that has been told to keep a namespace. Dropped, it is killed.
pub(crate) struct Adopter {
    child: Child,
    socket: OwnedFd,
}

impl Adopter {
    /// Starts one with this order.
    pub(crate) fn start(order: &str, listener: BorrowedFd<'_>) -> Self {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [listener.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let parts = [IoSlice::new(order.as_bytes())];
        sendmsg(&ours, &parts, &mut ancillary, SendFlags::empty()).unwrap();
        let mut command = Command::new(elsewhen());
        command.arg("adopt").stdin(theirs).stderr(Stdio::piped());
        Self {
            child: alone(|| command.spawn()).unwrap(),
            socket: ours,
        }
    }

    /// The process, which is the keeper.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits until it says that it serves; false if it ends instead.
    pub(crate) fn is_ready(&self) -> bool {
        let mut byte = [0];
        rustix::io::read(&self.socket, &mut byte).unwrap() == 1 && byte == *b"!"
    }

    /// Waits for its end: the exit status, and what it has said.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let stderr = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

impl Drop for Adopter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes with descriptors to a socket, as a runtime does to the agent's.
pub(crate) fn send(socket: &Path, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let stream = UnixStream::connect(socket).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let (first, rest) = bytes.split_at(bytes.len().min(1 << 10));
    sendmsg(
        &stream,
        &[IoSlice::new(first)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )
    .unwrap();
    // The agent may have heard enough.
    let _ = (&stream).write_all(rest);
}
