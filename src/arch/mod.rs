//! What differs between processor architectures, in one place for each.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "elsewhen runs on x86-64 Linux; other architectures need a file beside `src/arch/x86_64.rs`"
);
