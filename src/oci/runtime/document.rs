//! A JSON text that is changed in places and stays as it is, byte for byte, everywhere else.

use std::ops::Range;

use serde::de::{DeserializeOwned, IgnoredAny};

/// The text of a JSON object.
#[derive(Debug)]
pub(super) struct Document(String);

/// One member of an object: its name, and where it stands.
struct Member {
    name: String,
    /// Where the name's quotation mark stands.
    begin: usize,
    value: Range<usize>,
}

impl Document {
    /// The document that is this text.
    ///
    /// # Errors
    /// It is no JSON object, in words.
    pub(super) fn new(text: String) -> Result<Self, String> {
        serde_json::from_str::<IgnoredAny>(&text).map_err(|error| error.to_string())?;
        let document = Self(text);
        document.members(0..document.0.len())?;
        Ok(document)
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The value that a path of names leads to; `None` if there is none, or `null`.
    ///
    /// # Errors
    /// The path leads through something that is no object, a name stands twice, or the value is of another kind.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, String> {
        let Some((_, member)) = self.find(path)? else {
            return Ok(None);
        };
        serde_json::from_str(&self.0[member.value])
            .map_err(|error| format!("`{}`: {error}", path.join(".")))
    }

    /// Makes `value`, a JSON text, what the path leads to; objects on the way are made if need be.
    ///
    /// # Errors
    /// As of [`Document::get`].
    pub(super) fn set(&mut self, path: &[&str], value: &str) -> Result<(), String> {
        if let Some((_, member)) = self.find(path)? {
            self.0.replace_range(member.value, value);
            return Ok(());
        }
        let (name, parents) = path.split_last().ok_or("no path")?;
        let member = format!("{}:{value}", serde_json::Value::from(*name));
        let Some(object) = self.object(parents)? else {
            return self.set(parents, &format!("{{{member}}}"));
        };
        match self.members(object.clone())?.last() {
            Some(last) => self.0.insert_str(last.value.end, &format!(",{member}")),
            None => self.0.replace_range(object, &format!("{{{member}}}")),
        }
        Ok(())
    }

    /// Takes away what the path leads to, with its comma.
    ///
    /// # Errors
    /// As of [`Document::get`].
    pub(super) fn remove(&mut self, path: &[&str]) -> Result<(), String> {
        let Some((object, member)) = self.find(path)? else {
            return Ok(());
        };
        let members = self.members(object)?;
        let before = members.iter().rfind(|other| other.begin < member.begin);
        let after = members.iter().find(|other| other.begin > member.begin);
        let gone = match (before, after) {
            (_, Some(after)) => member.begin..after.begin,
            (Some(before), None) => before.value.end..member.value.end,
            (None, None) => member.begin..member.value.end,
        };
        self.0.replace_range(gone, "");
        Ok(())
    }

    /// Where the object is that the path leads to; `None` if there is none, or `null`.
    fn object(&self, path: &[&str]) -> Result<Option<Range<usize>>, String> {
        if path.is_empty() {
            return Ok(Some(0..self.0.len()));
        }
        Ok(self.find(path)?.and_then(|(_, member)| {
            let is_null = &self.0[member.value.clone()] == "null";
            (!is_null).then_some(member.value)
        }))
    }

    /// The member that the path leads to, and the object that it is in.
    fn find(&self, path: &[&str]) -> Result<Option<(Range<usize>, Member)>, String> {
        let Some((name, parents)) = path.split_last() else {
            return Ok(None);
        };
        let Some(object) = self.object(parents)? else {
            return Ok(None);
        };
        let members = self
            .members(object.clone())
            .map_err(|_| format!("`{}` is no object", parents.join(".")))?;
        let mut of_name = members.into_iter().filter(|member| member.name == *name);
        match (of_name.next(), of_name.next()) {
            // Who reads it after us may take the other.
            (Some(_), Some(_)) => Err(format!("`{}` stands twice", path.join("."))),
            (found, _) => Ok(found.map(|member| (object, member))),
        }
    }

    /// The members of the object that stands in this part of the text.
    fn members(&self, object: Range<usize>) -> Result<Vec<Member>, String> {
        let mut at = self.past(object.start, b'{').ok_or("it is no object")?;
        let mut members = Vec::new();
        loop {
            at = self.past_space(at);
            let begin = at;
            let Some((name, end)) = self.value::<String>(at) else {
                // The end, since the whole text has been read once.
                return Ok(members);
            };
            let colon = self.past(end, b':').ok_or("a name has no value")?;
            let start = self.past_space(colon);
            let (_, end) = self
                .value::<IgnoredAny>(start)
                .ok_or("a name has no value")?;
            members.push(Member {
                name,
                begin,
                value: start..end,
            });
            match self.past(end, b',') {
                Some(next) => at = next,
                None => return Ok(members),
            }
        }
    }

    /// The value that begins here, and where it ends.
    fn value<T: DeserializeOwned>(&self, at: usize) -> Option<(T, usize)> {
        let mut values = serde_json::Deserializer::from_str(&self.0[at..]).into_iter::<T>();
        let value = values.next()?.ok()?;
        Some((value, at + values.byte_offset()))
    }

    /// What is behind this byte, if it stands here or behind white space.
    fn past(&self, at: usize, byte: u8) -> Option<usize> {
        let at = self.past_space(at);
        (self.0.as_bytes().get(at) == Some(&byte)).then_some(at + 1)
    }

    fn past_space(&self, at: usize) -> usize {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        at + self.0.as_bytes()[at..]
            .iter()
            .take_while(|b| is_space(b))
            .count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ODD: &str = "\t{ \"a\" : 1.50 ,\n\"linux\":{\"x\\u0079\": [ {} , \"}\" ],\r\n \"b\" :\"\\u00e9\\\"\" },\"n\": null ,\"e\":{ } } \n";

    fn odd() -> Document {
        Document::new(ODD.to_owned()).unwrap()
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        let mut document = odd();
        document.set(&["linux", "b"], "[2]").unwrap();
        assert_eq!(document.text(), ODD.replace("\"\\u00e9\\\"\"", "[2]"));
        document.set(&["linux", "c"], "3").unwrap();
        assert_eq!(
            document.text(),
            ODD.replace("\"\\u00e9\\\"\"", "[2],\"c\":3")
        );
        document.remove(&["linux", "c"]).unwrap();
        document.set(&["linux", "b"], "\"\\u00e9\\\"\"").unwrap();
        assert_eq!(document.text(), ODD);
    }

    #[test]
    fn members_are_found_by_their_names_and_not_by_how_these_are_written() {
        let xy: Option<Value> = odd().get(&["linux", "xy"]).unwrap();
        assert_eq!(xy, Some(json!([{}, "}"])));
        assert_eq!(odd().get::<Value>(&["linux", "xz"]).unwrap(), None);
        assert_eq!(odd().get::<Value>(&["n", "x"]).unwrap(), None);
        assert!(odd().get::<Value>(&["a", "x"]).is_err());
    }

    #[test]
    fn every_member_can_be_set_and_removed_and_the_rest_stays() {
        let whole: Value = serde_json::from_str(ODD).unwrap();
        let paths: &[&[&str]] = &[
            &["a"],
            &["linux"],
            &["linux", "xy"],
            &["linux", "b"],
            &["n"],
            &["e"],
            &["n", "new"],
            &["e", "new"],
            &["new", "new"],
        ];
        for path in paths {
            let mut document = odd();
            document.set(path, "{\"z\":[1]}").unwrap();
            let mut expected = whole.clone();
            let mut place = &mut expected;
            for name in *path {
                place = &mut place[*name];
            }
            *place = json!({"z": [1]});
            let changed: Value = serde_json::from_str(document.text()).unwrap();
            assert_eq!(changed, expected, "{path:?}");

            document.remove(path).unwrap();
            assert_eq!(document.get::<Value>(path).unwrap(), None, "{path:?}");
            serde_json::from_str::<Value>(document.text()).unwrap();
        }
    }

    #[test]
    fn what_stands_twice_is_refused() {
        let twice = Document::new(r#"{"linux":{},"linux":{}}"#.to_owned()).unwrap();
        assert_eq!(
            twice.get::<Value>(&["linux"]),
            Err("`linux` stands twice".to_owned())
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "1", "{", "{\"a\":}", "{} {}", "null"] {
            assert!(Document::new(text.to_owned()).is_err(), "{text}");
        }
    }
}
