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
    pub(crate) fn from_environment<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words = Self::default();
        for line in lines {
            let place = match line.split_once('=') {
                Some(("ELSEWHEN_REALTIME", value)) => (&mut words.realtime, value),
                Some(("ELSEWHEN_TAI", value)) => (&mut words.tai, value),
                Some(("ELSEWHEN_MONOTONIC", value)) => (&mut words.monotonic, value),
                Some(("ELSEWHEN_BOOTTIME", value)) => (&mut words.boottime, value),
                _ => continue,
            };
            *place.0 = Some(place.1.to_owned());
        }
        words
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
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn metadata_come_back_as_they_were_written() {
        let words = Words {
            realtime: Some("+400d".into()),
            proc: Some("off".into()),
            ..Words::default()
        };
        let text = words.to_metadata();
        assert_eq!(text, r#"{"elsewhen":1,"realtime":"+400d","proc":"off"}"#);
        let read = Words::from_metadata(&text).unwrap();
        assert_eq!(read.realtime, words.realtime);
        assert!(!read.shows_proc().unwrap());
        assert_eq!(Words::from_metadata(" ").unwrap(), Words::default());
    }

    #[test]
    fn metadata_that_are_not_understood_are_refused() {
        for text in [
            "x",
            "{}",
            r#"{"realtime":"+1d"}"#,
            r#"{"elsewhen":2,"realtime":"+1d"}"#,
            r#"{"elsewhen":1,"realtme":"+1d"}"#,
            r#"{"elsewhen":1,"realtime":5}"#,
        ] {
            assert!(Words::from_metadata(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_annotation_comes_before_the_environment_and_that_before_the_profile() {
        let annotated = annotations(&[
            ("org.elsewhen.realtime", "+3d"),
            ("org.other.realtime", "+9d"),
        ]);
        let environment = ["PATH=/", "ELSEWHEN_REALTIME=+2d", "ELSEWHEN_MONOTONIC=+2d"];
        let metadata = r#"{"elsewhen":1,"realtime":"+1d","monotonic":"+1d","boottime":"+1d"}"#;
        let words = Words::from_annotations(&annotated)
            .unwrap()
            .or(Words::from_environment(environment))
            .or(Words::from_metadata(metadata).unwrap());
        let now = crate::reading::now().unwrap();
        let offsets = words.offsets(&now).unwrap();
        let days = |days: i64| Offset::from_secs(days * 86_400);
        let wanted = ClockOffsets {
            realtime: days(3),
            tai: days(3),
            monotonic: days(2),
            boottime: days(1),
        };
        assert_eq!(offsets, wanted);
    }

    #[test]
    fn saved_clocks_go_on_but_those_that_have_words() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("clocks.json");
        let second = 1_000_000_000;
        let now = crate::reading::now().unwrap();
        let shift = ClockOffsets {
            monotonic: Offset::from_secs(5000),
            boottime: Offset::from_secs(7000),
            ..ClockOffsets::default()
        };
        std::fs::write(&file, SavedClocks::new(now, shift).unwrap().to_json()).unwrap();
        let words = |more: &[(&str, &str)]| {
            let resume = ("org.elsewhen.resume", file.to_str().unwrap());
            Words::from_annotations(&annotations(&[&[resume], more].concat())).unwrap()
        };
        let later = Readings {
            monotonic: now.monotonic + 3 * second,
            boottime: now.boottime + 3 * second,
            ..now
        };
        let plain = words(&[]);
        assert!(plain.has_offsets());
        let offsets = plain.offsets(&later).unwrap();
        let seconds = offsets.in_order().map(Offset::secs);
        assert_eq!(seconds, [0, 0, 4997, 6997]);
        let mixed = [
            ("org.elsewhen.boottime", "+1d"),
            ("org.elsewhen.policy", "monotonic=host"),
        ];
        let offsets = words(&mixed).offsets(&later).unwrap();
        assert_eq!(offsets.in_order().map(Offset::secs), [0, 0, 0, 86_400]);
        let both = [
            ("org.elsewhen.monotonic", "+1d"),
            ("org.elsewhen.policy", "monotonic=host"),
        ];
        let why = words(&both).offsets(&later).unwrap_err().to_string();
        assert!(why.contains("leave one out"), "{why}");
        // What is no plain file is not waited for.
        for (path, why) in [
            ("clocks.json", "whole path"),
            ("/dev/zero", "no plain file"),
            ("/nonexistent/clocks.json", "no such file"),
        ] {
            let key = ("org.elsewhen.resume", path);
            let words = Words::from_annotations(&annotations(&[key])).unwrap();
            let told = words.offsets(&later).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
        let alone = annotations(&[("org.elsewhen.policy", "tai=host")]);
        let alone = Words::from_annotations(&alone).unwrap();
        assert!(alone.offsets(&later).is_err());
    }

    #[test]
    fn an_unknown_annotation_and_a_word_that_is_none_are_refused() {
        let typo = annotations(&[("org.elsewhen.realtme", "+1d")]);
        assert!(Words::from_annotations(&typo).is_err());
        let now = crate::reading::now().unwrap();
        for (name, value) in [
            ("realtime", "soon"),
            ("monotonic", "@5"),
            ("boottime", "-99y"),
        ] {
            let key = format!("{ANNOTATION}{name}");
            let words = Words::from_annotations(&annotations(&[(&key, value)])).unwrap();
            let error = words.offsets(&now).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let odd = annotations(&[("org.elsewhen.name", "a/b")]);
        let why = Words::from_annotations(&odd).unwrap().name().unwrap_err();
        assert!(why.to_string().contains("`name: a/b`"), "{why}");
        let odd = annotations(&[("org.elsewhen.proc", "maybe")]);
        assert!(Words::from_annotations(&odd).unwrap().shows_proc().is_err());
    }
}
