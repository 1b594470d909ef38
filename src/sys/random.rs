//! Random bytes that tell things apart, and are no secrets: getrandom(2).

use std::io;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes, at once.
///
/// A host that has just been started may not have gathered what secrets need for seconds, and would have a
/// restored program wait for that.
///
/// # Errors
/// Those of getrandom(2).
pub(crate) fn bytes<const LEN: usize>() -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let len = match getrandom(&mut bytes, GetRandomFlags::INSECURE) {
        // Before Linux 5.6.
        Err(Errno::INVAL) => getrandom(&mut bytes, GetRandomFlags::empty()),
        other => other,
    }?;
    match len == LEN {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
