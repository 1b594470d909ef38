//! Yama's `ptrace_scope` (`Documentation/admin-guide/LSM/Yama.rst`): who may open a program's memory.

use rustix::thread::{CapabilitySet, capabilities};

use crate::inject::Force;
use crate::{Error, Result};

/// Who opens `/proc/PID/mem` of the tree's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    ByWorker,
    /// Only the programs' ancestors may, and the worker is none.
    ByKeeper,
}

impl Opening {
    /// Finds out for this process, which is to become the keeper or the worker.
    ///
    /// # Errors
    /// Neither may.
    pub(crate) fn find() -> Result<Self> {
        // To have the other way tested where there is no Yama, by debug builds only.
        if cfg!(debug_assertions) && std::env::var_os("ELSEWHEN_TEST_KEEPER_OPENS").is_some() {
            return Ok(Self::ByKeeper);
        }
        match ptrace_scope().unwrap_or(0) {
            3.. => Err(Error::new(
                "Yama's ptrace_scope is 3, which forbids access to programs' memory to everybody; \
                 boot with a `kernel.yama.ptrace_scope` of 2 at the most",
            )),
            1.. if may_trace_all() => Ok(Self::ByWorker),
            2 => Err(Error::new(
                "Yama's ptrace_scope is 2, which keeps programs' memory from ordinary users; \
                 run it as root, or set `kernel.yama.ptrace_scope` to 1",
            )),
            1 => Ok(Self::ByKeeper),
            0 => Ok(Self::ByWorker),
        }
    }

    /// # Errors
    /// The worker has to trace programs, and it may not.
    pub(crate) fn check(self, strict: bool, force: Force) -> Result<()> {
        if self == Self::ByWorker {
            return Ok(());
        }
        if force == Force::ByTracer {
            return Err(Error::new(
                "this kernel lets only a tracer write images (proc_mem.force_override), and Yama's \
                 ptrace_scope 1 keeps ordinary users from tracing; \
                 run it as root, or set `kernel.yama.ptrace_scope` to 0",
            ));
        }
        if strict {
            return Err(Error::new(
                "`--strict` takes CAP_SYS_PTRACE under Yama's ptrace_scope 1; \
                 run it as root, leave `--strict` out, or set `kernel.yama.ptrace_scope` to 0",
            ));
        }
        Ok(())
    }
}

/// Yama's `ptrace_scope`; `None` without Yama.
pub(crate) fn ptrace_scope() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    text.trim().parse().ok()
}

/// Whether `CAP_SYS_PTRACE` is in force.
pub(super) fn may_trace_all() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_PTRACE))
}
