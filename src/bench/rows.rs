//! What is measured, and where: the table's rows as data.

use super::program::Program;
use super::reader::Read;
use super::side::Side;
use super::wait_rows::{WAITING, WAITS};
use super::waits::Wait;

/// A thing to measure.
#[derive(Debug)]
pub(super) struct Row {
    /// Its stable name.
    pub(super) name: &'static str,
    /// What it is, for people, below its group's title.
    pub(super) title: &'static str,
    pub(super) group: Group,
    pub(super) action: Action,
    /// Where it is measured.
    pub(super) sides: &'static [Side],
    /// How many times it is done for one sample.
    pub(super) times: u32,
    /// Samples taken in a round.
    pub(super) samples: u32,
}

/// Rows that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Hot,
    Coarse,
    First,
    Waits,
    Calls,
    /// In no table.
    Apart,
}

impl Group {
    pub(super) const TABLE: [Self; 5] = [
        Self::Hot,
        Self::Coarse,
        Self::First,
        Self::Waits,
        Self::Calls,
    ];

    /// Its stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Coarse => "coarse",
            Self::First => "first",
            Self::Waits => "waits",
            Self::Calls => "calls",
            Self::Apart => "apart",
        }
    }

    /// What its rows are, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Hot => "a clock read, hot",
            Self::Coarse => "a coarse clock read, hot",
            Self::First => "the first read in a fresh exec",
            Self::Waits => "a wait that ends at once",
            Self::Calls => "system calls and programs",
            Self::Apart => "",
        }
    }

    /// The columns of its table.
    pub(super) fn sides(self) -> &'static [Side] {
        match self {
            Self::Hot | Self::Coarse | Self::First => &READING,
            Self::Waits => &WAITING,
            Self::Calls | Self::Apart => &CALLING,
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Reading again and again.
    Read(Read),
    /// Reading a clock once in a program that has just been started.
    First(i32),
    /// Waiting again and again.
    Wait(Wait),
    /// Waiting once in a program that has just been started.
    FirstWait,
    /// getppid(2).
    Unlisted,
    /// clock_gettime(2) past the vDSO.
    Trapped,
    /// open(2) and close(2) of this file.
    Open(&'static str),
    /// Starting a smallest program.
    Exec(Program),
    /// Starting this program itself, a dynamic one.
    ExecDynamic,
    /// Starting the user's own program.
    ExecGiven,
    /// The KiB of the vDSO that this process shares with nobody.
    Memory,
    /// The steps of an injection, one sample of each in turn.
    Steps,
}

const READING: [Side; 6] = [
    Side::Host,
    Side::Crowded,
    Side::Kernel,
    Side::Inside,
    Side::Libfaketime,
    Side::SystemCall,
];
const CALLING: [Side; 7] = [
    Side::Host,
    Side::Crowded,
    Side::Kernel,
    Side::Inside,
    Side::Libfaketime,
    Side::Filtered,
    Side::Notified,
];
/// libfaketime does not reach static programs.
const STATIC: [Side; 6] = [
    Side::Host,
    Side::Crowded,
    Side::Kernel,
    Side::Inside,
    Side::Filtered,
    Side::Notified,
];

/// Where files are opened; nothing else changes what that costs.
const OPENING: [Side; 3] = [Side::Host, Side::Kernel, Side::Inside];

/// The rows of the table but [`WAITS`], in its order.
const TABLE: [Row; 25] = [
    hot("clock_realtime", "REALTIME", libc::CLOCK_REALTIME),
    hot("clock_monotonic", "MONOTONIC", libc::CLOCK_MONOTONIC),
    hot("clock_boottime", "BOOTTIME", libc::CLOCK_BOOTTIME),
    hot(
        "clock_monotonic_raw",
        "MONOTONIC_RAW",
        libc::CLOCK_MONOTONIC_RAW,
    ),
    hot("clock_tai", "TAI", libc::CLOCK_TAI),
    read(
        "gettimeofday",
        "gettimeofday",
        Group::Hot,
        Read::TimeOfDay,
        2048,
    ),
    coarse(
        "clock_realtime_coarse",
        "REALTIME_COARSE",
        Read::Clock(libc::CLOCK_REALTIME_COARSE),
    ),
    coarse(
        "clock_monotonic_coarse",
        "MONOTONIC_COARSE",
        Read::Clock(libc::CLOCK_MONOTONIC_COARSE),
    ),
    coarse("time", "time", Read::Time),
    first("first_realtime", "REALTIME", libc::CLOCK_REALTIME),
    first("first_monotonic", "MONOTONIC", libc::CLOCK_MONOTONIC),
    first("first_boottime", "BOOTTIME", libc::CLOCK_BOOTTIME),
    first(
        "first_monotonic_raw",
        "MONOTONIC_RAW",
        libc::CLOCK_MONOTONIC_RAW,
    ),
    first("first_tai", "TAI", libc::CLOCK_TAI),
    first(
        "first_realtime_coarse",
        "REALTIME_COARSE",
        libc::CLOCK_REALTIME_COARSE,
    ),
    first(
        "first_monotonic_coarse",
        "MONOTONIC_COARSE",
        libc::CLOCK_MONOTONIC_COARSE,
    ),
    call(
        "unlisted_call",
        "a call that carries no time (getppid)",
        Action::Unlisted,
        &CALLING,
        (2000, 3),
    ),
    call(
        "clock_system_call",
        "clock_gettime past the vDSO",
        Action::Trapped,
        &STATIC,
        (50, 3),
    ),
    call(
        "open",
        "open and close of a file (/dev/null)",
        Action::Open("/dev/null"),
        &OPENING,
        (100, 3),
    ),
    call(
        "open_uptime",
        "open and close of /proc/uptime",
        Action::Open("/proc/uptime"),
        &OPENING,
        (5, 2),
    ),
    call(
        "exec",
        "exec of a static program",
        Action::Exec(Program::Short),
        &STATIC,
        (1, 10),
    ),
    call(
        "exec_three_calls",
        "exec with three first calls of glibc",
        Action::Exec(Program::Dynamic),
        &STATIC,
        (1, 10),
    ),
    call(
        "exec_dynamic",
        "exec of a dynamic program (elsewhen)",
        Action::ExecDynamic,
        &CALLING,
        (1, 3),
    ),
    call(
        "exec_program",
        "exec of the program given",
        Action::ExecGiven,
        &CALLING,
        (1, 10),
    ),
    call(
        "private_memory",
        "private memory of the vDSO",
        Action::Memory,
        &[Side::Host, Side::Inside],
        (1, 1),
    ),
];

/// What the parts of an exec are taken from.
pub(super) const STEPS: Row = Row {
    group: Group::Apart,
    ..call(
        "steps",
        "the steps of an injection",
        Action::Steps,
        &[Side::Host],
        (1, 10),
    )
};

/// Reads that go on while something else happens: a millisecond of them.
pub(super) const GOING_ON: Row = Row {
    group: Group::Apart,
    samples: 1,
    ..read(
        "going_on",
        "reads that go on",
        Group::Apart,
        Read::Clock(libc::CLOCK_MONOTONIC),
        40_000,
    )
};

const fn read(
    name: &'static str,
    title: &'static str,
    group: Group,
    read: Read,
    times: u32,
) -> Row {
    Row {
        name,
        title,
        group,
        action: Action::Read(read),
        sides: &READING,
        times,
        samples: 3,
    }
}

const fn hot(name: &'static str, title: &'static str, clock: i32) -> Row {
    self::read(name, title, Group::Hot, Read::Clock(clock), 2048)
}

const fn coarse(name: &'static str, title: &'static str, read: Read) -> Row {
    self::read(name, title, Group::Coarse, read, 4096)
}

const fn first(name: &'static str, title: &'static str, clock: i32) -> Row {
    Row {
        group: Group::First,
        action: Action::First(clock),
        samples: 4,
        times: 1,
        ..read(name, title, Group::First, Read::Clock(clock), 1)
    }
}

const fn call(
    name: &'static str,
    title: &'static str,
    action: Action,
    sides: &'static [Side],
    (times, samples): (u32, u32),
) -> Row {
    Row {
        name,
        title,
        group: Group::Calls,
        action,
        sides,
        times,
        samples,
    }
}

impl Row {
    /// The rows of the table.
    pub(super) fn table() -> impl Iterator<Item = &'static Self> {
        TABLE.iter().chain(&WAITS)
    }

    pub(super) fn from_name(name: &str) -> Option<&'static Self> {
        let mut all = Self::table().chain([&STEPS, &GOING_ON]);
        all.find(|row| row.name == name)
    }

    /// The rows that each round measures in `side`.
    pub(super) fn of(side: Side) -> impl Iterator<Item = &'static Self> {
        let all = Self::table().chain([&STEPS]);
        all.filter(move |row| row.sides.contains(&side))
    }

    /// Whether its numbers are KiB, and no times.
    pub(super) fn is_memory(&self) -> bool {
        self.action == Action::Memory
    }
}
