//! Which clocks a container has: decided once, when it is made, and the same for all that joins it.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::message::Message;
use crate::clock::ClockOffsets;
use crate::oci::offsets::Words;
use crate::registry::{self, Container, Member};
use crate::{Error, Result, reading};

/// No bundle's configuration is longer.
const MOST_BYTES: u64 = 16 << 20;

/// The containers whose processes this agent has handed to keepers.
#[derive(Default)]
pub(super) struct Containers(HashMap<String, (Container, usize)>);

impl Containers {
    /// The clocks for what a runtime has just put into a container.
    ///
    /// # Errors
    /// What the container is to have is not to be understood; or it is joined, and nothing is known
    /// of it.
    pub(super) fn find(&self, message: &Message, reads_bundle: bool) -> Result<Container> {
        let id = &message.state.id;
        if message.state.is_creating() {
            return decide(message, reads_bundle);
        }
        if let Some((container, _)) = self.0.get(id) {
            return Ok(container.clone());
        }
        // Another agent has handed it over, before this one was started.
        registry::container(id)?.ok_or_else(|| {
            Error::new(
                "nothing is known of the container: its keeper has been killed, or another user's \
                 agent has it; start the container anew",
            )
        })
    }

    /// Notes that a keeper has been told to serve a part of a container.
    pub(super) fn add(&mut self, id: &str, container: &Container) {
        let entry = self.0.entry(id.to_owned());
        let (known, keepers) = entry.or_insert_with(|| (container.clone(), 0));
        *known = container.clone();
        *keepers += 1;
    }

    /// Notes that one has ended.
    pub(super) fn remove(&mut self, id: &str) {
        if let Some((_, keepers)) = self.0.get_mut(id) {
            *keepers -= 1;
            if *keepers == 0 {
                self.0.remove(id);
            }
        }
    }
}

fn decide(message: &Message, reads_bundle: bool) -> Result<Container> {
    let state = &message.state;
    let annotations = match &state.annotations {
        Some(annotations) => Words::from_annotations(annotations)?,
        None => Words::default(),
    };
    let environment = match reads_bundle {
        true => environment(&state.bundle)?,
        false => Words::default(),
    };
    let profile = Words::from_metadata(&message.metadata)?;
    let words = annotations.or(environment).or(profile.clone());
    if words.resume.is_some() && !reads_bundle {
        return Err(Error::new(
            "`resume` names a file, which the agent reads for root and its own user only; say the offsets",
        ));
    }
    let offsets = words.offsets(&reading::host()?)?;
    check_covered(&profile, &offsets)?;
    Ok(Container {
        member: Member::new().ok_or_else(|| Error::new("the kernel has no random bytes yet"))?,
        offsets,
        host_proc: !words.shows_proc()?,
        name: words.name,
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
    Ok(Words::from_environment(lines.iter().map(String::as_str)))
}
