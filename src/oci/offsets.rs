//! A container's offsets in text, as a profile, an annotation or an environment has them: the words are
//! those that `elsewhen run` takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::{By, ClockOffsets, Offset, ParseError, Readings, When, check_limits};
use crate::line::shown;
use crate::registry::is_name;
use crate::{Error, Policies, Policy, Result, SavedClocks, reading};

/// What the names of annotations begin with.
pub(crate) const ANNOTATION: &str = "org.elsewhen.";

/// The variables of a container that speak of its clocks.
const VARIABLES: [&str; 4] = [
    "ELSEWHEN_REALTIME",
    "ELSEWHEN_TAI",
    "ELSEWHEN_MONOTONIC",
    "ELSEWHEN_BOOTTIME",
];

/// The form of [`Words`] in a profile's `listenerMetadata`.
const VERSION: u32 = 1;

/// What a container's clocks are to be. What is not said is as on the host.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Words {
    /// [`VERSION`], in a profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    elsewhen: Option<u32>,
    /// As the option `--realtime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) realtime: Option<String>,
    /// As the option `--tai`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tai: Option<String>,
    /// As the option `--monotonic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) monotonic: Option<String>,
    /// As the option `--boottime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boottime: Option<String>,
    /// As the option `--resume`; the whole path, as the host has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<String>,
    /// As the option `--policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// As the option `--name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// As the option `--proc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proc: Option<String>,
}

impl Words {
    /// What a profile's `listenerMetadata` says; it may be empty.
    ///
    /// # Errors
    /// It is not elsewhen's, or of a newer one.
    pub(crate) fn from_metadata(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let words: Self = serde_json::from_str(text)
            .map_err(|e| Error::new(format!("the profile's `listenerMetadata`: {e}")))?;
        match words.elsewhen {
            Some(VERSION) => Ok(words),
            Some(version) => Err(Error::new(format!(
                "the profile's `listenerMetadata` has the form {version}, and this elsewhen knows \
                 {VERSION}; make the profile anew by `elsewhen oci-profile`"
            ))),
            None => Err(Error::new(
                "the profile's `listenerMetadata` is not elsewhen's; make the profile by \
                 `elsewhen oci-profile`",
            )),
        }
    }

    /// The text for a profile's `listenerMetadata`.
    pub(crate) fn to_metadata(&self) -> String {
        let words = Self {
            elsewhen: Some(VERSION),
            ..self.clone()
        };
        serde_json::to_string(&words).expect("texts are always JSON")
    }

    /// What annotations say.
    ///
    /// # Errors
    /// One of elsewhen's names is none: what was meant would go unheard.
    pub(crate) fn from_annotations(annotations: &BTreeMap<String, String>) -> Result<Self> {
        let mut words = Self::default();
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(ANNOTATION) else {
                continue;
            };
            let Some(place) = words.place(name) else {
                return Err(Error::new(format!(
                    "the annotation `{}` means nothing to elsewhen; it knows `realtime`, `tai`, \
                     `monotonic`, `boottime`, `resume`, `policy`, `name` and `proc` behind `{ANNOTATION}`",
                    shown(key.as_ref())
                )));
            };
            *place = Some(value.clone());
        }
        Ok(words)
    }

    /// What an environment's lines `NAME=VALUE` say.
    ///
    /// # Errors
    /// A name is nearly one of elsewhen's: what was meant would go unheard. Others are left alone, since an image may have
    /// `ELSEWHEN_...` for purposes of its own.
    pub(crate) fn from_environment<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut words = Self::default();
        for (name, value) in lines.into_iter().filter_map(|line| line.split_once('=')) {
            if let Some(clock) = VARIABLES.iter().position(|variable| *variable == name) {
                *words.clocks_mut()[clock] = Some(value.to_owned());
            } else if let Some(meant) = nearly(name) {
                return Err(Error::new(format!(
                    "the variable `{}` means nothing to elsewhen; write `{meant}`",
                    shown(name.as_ref())
                )));
            }
        }
        Ok(words)
    }

    /// Where the words of this name are kept, if there is such a name.
    pub(crate) fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "realtime" => &mut self.realtime,
            "tai" => &mut self.tai,
            "monotonic" => &mut self.monotonic,
            "boottime" => &mut self.boottime,
            "resume" => &mut self.resume,
            "policy" => &mut self.policy,
            "name" => &mut self.name,
            "proc" => &mut self.proc,
            _ => return None,
        })
    }

    /// These words, and where they say nothing those.
    #[must_use]
    pub(crate) fn or(self, those: Self) -> Self {
        Self {
            elsewhen: self.elsewhen.or(those.elsewhen),
            realtime: self.realtime.or(those.realtime),
            tai: self.tai.or(those.tai),
            monotonic: self.monotonic.or(those.monotonic),
            boottime: self.boottime.or(those.boottime),
            resume: self.resume.or(those.resume),
            policy: self.policy.or(those.policy),
            name: self.name.or(those.name),
            proc: self.proc.or(those.proc),
        }
    }

    /// Whether a clock is spoken of.
    pub(crate) fn has_offsets(&self) -> bool {
        self.clocks().iter().any(|(_, words)| words.is_some()) || self.resume.is_some()
    }

    fn clocks(&self) -> [(&'static str, &Option<String>); 4] {
        [
            ("realtime", &self.realtime),
            ("tai", &self.tai),
            ("monotonic", &self.monotonic),
            ("boottime", &self.boottime),
        ]
    }

    /// In the order of [`VARIABLES`].
    fn clocks_mut(&mut self) -> [&mut Option<String>; 4] {
        [
            &mut self.realtime,
            &mut self.tai,
            &mut self.monotonic,
            &mut self.boottime,
        ]
    }

    /// The offsets, where the host's clocks read `now`.
    ///
    /// # Errors
    /// A word is no time or shift, or leads beyond what a clock can hold; or the saved clocks cannot go
    /// on.
    pub(crate) fn offsets(&self, now: &Readings) -> Result<ClockOffsets> {
        let when = |clock, words: &Option<String>, now| {
            parsed(clock, words, |text| When::parse(text)?.resolve(now))
        };
        let by = |clock, words: &Option<String>| {
            parsed(clock, words, |text| By::parse(text).map(By::offset))
        };
        let (resumed, policies) = self.resumed(now)?;
        let realtime = when("realtime", &self.realtime, now.realtime)?;
        let follows = realtime.filter(|_| !policies.names("tai"));
        let offsets = ClockOffsets {
            realtime: realtime.unwrap_or(resumed.realtime),
            tai: when("tai", &self.tai, now.tai)?
                .or(follows)
                .unwrap_or(resumed.tai),
            monotonic: by("monotonic", &self.monotonic)?.unwrap_or(resumed.monotonic),
            boottime: by("boottime", &self.boottime)?.unwrap_or(resumed.boottime),
        };
        check_limits(&offsets, now)
            .map_err(|error| Error::new(format!("`{}`: {error}", error.clock())))?;
        Ok(offsets)
    }

    /// The offsets of saved clocks, none for a clock that has words of its own, and their policies.
    fn resumed(&self, now: &Readings) -> Result<(ClockOffsets, Policies)> {
        let Some(file) = &self.resume else {
            return match self.policy {
                None => Ok(Default::default()),
                Some(_) => Err(Error::new(
                    "`policy` says how saved clocks go on; name their file by `resume`",
                )),
            };
        };
        let named: Policies = match &self.policy {
            None => Policies::default(),
            Some(text) => text.parse().map_err(|error| {
                Error::new(format!("`policy: {}`: {error}", shown(text.as_ref())))
            })?,
        };
        let mut policies = named;
        for (clock, _) in self.clocks().into_iter().filter(|(_, w)| w.is_some()) {
            policies = policies.with(clock, Policy::Host).map_err(|_| {
                Error::new(format!(
                    "`{clock}` and `policy: {clock}=...` each say where the clock stands; leave one out"
                ))
            })?;
        }
        let saved =
            SavedClocks::read_plain(file.as_ref()).map_err(|error| error.behind("`resume`"))?;
        let offsets = saved.offsets_by(&policies, now, &reading::host()?)?;
        Ok((offsets, named))
    }

    /// The namespace's name, if it has one.
    ///
    /// # Errors
    /// The word cannot be a name.
    pub(crate) fn name(&self) -> Result<Option<String>> {
        match &self.name {
            Some(name) if !is_name(name) => Err(Error::new(format!(
                "`name: {}`: not a name; write letters, digits, `.`, `_` and `-`, at most 64, and not a \
                 number",
                shown(name.as_ref())
            ))),
            name => Ok(name.clone()),
        }
    }

    /// Whether files under `/proc` are to show the namespace's clocks.
    ///
    /// # Errors
    /// The word is neither `on` nor `off`.
    pub(crate) fn shows_proc(&self) -> Result<bool> {
        match self.proc.as_deref() {
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(Error::new(format!(
                "`proc`: not `on` or `off`: `{}`",
                shown(other.as_ref())
            ))),
        }
    }
}

/// The variable that somebody meant who wrote this name: in another case, or with two letters wrong.
fn nearly(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let is_meant = |variable: &&str| {
        // Two letters make anything of three.
        let most = if *variable == "ELSEWHEN_TAI" { 1 } else { 2 };
        // Names of any other length may be long.
        name.len().abs_diff(variable.len()) <= most
            && strsim::osa_distance(&upper, variable) <= most
    };
    VARIABLES.into_iter().find(is_meant)
}

/// The offset that a clock's words mean, or the error that names both.
fn parsed(
    clock: &str,
    words: &Option<String>,
    parse: impl FnOnce(&str) -> std::result::Result<Offset, ParseError>,
) -> Result<Option<Offset>> {
    let Some(words) = words else {
        return Ok(None);
    };
    parse(words)
        .map(Some)
        .map_err(|error| Error::new(format!("`{clock}: {}`: {error}", shown(words.as_ref()))))
}

#[cfg(test)]
#[path = "offsets_tests.rs"]
mod tests;
