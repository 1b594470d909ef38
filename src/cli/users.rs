//! The names of users.

use std::collections::BTreeMap;
use std::fs;

/// What `/etc/passwd` says; users of other sources have numbers only.
#[derive(Debug)]
pub(super) struct Users(BTreeMap<u32, String>);

impl Users {
    pub(super) fn read() -> Self {
        Self::parse(&fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut users = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1))
                && let Ok(uid) = uid.parse()
            {
                // The first counts, as for getpwuid(3).
                users.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(users)
    }

    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.0.get(&uid).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let users = Users::parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbroken\n");
        assert_eq!(users.name(0), Some("root"));
        assert_eq!(users.name(1000), None);
    }
}
