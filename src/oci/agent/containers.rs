//! Which clocks a container has: decided once, when it is made, and the same for all that joins it.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::message::Message;
use super::restored;
use crate::clock::ClockOffsets;
use crate::oci::offsets::Words;
use crate::registry::{self, Container, Member};
use crate::supervisor::Beside;
use crate::{Error, Result, reading};

/// No bundle's configuration is longer.
const MOST_BYTES: u64 = 16 << 20;

/// The containers whose processes this agent has handed to keepers, by the users who have made them and
/// their ids: one user's id says nothing about another's container.
#[derive(Default)]
pub(super) struct Containers(HashMap<(u32, String), (Found, usize)>);

/// What a process that is put into a container gets.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) container: Container,
    /// The container's first process, if CRIU has restored it.
    pub(super) beside: Option<Beside>,
    /// What the runtime takes for the first process, or 0.
    first: i32,
}

impl Found {
    /// For a container that is being made.
    pub(super) fn made(container: Container, message: &Message) -> Self {
        Self {
            container,
            beside: None,
            first: message.state.pid,
        }
    }

    /// Whether a message is about the same container, and not about what has been restored under its id.
    fn is_of(&self, message: &Message) -> bool {
        let first = message.state.pid;
        self.first == first || self.first == 0 || first == 0
    }
}

impl Containers {
    /// The clocks for what a runtime has just put into a container.
    ///
    /// # Errors
    /// What the container is to have is not to be understood; or it is joined, and nothing is known
    /// of it.
    pub(super) fn find(&self, message: &Message, user: u32) -> Result<Found> {
        let id = &message.state.id;
        let found = |container, beside| Found {
            container,
            beside,
            first: message.state.pid,
        };
        if message.state.is_creating() {
            self.check_free(id, user)?;
            return Ok(found(decide(message, is_trusted(user))?, None));
        }
        if let Some((known, _)) = self.0.get(&(user, id.clone()))
            && known.is_of(message)
        {
            return Ok(known.clone());
        }
        // What others say of a process may be said of anybody's.
        if is_trusted(user)
            && let Some((container, beside)) = restored::find(message)?
        {
            return Ok(found(container, Some(beside)));
        }
        // Another agent has handed it over, before this one was started.
        let container = registry::container(id, user)?.ok_or_else(restored::unknown)?;
        Ok(found(container, None))
    }

    /// # Errors
    /// The id is that of a container of root's or of the agent's own user, and another user says it: who
    /// asks about that container is not to be told of another.
    fn check_free(&self, id: &str, user: u32) -> Result<()> {
        if is_trusted(user) {
            return Ok(());
        }
        for other in [0, rustix::process::geteuid().as_raw()] {
            let is_known = self.0.contains_key(&(other, id.to_owned()));
            if is_known || registry::container(id, other)?.is_some() {
                return Err(Error::new("another user's container of that id is running"));
            }
        }
        Ok(())
    }

    /// Notes that a keeper has been told to serve a part of a container.
    pub(super) fn add(&mut self, user: u32, id: &str, found: &Found) {
        let entry = self.0.entry((user, id.to_owned()));
        let (known, keepers) = entry.or_insert_with(|| (found.clone(), 0));
        *known = found.clone();
        *keepers += 1;
    }

    /// Notes that one has ended.
    pub(super) fn remove(&mut self, user: u32, id: &str) {
        let key = (user, id.to_owned());
        if let Some((_, keepers)) = self.0.get_mut(&key) {
            *keepers -= 1;
            if *keepers == 0 {
                self.0.remove(&key);
            }
        }
    }
}

/// Whether a user is root or the agent's own. What others say may lie anywhere, and is not opened with the
/// agent's rights.
pub(super) fn is_trusted(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw() || user == 0
}

/// The clocks of a new container; `trusts` where its maker may have files read, which may last, and take names.
///
/// # Errors
/// What it is to have is not to be understood.
pub(super) fn decide(message: &Message, trusts: bool) -> Result<Container> {
    let state = &message.state;
    let annotations = match &state.annotations {
        Some(annotations) => Words::from_annotations(annotations)?,
        None => Words::default(),
    };
    let environment = match trusts {
        true => environment(&state.bundle)?,
        false => Words::default(),
    };
    let profile = Words::from_metadata(&message.metadata)?;
    let words = annotations.or(environment).or(profile.clone());
    if words.resume.is_some() && !trusts {
        return Err(Error::new(
            "`resume` names a file, which the agent reads for root and its own user only; say the offsets",
        ));
    }
    if words.name.is_some() && !trusts {
        return Err(Error::new(
            "`name` takes a name in the list of the agent's user, which is for root and that user only; leave \
             it out",
        ));
    }
    let offsets = words.offsets(&reading::host()?)?;
    check_covered(&profile, &offsets)?;
    Ok(Container {
        member: Member::new().ok_or_else(|| Error::new("the kernel has no random bytes yet"))?,
        offsets,
        host_proc: !words.shows_proc()?,
        name: words.name()?,
    })
}

/// A profile that speaks of some clocks notifies no calls with MONOTONIC and BOOTTIME unless it speaks of
/// these (`elsewhen oci-profile`), or of saved clocks (`elsewhen oci-runtime`).
fn check_covered(profile: &Words, offsets: &ClockOffsets) -> Result<()> {
    let clocks = [
        ("monotonic", &profile.monotonic, offsets.monotonic),
        ("boottime", &profile.boottime, offsets.boottime),
    ];
    let left_out = clocks
        .iter()
        .find(|(_, words, offset)| words.is_none() && !offset.is_zero());
    match left_out {
        Some((clock, ..)) if profile.has_offsets() && profile.resume.is_none() => {
            Err(Error::new(format!(
                "`{clock}` is not among the clocks of the container's profile; make that with \
             `--{clock} +0`, or without any clock"
            )))
        }
        _ => Ok(()),
    }
}

/// The part of a bundle's configuration that is looked at.
#[derive(Deserialize)]
struct Config {
    process: Option<Process>,
}

#[derive(Deserialize)]
struct Process {
    #[serde(default)]
    env: Option<Vec<String>>,
}

/// What the environment of the container's first program says of its clocks.
///
/// A bundle that is not to be seen from here says nothing: the runtime may be in another mount namespace.
fn environment(bundle: &str) -> Result<Words> {
    let path = Path::new(bundle);
    if !path.is_absolute() {
        return Ok(Words::default());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path.join("config.json"), flags, Mode::empty()) else {
        return Ok(Words::default());
    };
    let file = std::fs::File::from(file);
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let mut bytes = Vec::new();
    if !is_file || file.take(MOST_BYTES).read_to_end(&mut bytes).is_err() {
        return Ok(Words::default());
    }
    let config: Config = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(format!("the bundle's `config.json`: {e}")))?;
    let lines = config.process.and_then(|process| process.env);
    let lines = lines.unwrap_or_default();
    Words::from_environment(lines.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::agent::message::Parsed;

    fn message(status: &str) -> Message {
        let text = format!(
            r#"{{"fds":["seccompFd"],"metadata":"","state":{{"id":"no-such-container","status":"{status}","bundle":"."}}}}"#
        );
        match Message::parse(text.as_bytes()).unwrap() {
            Parsed::Whole(message) => *message,
            Parsed::Part => panic!("a part"),
        }
    }

    #[test]
    fn other_users_have_no_file_of_clocks_read_and_take_no_name() {
        let annotated = |key: &str, value: &str| {
            let mut message = message("creating");
            let annotation = (key.to_owned(), value.to_owned());
            message.state.annotations = Some([annotation].into());
            message
        };
        let name = annotated("org.elsewhen.name", "staging");
        let why = Containers::default().find(&name, 70_001).unwrap_err();
        assert!(why.to_string().contains("leave it out"), "{why}");
        let named = Containers::default().find(&name, 0).unwrap();
        assert_eq!(named.container.name.as_deref(), Some("staging"));
        let message = annotated("org.elsewhen.resume", "/dev/null");
        let why = |user| {
            let found = Containers::default().find(&message, user);
            found.unwrap_err().to_string()
        };
        assert!(why(70_001).contains("root and its own user"));
        assert!(why(0).contains("no plain file"));
    }

    #[test]
    fn a_mistyped_variable_in_a_bundle_is_refused() {
        let bundle = tempfile::tempdir().unwrap();
        let mut message = message("creating");
        message.state.bundle = bundle.path().to_str().unwrap().to_owned();
        let found = |variable: &str| {
            let config = format!(r#"{{"process":{{"env":["{variable}=+400d"]}}}}"#);
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            Containers::default().find(&message, 0)
        };
        let offsets = found("ELSEWHEN_REALTIME").unwrap().container.offsets;
        assert_eq!(offsets.realtime.secs(), 34_560_000);
        let why = found("ELSEWHEN_REALTME").unwrap_err().to_string();
        assert!(why.ends_with("write `ELSEWHEN_REALTIME`"), "{why}");
    }

    #[test]
    fn one_users_id_says_nothing_of_anothers_container() {
        let own = rustix::process::geteuid().as_raw();
        let (one, other) = (70_001, 70_002);
        let mut containers = Containers::default();
        for user in [own, one] {
            let container = containers.find(&message("creating"), user);
            containers.add(user, "no-such-container", &container.unwrap());
            // Whoever comes later gets no namespace of a container that others have made.
            assert!(containers.find(&message("running"), other).is_err());
            if user == own {
                let why = containers.find(&message("creating"), one).unwrap_err();
                assert!(why.to_string().contains("another user's"), "{why}");
                containers.remove(own, "no-such-container");
            }
        }
        assert!(containers.find(&message("running"), one).is_ok());
        assert!(containers.find(&message("running"), own).is_err());
    }
}
