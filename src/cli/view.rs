//! A running namespace as it is printed: with its clocks as they stand now.

use std::time::SystemTime;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::users::Users;
use crate::clock::{ClockOffsets, Offset, Readings};
use crate::{Result, RunningNamespace, RunningTree};

/// A namespace, in the names of `--json`, which are stable.
#[derive(Clone, Debug, Serialize)]
pub(super) struct View {
    pub(super) name: Option<String>,
    /// `guest`, `auto` where the kernel keeps a part, or `kernel`.
    pub(super) backend: &'static str,
    pub(super) owner: Owner,
    /// When it was started, by the host's clock, in RFC 3339.
    pub(super) since: Option<String>,
    pub(super) strict: bool,
    /// Which way clock reads take.
    pub(super) reads: Option<String>,
    /// Seconds from the host, exactly.
    pub(super) offsets: Clocks,
    /// What the clocks read: seconds.
    pub(super) clocks: Clocks,
    pub(super) trees: Vec<Tree>,
    #[serde(skip)]
    pub(super) realtime: i128,
    #[serde(skip)]
    pub(super) shifts: ClockOffsets,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Owner {
    uid: u32,
    user: Option<String>,
}

/// Text, since not all JSON numbers survive all readers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Clocks {
    pub(super) realtime: String,
    pub(super) tai: String,
    pub(super) monotonic: String,
    pub(super) boottime: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Tree {
    pub(super) keeper: Option<i32>,
    pub(super) inner: bool,
    pub(super) processes: Vec<Process>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) uid: u32,
    pub(super) name: String,
}

impl View {
    /// `host` is what the host's clocks read now.
    pub(super) fn of(namespace: RunningNamespace, host: &Readings, users: &Users) -> Self {
        let RunningNamespace {
            offsets, around, ..
        } = namespace;
        let inside = |host: i128, offset: Offset, around: Offset| {
            host + offset.as_nanos() + around.as_nanos()
        };
        let realtime = inside(host.realtime, offsets.realtime, around.realtime);
        Self {
            name: namespace.name,
            backend: match (namespace.is_kernels, namespace.leaves_to_kernel) {
                (true, _) => "kernel",
                (_, true) => "auto",
                _ => "guest",
            },
            owner: Owner {
                uid: namespace.owner,
                user: users.name(namespace.owner).map(str::to_owned),
            },
            since: namespace.since.and_then(rfc_3339),
            strict: namespace.strict,
            reads: namespace.reads,
            offsets: Clocks {
                realtime: offsets.realtime.to_string(),
                tai: offsets.tai.to_string(),
                monotonic: offsets.monotonic.to_string(),
                boottime: offsets.boottime.to_string(),
            },
            clocks: Clocks {
                realtime: seconds(realtime),
                tai: seconds(inside(host.tai, offsets.tai, around.tai)),
                monotonic: seconds(inside(host.monotonic, offsets.monotonic, around.monotonic)),
                boottime: seconds(inside(host.boottime, offsets.boottime, around.boottime)),
            },
            trees: namespace.trees.into_iter().map(Tree::from).collect(),
            realtime,
            shifts: offsets,
        }
    }

    /// The pid that stands for the namespace.
    pub(super) fn pid(&self) -> Option<i32> {
        let first = self.trees.first()?;
        first.keeper.or_else(|| Some(first.processes.first()?.pid))
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.trees.iter().flat_map(|tree| &tree.processes)
    }

    /// The time of day inside, in the local zone.
    pub(super) fn time(&self) -> String {
        local(self.realtime)
    }
}

impl Owner {
    /// The user's name, or the number.
    pub(super) fn shown(&self) -> String {
        match &self.user {
            Some(name) => name.clone(),
            None => self.uid.to_string(),
        }
    }
}

impl From<RunningTree> for Tree {
    fn from(tree: RunningTree) -> Self {
        let processes = tree.processes.into_iter().map(|process| Process {
            pid: process.pid,
            uid: process.user,
            name: process.name,
        });
        Self {
            keeper: tree.keeper,
            inner: tree.inner,
            processes: processes.collect(),
        }
    }
}

/// All of them, as they stand now.
pub(super) fn views(namespaces: Vec<RunningNamespace>) -> Result<Vec<View>> {
    let users = Users::read();
    let host = crate::reading::host()?;
    let views = namespaces
        .into_iter()
        .map(|namespace| View::of(namespace, &host, &users));
    Ok(views.collect())
}

/// Nanoseconds as `1893456000.000000005`.
fn seconds(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!(
        "{sign}{}.{:09}",
        nanos / 1_000_000_000,
        nanos % 1_000_000_000
    )
}

fn rfc_3339(time: SystemTime) -> Option<String> {
    Some(Timestamp::try_from(time).ok()?.to_string())
}

/// A time of day to the second, in the local zone.
fn local(nanos: i128) -> String {
    match Timestamp::from_nanosecond(nanos) {
        Ok(time) => {
            let time = time.to_zoned(TimeZone::system());
            time.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
        }
        Err(_) => format!("@{}", nanos.div_euclid(1_000_000_000)),
    }
}

/// The text of [`View::since`] in the local zone.
pub(super) fn since(view: &View) -> Option<String> {
    let time: Timestamp = view.since.as_deref()?.parse().ok()?;
    Some(local(time.as_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_nine_digits_behind_the_point() {
        assert_eq!(seconds(5), "0.000000005");
        assert_eq!(seconds(-1_500_000_000), "-1.500000000");
    }
}
