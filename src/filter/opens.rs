//! Calls that open a file: some files under `/proc` show a clock.
//!
//! What is opened does not show in registers, so all are notified but those that cannot be of such
//! a file: whoever wants a directory, a path alone, or a file that is not there yet.

use super::bpf::Program;
use crate::arch::nr;

const OTHERS: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_EXCL;

/// The rules, each ending in a verdict for its number.
pub(super) fn rules(p: &mut Program) {
    for (number, flags) in [(nr::OPEN, 1), (nr::OPENAT, 2)] {
        p.when_eq(number, |p| {
            p.load_arg_low(flags);
            p.when_clear(OTHERS.cast_unsigned(), Program::notify);
            p.allow();
        });
    }
    // Its flags lie in memory.
    p.when_eq(nr::OPENAT2, Program::notify);
}
