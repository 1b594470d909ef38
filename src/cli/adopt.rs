//! `elsewhen adopt`, hidden: becomes the keeper of processes that are there. Standard input is a socket
//! (`SOCK_SEQPACKET`); the order and its listener come by it, and back goes `!` when they are served, or
//! `-` with the reason why they are not.

use std::os::fd::{AsFd, OwnedFd};

use super::Failure;
use crate::oci::agent;
use crate::sys::channel;
use crate::{Error, Result};

pub(super) fn adopt() -> std::result::Result<i32, Failure> {
    let own = |_| {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        socket.map_err(|e| Error::os("cannot use the standard input", e))
    };
    let (socket, ready) = (own(())?, own(())?);
    carry_out(&socket, ready).map_err(|error| {
        let _ = channel::send(socket.as_fd(), format!("-{error}").as_bytes(), None);
        Failure::from(error)
    })?;
    Ok(0)
}

fn carry_out(socket: &OwnedFd, ready: OwnedFd) -> Result<()> {
    let (order, listener) = agent::take(socket.as_fd())?;
    order.carry_out(listener, ready)
}
