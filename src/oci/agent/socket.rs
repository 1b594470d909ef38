//! The socket that runtimes connect to: one that is handed over (sd_listen_fds(3)), or one that is made.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::line::shown;
use crate::sys::process;
use crate::{Error, Result};

/// The first descriptor that is handed over (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// A socket that is listened to; if its file is ours it goes with this.
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    file: Option<(PathBuf, u64)>,
}

impl Socket {
    /// Makes one.
    ///
    /// # Errors
    /// Somebody listens there already, or what is there is no socket.
    pub(super) fn make(path: &Path, mode: u32) -> Result<Self> {
        let cannot = |e: io::Error| {
            Error::os(
                format!("cannot listen at `--socket {}`", shown(path.as_os_str())),
                e,
            )
        };
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(cannot(io::Error::from_raw_os_error(libc::EEXIST))
                    .with_way_out("what lies there is no socket: choose another path"));
            }
            // Nobody listens any more where a connection is refused.
            match probe(path) {
                Err(Errno::CONNREFUSED) => {
                    fs::remove_file(path).map_err(cannot)?;
                }
                _ => {
                    return Err(cannot(io::Error::from_raw_os_error(libc::EADDRINUSE))
                        .with_way_out(
                            "another agent is running: stop it, or choose another path",
                        ));
                }
            }
        }
        // It is born with its mode: to change that by the path might change another file's.
        let umask = rustix::process::umask(Mode::from_raw_mode(!mode & 0o777));
        let listener = UnixListener::bind(path);
        rustix::process::umask(umask);
        let listener = listener.map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let inode = fs::symlink_metadata(path).map_err(cannot)?.ino();
        Ok(Self {
            listener,
            file: Some((path.to_owned(), inode)),
        })
    }

    /// The one that the service manager has handed over, if it has.
    ///
    /// # Errors
    /// It is more than one, or none to listen to.
    pub(super) fn inherited() -> Result<Option<Self>> {
        let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Ok(None);
        }
        let what = "the socket that the service manager hands over";
        match number("LISTEN_FDS") {
            None | Some(0) => return Ok(None),
            Some(1) => {}
            Some(_) => return Err(Error::new(format!("{what}: more than one"))),
        }
        let socket = process::take_descriptor(FIRST).map_err(|e| Error::os(what, e))?;
        let is_listening = rustix::net::sockopt::socket_acceptconn(&socket);
        let is_unix = rustix::net::sockopt::socket_domain(&socket)
            .is_ok_and(|domain| domain == rustix::net::AddressFamily::UNIX);
        if is_listening != Ok(true) || !is_unix {
            return Err(Error::new(format!(
                "{what}: not a UNIX socket that is listened to; use `ListenStream=` with a path"
            )));
        }
        let listener = UnixListener::from(socket);
        listener
            .set_nonblocking(true)
            .map_err(|e| Error::os(what, e))?;
        Ok(Some(Self {
            listener,
            file: None,
        }))
    }
}

/// Connects, and does not wait: to who listens and is busy (`EAGAIN`) this might last for ever.
fn probe(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some((path, inode)) = &self.file
            && fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode)
        {
            let _ = fs::remove_file(path);
        }
    }
}
