//! `elsewhen adopt`, hidden: becomes the keeper of processes that are there. Standard input is a socket
//! (`SOCK_SEQPACKET`); the order and its listener come by it, and `!` goes back when they are served.

use std::os::fd::AsFd;

use super::Failure;
use crate::oci::agent;
use crate::{Error, Result};

pub(super) fn adopt() -> std::result::Result<i32, Failure> {
    carry_out()?;
    Ok(0)
}

fn carry_out() -> Result<()> {
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|e| Error::os("cannot use the standard input", e))?;
    let (order, listener) = agent::take(socket.as_fd())?;
    order.carry_out(listener, socket)
}
