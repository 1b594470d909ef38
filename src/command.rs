//! `std::process::Command` in a time namespace.
//!
//! # Safety
//! The hook runs in the forked child, which is a copy of one thread; what it calls is said there.
#![expect(unsafe_code, reason = "std::os::unix::process::CommandExt::pre_exec")]

use std::process::Command;

use crate::namespace::TimeNamespace;

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::process::Command {}
}

/// Starting a [`Command`] in a [`TimeNamespace`].
pub trait CommandExt: sealed::Sealed {
    /// Starts the program, and all that it starts, in `namespace`.
    ///
    /// The [`Child`](std::process::Child) is then the program's front: it exits with the program's
    /// code, or 128 + N if signal N ended the program, passes signals on, and takes the program
    /// along if it is killed. Its standard streams, directory, environment and user are the
    /// program's. Where the kernel alone keeps the clocks (see [`Backend`](crate::Backend)) it is
    /// the program itself.
    ///
    /// Where [`spawn`](Command::spawn) fails because of the namespace, its error carries the errno
    /// of [`TimeNamespace::enter`].
    ///
    /// # Example
    ///
    /// ```
    /// use std::process::Command;
    /// use elsewhen::{ClockOffsets, CommandExt, TimeNamespace};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let same = TimeNamespace::new(ClockOffsets::default())?;
    /// let status = Command::new("sh").args(["-c", "exit 3"]).time_namespace(&same).status()?;
    /// assert_eq!(status.code(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    fn time_namespace(&mut self, namespace: &TimeNamespace) -> &mut Self;
}

impl CommandExt for Command {
    fn time_namespace(&mut self, namespace: &TimeNamespace) -> &mut Self {
        use std::os::unix::process::CommandExt as _;
        let namespace = namespace.clone();
        // SAFETY: after fork(2) the hook uses only system calls and the allocator, which glibc and
        // musl keep usable in the child of a process with threads; it takes no other lock.
        unsafe { self.pre_exec(move || namespace.enter().map_err(Into::into)) }
    }
}
