//! Which calls are notified: the table of `crate::filter` as rules of libseccomp's kind.

use crate::arch::{ARCH_SET_FS, nr};
use crate::filter::table::{
    ABSTIME, BY_REALTIME, CLONE_NEWTIME, FUTEX_CLOCK_REALTIME, FUTEX_FLAGS, FUTEX_TIME,
    FUTEX_WAITS, NEGATIVE, NO_VIEW, OPENS, READERS, SETTERS, SETTERS_OF_A_CLOCK, TIMERS,
};
use crate::filter::{Rules, Shifted};
use crate::page::{COOKIE, EXCHANGE_COOKIE, FUTEX_WAIT_COOKIE, OPEN_COOKIE, WAIT_COOKIE};

/// The bits of futex_wait(2)'s cookie that are looked at.
const FIRST_BITS: [u32; 3] = [31, 30, 29];

/// What one argument is compared with, all 64 bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Is(u64),
    IsNot(u64),
    Below(u64),
    Above(u64),
    /// These bits have this value.
    Bits {
        mask: u64,
        value: u64,
    },
}

/// An argument, by its place, and what is asked of it.
pub(super) type Condition = (u32, Test);

/// A call is notified if all conditions of one of its rules hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) number: u32,
    pub(super) conditions: Vec<Condition>,
}

/// The rules of all native calls.
///
/// Of namespaces that programs make, `/proc/PID/ns/time` does not tell, whatever `rules.views` says: who
/// has files named (stat(2), readlink(2)) would wait for the agent each time.
pub(super) fn rules(rules: Rules) -> Vec<Rule> {
    let mut table = Table(Vec::new());
    table.first_calls();
    table.readers(rules.shifted);
    table.setters();
    table.waits(rules.shifted);
    if rules.shifted.boottime {
        table.add(nr::SYSINFO, &[]);
    }
    if rules.timens {
        table.namespaces();
    }
    if rules.views {
        table.opens();
    }
    table.0
}

struct Table(Vec<Rule>);

impl Table {
    fn add(&mut self, number: u32, conditions: &[Condition]) {
        let conditions = conditions.to_vec();
        self.0.push(Rule { number, conditions });
    }

    /// A rule for whoever has not the cookie whose high half is `high` in argument `n`: no test of
    /// libseccomp's says "these bits have not this value", but one half lies below it and one above.
    fn add_without(&mut self, number: u32, conditions: &[Condition], n: u32, cookies: Cookies) {
        for test in [Test::Below(cookies.first), Test::Above(cookies.last)] {
            self.add(number, &[conditions, &[(n, test)]].concat());
        }
    }

    fn first_calls(&mut self) {
        self.add(nr::BRK, &[(0, Test::Is(0))]);
        self.add(nr::ARCH_PRCTL, &[(0, is_int(ARCH_SET_FS))]);
    }

    fn readers(&mut self, shifted: Shifted) {
        let is_foreign = (5, Test::IsNot(COOKIE));
        for clock in shifted.read() {
            self.add(nr::CLOCK_GETTIME, &[(0, is_int(clock)), is_foreign]);
        }
        for number in READERS {
            self.add(number, &[is_foreign]);
        }
    }

    fn setters(&mut self) {
        for number in SETTERS_OF_A_CLOCK {
            self.add(number, &[(0, has_not(NEGATIVE))]);
        }
        for number in SETTERS {
            self.add(number, &[]);
        }
    }

    fn waits(&mut self, shifted: Shifted) {
        let cookies = |number: u32| Cookies::of(WAIT_COOKIE + number);
        for clock in shifted.waited() {
            let number = nr::CLOCK_NANOSLEEP;
            let conditions = [(0, is_int(clock)), (1, has(ABSTIME))];
            self.add_without(number, &conditions, 5, cookies(number));
            let number = nr::FUTEX_WAITV;
            let conditions = [(3, Test::IsNot(0)), (4, is_int(clock))];
            self.add_without(number, &conditions, 5, cookies(number));
        }
        self.futex(shifted);
        self.futex_wait(shifted);
        for (number, time) in BY_REALTIME {
            self.add_without(number, &[(time, Test::IsNot(0))], 5, cookies(number));
        }
        for (number, _) in TIMERS {
            self.add_without(number, &[(1, has(ABSTIME))], 5, cookies(number));
        }
    }

    /// Its clock is the other half of the argument with the cookie, and an argument can be asked for one
    /// thing: a rule for each of the cookie's first bits, if it differs. (A rule for each of its sixteen can keep
    /// libseccomp busy for hours, and of a test for what lies below and one for what lies above it makes
    /// a wrong program if their high halves differ.)
    fn futex_wait(&mut self, shifted: Shifted) {
        for (clock, bit) in shifted
            .waited()
            .flat_map(|id| FIRST_BITS.map(|bit| (id, bit)))
        {
            let differs = Test::Bits {
                mask: 1 << (32 + bit) | 0xffff_ffff,
                value: u64::from(!FUTEX_WAIT_COOKIE & 1 << bit) << 32 | u64::from(clock),
            };
            self.add(nr::FUTEX_WAIT, &[(4, Test::IsNot(0)), (5, differs)]);
        }
    }

    fn futex(&mut self, shifted: Shifted) {
        for wait in FUTEX_WAITS {
            // Which of the flags matter, and how they stand.
            let (matter, stand) = match (wait.has_choice, shifted.monotonic) {
                (true, true) | (false, _) => (0, 0),
                (true, false) => (FUTEX_CLOCK_REALTIME, FUTEX_CLOCK_REALTIME),
            };
            let operation = Test::Bits {
                mask: (!FUTEX_FLAGS | matter).into(),
                value: (wait.command | stand).into(),
            };
            let conditions = [(1, operation), (FUTEX_TIME, Test::IsNot(0))];
            let cookies = Cookies::of(WAIT_COOKIE + nr::FUTEX);
            self.add_without(nr::FUTEX, &conditions, wait.spare, cookies);
        }
    }

    fn namespaces(&mut self) {
        self.add(nr::UNSHARE, &[(0, has(CLONE_NEWTIME))]);
        self.add(nr::SETNS, &[(1, is_int(0))]);
        self.add(nr::SETNS, &[(1, has(CLONE_NEWTIME))]);
    }

    fn opens(&mut self) {
        for (number, path) in OPENS {
            let exchange = Test::Bits {
                mask: 0xffff_ffff << 32,
                value: Cookies::of(EXCHANGE_COOKIE + number).first,
            };
            self.add(number, &[(5, exchange)]);
            let may_be_view = (path + 1, has_not(NO_VIEW));
            let cookies = Cookies::of(OPEN_COOKIE + number);
            self.add_without(number, &[may_be_view], 5, cookies);
        }
        self.add(nr::OPENAT2, &[]);
    }
}

/// All values of a register whose high half is a cookie.
#[derive(Clone, Copy)]
struct Cookies {
    first: u64,
    last: u64,
}

impl Cookies {
    fn of(high: u32) -> Self {
        let first = u64::from(high) << 32;
        Self {
            first,
            last: first | 0xffff_ffff,
        }
    }
}

/// The kernel looks at the low half of an `int`.
fn is_int(value: u32) -> Test {
    Test::Bits {
        mask: 0xffff_ffff,
        value: value.into(),
    }
}

fn has(bit: u32) -> Test {
    Test::Bits {
        mask: bit.into(),
        value: bit.into(),
    }
}

fn has_not(bits: u32) -> Test {
    Test::Bits {
        mask: bits.into(),
        value: 0,
    }
}
