//! Calls that open a file: some files under `/proc` show a clock.
//!
//! What is opened does not show in registers, so all are notified but those that cannot be of such
//! a file. A call with the
//! cookie is made by the gate, which looks at the path itself; it is bound to the path's address.

use super::bpf::Program;
use super::table::{NO_VIEW, OPENS};
use crate::arch::nr;
use crate::page::{EXCHANGE_COOKIE, OPEN_COOKIE};

const MS_BIND: u32 = 4096;
const MS_REMOUNT: u32 = 32;

/// `OPEN_TREE_CLONE` of `linux/mount.h`.
const OPEN_TREE_CLONE: u32 = 1;

/// Flags of calls that name a file: links are not followed, or a descriptor is meant.
const ITSELF: u32 = (libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH).cast_unsigned();

/// The rules, each ending in a verdict for its number.
pub(super) fn rules(p: &mut Program) {
    for (number, path) in OPENS {
        p.when_eq(number, |p| {
            // The descriptor is there already: no second one must be.
            p.load_arg_high(5);
            p.when_eq(EXCHANGE_COOKIE + number, Program::notify);
            p.load_arg_low(path + 1);
            p.when_clear(NO_VIEW, |p| {
                p.load_arg_high(5);
                p.when_eq(OPEN_COOKIE + number, |p| p.allow_if_same(5, path, u32::MAX));
                p.notify();
            });
            p.allow();
        });
    }
    // Its flags lie in memory.
    p.when_eq(nr::OPENAT2, Program::notify);
}

/// The rules for calls that name a file and do not open it: `/proc/PID/ns/time` is another one in each time
/// namespace.
pub(super) fn rules_for_names(p: &mut Program) {
    for (number, path, flags) in [
        (nr::STAT, 0, None),
        (nr::READLINK, 0, None),
        (nr::NEWFSTATAT, 1, Some(3)),
        (nr::READLINKAT, 1, None),
        (nr::STATX, 1, Some(2)),
    ] {
        let ask = |p: &mut Program| {
            p.load_arg_high(5);
            p.when_eq(EXCHANGE_COOKIE + number, Program::notify);
            p.when_eq(OPEN_COOKIE + number, |p| p.allow_if_same(5, path, u32::MAX));
            p.notify();
        };
        p.when_eq(number, |p| match flags {
            None => ask(p),
            Some(flags) => {
                p.load_arg_low(flags);
                p.when_clear(ITSELF, ask);
                p.allow();
            }
        });
    }
    // A mount of such a file keeps the namespace.
    p.when_eq(nr::MOUNT, |p| {
        p.load_arg_low(3);
        p.and(MS_BIND | MS_REMOUNT);
        p.when_ne(MS_BIND, Program::allow);
        p.notify();
    });
    p.when_eq(nr::OPEN_TREE, |p| {
        p.load_arg_low(2);
        p.when_clear(OPEN_TREE_CLONE, Program::allow);
        p.notify();
    });
}
