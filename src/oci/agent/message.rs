//! What a runtime says when it hands over a listener: `ContainerProcessState` of the runtime
//! specification (`config-linux.md`, "seccomp"). All of it is what somebody claims.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use serde::Deserialize;

use crate::line::shown;
use crate::sys::seccomp;
use crate::{Error, Result};

/// No message is longer; annotations may hold a few KiB.
pub(super) const MOST_BYTES: usize = 256 << 10;

/// A longer id names no container that a runtime would make.
const LONGEST_ID: usize = 256;

/// What the array of descriptors' names calls the listener (`specs-go: SeccompFdName`).
const LISTENER: &str = "seccompFd";

/// The message.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    fds: Vec<String>,
    #[serde(default)]
    pub(super) metadata: String,
    pub(super) state: State,
}

/// The container's state in it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct State {
    pub(super) id: String,
    status: String,
    /// The container's first process, in the runtime's own pid namespace; crun leaves it out (0) where the
    /// container is joined.
    #[serde(default)]
    pub(super) pid: i32,
    /// Of the container itself only: what joins it may have `.` here.
    #[serde(default)]
    pub(super) bundle: String,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// What has come of a message so far.
pub(super) enum Parsed {
    Whole(Box<Message>),
    /// More is to come.
    Part,
}

impl Message {
    /// Reads what has come.
    ///
    /// # Errors
    /// It is no such message, and more would not make it one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Parsed> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(message) => message.check().map(|()| Parsed::Whole(Box::new(message))),
            Err(e) if e.is_eof() => Ok(Parsed::Part),
            Err(e) => Err(Error::new(format!("the message is none: {e}"))),
        }
    }

    fn check(&self) -> Result<()> {
        let id = &self.state.id;
        if id.is_empty() || id.len() > LONGEST_ID || id.chars().any(char::is_control) {
            return Err(Error::new(format!(
                "not the id of a container: `{}`",
                shown(id.as_ref())
            )));
        }
        match self.fds.iter().filter(|name| *name == LISTENER).count() {
            1 => Ok(()),
            _ => Err(Error::new(format!(
                "the message does not name one descriptor `{LISTENER}`"
            ))),
        }
    }

    /// The listener among the descriptors that came along, which is taken out of them.
    ///
    /// # Errors
    /// There are more or fewer than there are names, or it is none.
    pub(super) fn listener(&self, descriptors: &mut Vec<OwnedFd>) -> Result<OwnedFd> {
        if descriptors.len() != self.fds.len() {
            return Err(Error::new(format!(
                "the message names {} descriptors, and {} came",
                self.fds.len(),
                descriptors.len()
            )));
        }
        let place = self.fds.iter().position(|name| name == LISTENER);
        place
            .filter(|place| seccomp::is_listener(descriptors[*place].as_fd()))
            .map(|place| descriptors.swap_remove(place))
            .ok_or_else(|| Error::new("the descriptor is not a seccomp listener"))
    }
}

impl State {
    /// Whether the container is being made, and is not joined.
    pub(super) fn is_creating(&self) -> bool {
        self.status == "creating"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNC: &str = r#"{"ociVersion":"1.0.2-dev","fds":["seccompFd"],"pid":42,"metadata":"{}","state":{"ociVersion":"1.0.2-dev","id":"c1","status":"creating","pid":42,"bundle":"/b","annotations":{"a":"b"}}}"#;

    fn whole(text: &str) -> Message {
        match Message::parse(text.as_bytes()).unwrap() {
            Parsed::Whole(message) => *message,
            Parsed::Part => panic!("a part"),
        }
    }

    #[test]
    fn a_message_is_whole_at_its_last_byte_and_not_before() {
        for end in 0..RUNC.len() {
            let parsed = Message::parse(&RUNC.as_bytes()[..end]).unwrap();
            assert!(matches!(parsed, Parsed::Part), "{end}");
        }
        let message = whole(RUNC);
        assert_eq!(message.state.id, "c1");
        assert!(message.state.is_creating());
        assert_eq!(message.state.annotations.unwrap()["a"], "b");
    }

    #[test]
    fn a_message_over_several_lines_and_without_what_is_not_needed_is_one_too() {
        let text = "{\n \"fds\": [\n \"seccompFd\"\n ],\n \"pid\": 0,\n \"state\": {\n \"id\": \"c\",\n \
                    \"status\": \"running\",\n \"bundle\": \".\"\n}\n}\n";
        let message = whole(text);
        assert!(!message.state.is_creating());
        assert_eq!(message.metadata, "");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "x",
            "[]",
            "{}",
            "{} {",
            r#"{"state":{"id":"c","status":"creating"}}"#,
            r#"{"fds":["a"],"state":{"id":"c","status":"creating"}}"#,
            r#"{"fds":["seccompFd","seccompFd"],"state":{"id":"c","status":"creating"}}"#,
            r#"{"fds":["seccompFd"],"state":{"id":"","status":"creating"}}"#,
            r#"{"fds":["seccompFd"],"state":{"id":"a\nb","status":"creating"}}"#,
            r#"{"fds":["seccompFd"],"state":{"id":7,"status":"creating"}}"#,
        ] {
            assert!(Message::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
