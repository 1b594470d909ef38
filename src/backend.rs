//! Who keeps a namespace's clocks.

/// Who keeps the clocks of a [`TimeNamespace`](crate::TimeNamespace).
///
/// All tell the same time. They differ in what they need, and in what stays beside the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// The kernel keeps `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` where this process may make time
    /// namespaces (`CAP_SYS_ADMIN` and `CAP_SYS_TIME`, `CONFIG_TIME_NS`), and elsewhen the others;
    /// elsewhere elsewhen keeps them all.
    ///
    /// Where only the kernel's clocks are shifted, and the namespace has no name and is not strict,
    /// no supervisor is started.
    #[default]
    Auto,
    /// elsewhen keeps every clock, on any kernel and for any user.
    Guest,
    /// The kernel keeps `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`; no other clock can be shifted, and
    /// no supervisor is started.
    Kernel,
}
