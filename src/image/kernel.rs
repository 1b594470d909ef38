//! The kernel's own `clock_gettime`, kept within reach although its entry leads to ours.
//!
//! It stays where it is, but for two things. The instructions that the jump at its entry displaces
//! go to a place of ours. And before a system call it must carry the cookie, or the supervisor
//! would shift the answer, and the image would shift it again.

use super::arch;
use super::bytes::put;
use super::elf::Symbol;

/// Makes the code at `entry` run the kernel's `function`, with stubs for its system calls put at
/// `stubs`.
///
/// Nothing has been changed if this fails.
pub(super) fn keep(
    image: &mut [u8],
    host: &[u8],
    function: &Symbol,
    entry: usize,
    stubs: usize,
) -> Result<(), &'static str> {
    const BROKEN: &str = "its `clock_gettime` lies outside it";
    let start = usize::try_from(function.value).map_err(|_| BROKEN)?;
    let size = usize::try_from(function.size).map_err(|_| BROKEN)?;
    let body = start
        .checked_add(size)
        .and_then(|end| host.get(start..end))
        .ok_or(BROKEN)?;
    let displaced = arch::whole_instructions(body, arch::JUMP_LEN)
        .filter(|len| len + arch::JUMP_LEN <= arch::ENTRY_ROOM)
        .ok_or("its `clock_gettime` begins with instructions that are not known here")?;
    let calls: Vec<usize> = arch::clock_gettime_calls(body).collect();
    if calls.len() != arch::system_calls(body)
        || calls.len() > arch::STUBS
        || calls.iter().any(|&at| at < displaced)
    {
        return Err("its `clock_gettime` makes system calls in a way that is not known here");
    }
    let mut code = body[..displaced].to_vec();
    code.extend(arch::jump(entry + displaced, start + displaced));
    put(image, entry, &code).ok_or(BROKEN)?;
    for (n, at) in calls.into_iter().enumerate() {
        let (call, stub) = (start + at, stubs + n * arch::STUB_LEN);
        put(image, stub, &arch::stub(stub, call)).ok_or(BROKEN)?;
        put(image, call, &arch::jump(call, stub)).ok_or(BROKEN)?;
    }
    Ok(())
}
