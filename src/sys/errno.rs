//! What the kernel ends an interrupted call with, for itself (`linux/errno.h`).
//!
//! No program sees them: a thread that has a signal to take on its way out of the kernel, or is stopped there,
//! gets `EINTR` or makes the call anew (`arch/x86/kernel/signal.c: arch_do_signal_or_restart`).

/// Anew, unless a handler without `SA_RESTART` is to run.
pub(crate) const ERESTARTSYS: i32 = 512;

/// Anew, unless a handler is to run.
pub(crate) const ERESTARTNOHAND: i32 = 514;
