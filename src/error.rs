//! The library's one error type.

use std::fmt;
use std::io;

/// What elsewhen was doing when it failed, and the system's reason if there was one.
///
/// The message is one line, in lower case, and names the way out where there is one.
#[derive(Debug)]
pub struct Error {
    message: String,
    source: Option<io::Error>,
    way_out: Option<&'static str>,
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of elsewhen's own, with no system call behind it.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
            way_out: None,
        }
    }

    /// An error the system gave while elsewhen was doing `message`.
    pub(crate) fn os(message: impl Into<String>, source: io::Error) -> Self {
        Self {
            message: message.into(),
            source: Some(source),
            way_out: None,
        }
    }

    /// The same error, behind what explains it.
    pub(crate) fn behind(self, why: &str) -> Self {
        Self {
            message: format!("{why}: {}", self.message),
            ..self
        }
    }

    /// The same error, saying what the user can do about it.
    pub(crate) fn with_way_out(self, way_out: &'static str) -> Self {
        Self {
            way_out: Some(way_out),
            ..self
        }
    }

    /// The `errno` of the failed system call, if a system call failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// Whether a privilege was missing (`EPERM` or `EACCES`).
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(libc::EPERM | libc::EACCES))
    }

    /// Whether the running kernel lacks what was asked for (`ENOSYS`, `EOPNOTSUPP` or `EINVAL`).
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {}", self.message, errno_text(source)),
            None => f.write_str(&self.message),
        }?;
        match self.way_out {
            Some(way_out) => write!(f, "; {way_out}"),
            None => Ok(()),
        }
    }
}

/// The system's own words for an error, without Rust's ` (os error N)`.
pub(crate) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error.errno() {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(error),
        }
    }
}
