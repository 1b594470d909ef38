//! A profile against the filter of a tree: both say the same of every call, but for the time's address in a
//! cookie.

#[path = "../../../tests/harness/oci_rules.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the tests of the command"
)]
mod oci_rules;

use std::path::PathBuf;

use super::names::name;
use super::{Base, Form, Order};
use crate::arch::{AUDIT_NATIVE, nr};
use crate::filter::tests::verdict;
use crate::filter::{Rules, Shifted, program};
use crate::page::{ADDRESS_BITS, COOKIE, EXCHANGE_COOKIE, FUTEX_WAIT_COOKIE};
use crate::page::{OPEN_COOKIE, WAIT_COOKIE};

const NUMBERS: [u32; 23] = [
    nr::OPEN,
    nr::BRK,
    nr::GETTIMEOFDAY,
    nr::SYSINFO,
    nr::ARCH_PRCTL,
    nr::ADJTIMEX,
    nr::SETTIMEOFDAY,
    nr::TIME,
    nr::FUTEX,
    nr::TIMER_SETTIME,
    nr::CLOCK_SETTIME,
    nr::CLOCK_GETTIME,
    nr::CLOCK_NANOSLEEP,
    nr::MQ_TIMEDSEND,
    nr::MQ_TIMEDRECEIVE,
    nr::OPENAT,
    nr::TIMERFD_SETTIME,
    nr::UNSHARE,
    nr::CLOCK_ADJTIME,
    nr::SETNS,
    nr::OPENAT2,
    nr::FUTEX_WAITV,
    nr::FUTEX_WAIT,
];

/// A small generator of Marsaglia's (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).unwrap()
    }

    fn of(&mut self, list: &[u32]) -> u32 {
        let at = self.below(u32::try_from(list.len()).unwrap());
        list[usize::try_from(at).unwrap()]
    }

    /// An argument that some rule may be about.
    fn argument(&mut self, number: u32, near: u64) -> u64 {
        let low = match self.below(3) {
            0 => near & 0xffff_ffff,
            1 => self.next() & 0xffff_ffff,
            _ => 0x7768 << 16 | near & u64::from(ADDRESS_BITS),
        };
        let cookie = |high: u32| u64::from(high) << 32 | low;
        match self.below(12) {
            0..4 => self.below(14).into(),
            4 => (self.of(&[0, 1, 128, 256, 384]) | self.of(&[6, 9, 11, 13])).into(),
            5 => {
                let flags = [
                    0x1002,
                    0x1003,
                    0x80,
                    0o200_000,
                    0o10_000_000,
                    0o200,
                    1 << 31,
                ];
                self.of(&flags).into()
            }
            6 => COOKIE,
            7 => cookie(WAIT_COOKIE + number),
            8 => cookie(self.of(&[OPEN_COOKIE, EXCHANGE_COOKIE]) + number),
            9 => cookie(FUTEX_WAIT_COOKIE | self.below(0x2_0000)),
            10 => u64::from(self.below(14)) << 32 | u64::from(self.below(14)),
            _ => self.next(),
        }
    }
}

/// What the rules cannot say as the filter does: a cookie with another address counts, and of that of
/// futex_wait(2) the first three bits.
fn may_differ(number: u32, args: &[u64; 6], is_notified: bool) -> bool {
    let high = |n: usize| u32::try_from(args[n] >> 32).unwrap();
    match number {
        nr::FUTEX_WAIT => !is_notified && high(5) >> 29 == FUTEX_WAIT_COOKIE >> 29,
        nr::OPEN | nr::OPENAT => !is_notified && high(5) == OPEN_COOKIE + number,
        _ => !is_notified && [4, 5].map(high).contains(&(WAIT_COOKIE + number)),
    }
}

#[test]
fn a_profile_says_what_the_filter_says() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for bits in 0..8u32 {
        let shifted = Shifted {
            realtime: true,
            monotonic: bits & 1 != 0,
            boottime: bits & 2 != 0,
        };
        let has_views = bits & 4 != 0;
        let order = Order {
            socket: PathBuf::from("/run/agent.sock"),
            metadata: String::new(),
            shifted,
            has_views,
            form: Form::Oci,
        };
        let rules = oci_rules::Rules::of(&order.profile(&Base::allow_all()).unwrap());
        let program = program(Rules {
            strict: false,
            x32: true,
            shifted,
            timens: shifted == Shifted::ANY,
            views: has_views,
        });
        let (mut different, mut notified) = (0, 0);
        for number in NUMBERS {
            for _ in 0..3_000 {
                let near = random.next();
                let args = std::array::from_fn(|_| random.argument(number, near));
                let ours = rules.action(name(number), &args) == "SCMP_ACT_NOTIFY";
                let filters = verdict(&program, AUDIT_NATIVE, number, args);
                notified += u32::from(ours);
                if ours != (filters == libc::SECCOMP_RET_USER_NOTIF) {
                    let may = may_differ(number, &args, ours);
                    assert!(may, "{} {args:x?}: {ours}, {order:?}", name(number));
                    different += 1;
                }
            }
        }
        assert!(notified > 5_000, "{notified}");
        assert!(different > 20, "the exceptions do occur: {different}");
    }
}
