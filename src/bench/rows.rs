//! What is measured, and where.

/// A world to measure in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Outside of every namespace.
    Host,
    /// Under a filter with one rule that lets all these calls through, as in any container.
    Filtered,
    /// Under elsewhen's filter, with a supervisor that only lets each call continue.
    Notified,
    /// Inside a namespace.
    Inside,
}

impl Side {
    pub(crate) const ALL: [Self; 4] = [Self::Host, Self::Filtered, Self::Notified, Self::Inside];

    /// Its name in arguments and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Filtered => "filtered",
            Self::Notified => "notified",
            Self::Inside => "inside",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }
}

/// A thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Exec,
    ExecDynamic,
    /// The user's own program.
    Program,
    Unlisted,
    Realtime,
    Monotonic,
    Coarse,
    SystemCall,
    Memory,
    /// The steps of an injection, one sample of each in turn.
    Steps,
}

/// What a row's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Nanoseconds,
    Kibibytes,
}

impl Row {
    /// The rows of the table, in its order.
    pub(super) const TABLE: [Self; 9] = [
        Self::Exec,
        Self::ExecDynamic,
        Self::Program,
        Self::Unlisted,
        Self::Realtime,
        Self::Monotonic,
        Self::Coarse,
        Self::SystemCall,
        Self::Memory,
    ];

    const ALL: [Self; 10] = [
        Self::Exec,
        Self::ExecDynamic,
        Self::Program,
        Self::Unlisted,
        Self::Realtime,
        Self::Monotonic,
        Self::Coarse,
        Self::SystemCall,
        Self::Memory,
        Self::Steps,
    ];

    /// Its stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::ExecDynamic => "exec_three_calls",
            Self::Program => "exec_program",
            Self::Unlisted => "unlisted_call",
            Self::Realtime => "clock_realtime",
            Self::Monotonic => "clock_monotonic",
            Self::Coarse => "clock_monotonic_coarse",
            Self::SystemCall => "clock_system_call",
            Self::Memory => "private_memory",
            Self::Steps => "steps",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.name() == name)
    }

    /// What it is, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Exec => "vfork, exec and wait of a static program",
            Self::ExecDynamic => "the same with the three first calls of glibc",
            Self::Program => "the same of the program given",
            Self::Unlisted => "a system call that carries no time (getppid)",
            Self::Realtime => "clock_gettime REALTIME, hot",
            Self::Monotonic => "clock_gettime MONOTONIC, hot",
            Self::Coarse => "clock_gettime MONOTONIC_COARSE, hot",
            Self::SystemCall => "clock_gettime REALTIME by system call",
            Self::Memory => "private memory of the vDSO",
            Self::Steps => "the steps of an injection",
        }
    }

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Memory => Unit::Kibibytes,
            _ => Unit::Nanoseconds,
        }
    }

    /// Where it is measured.
    pub(super) fn sides(self) -> &'static [Side] {
        match self {
            Self::Exec | Self::ExecDynamic | Self::Program | Self::Unlisted | Self::SystemCall => {
                &Side::ALL
            }
            Self::Realtime | Self::Monotonic | Self::Coarse | Self::Memory => {
                &[Side::Host, Side::Inside]
            }
            Self::Steps => &[Side::Host],
        }
    }

    /// The rows measured in `side`.
    pub(super) fn of(side: Side) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |row| row.sides().contains(&side))
    }

    /// How many times the thing is done for one sample, and samples taken in a round.
    pub(super) fn amount(self) -> (u32, u32) {
        match self {
            Self::Exec | Self::ExecDynamic | Self::Program => (1, 20),
            Self::Steps => (1, 10),
            Self::Unlisted | Self::Realtime | Self::Monotonic | Self::Coarse => (2000, 5),
            Self::SystemCall => (50, 5),
            Self::Memory => (1, 1),
        }
    }
}
