//! One entry of a base profile's `syscalls`, and for whom it stands there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What a container is run with, as far as an entry may ask for it.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// The capabilities, if they are settled now and not by the engine later.
    pub(crate) capabilities: Option<BTreeSet<String>>,
    /// The kernel's version.
    pub(crate) kernel: (u32, u32),
}

/// Whether an entry is in force in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Always,
    /// With some capabilities.
    Sometimes,
    Never,
}

/// An entry that can be read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) names: Vec<String>,
    pub(super) action: String,
    /// Whether it asks for arguments.
    pub(super) has_arguments: bool,
    pub(super) holds: Holds,
    /// As it stands in the file.
    pub(super) whole: Map<String, Value>,
}

impl Entry {
    /// Reads an entry, or says what is wrong with it.
    pub(super) fn read(value: Value, conditions: &Conditions) -> Result<Self, String> {
        let Value::Object(whole) = value else {
            return Err("an entry of `syscalls` is no object".to_owned());
        };
        let action = action(&whole, "action")?.ok_or("an entry of `syscalls` has no `action`")?;
        let names = match (whole.get("names"), whole.get("name")) {
            (Some(names), _) => strings(names),
            (None, Some(Value::String(name))) => Some(vec![name.clone()]),
            _ => None,
        };
        let names = names.ok_or("an entry of `syscalls` has no list of `names`")?;
        let arguments = whole.get("args").filter(|args| !args.is_null());
        let has_arguments = match arguments.map(Value::as_array) {
            None => false,
            Some(Some(arguments)) => !arguments.is_empty(),
            Some(None) => return Err("`args` of an entry is no list".to_owned()),
        };
        Ok(Self {
            names,
            action,
            has_arguments,
            holds: holds(&whole, conditions)?,
            whole,
        })
    }

    /// The same for these names.
    pub(super) fn with_names(&self, names: Vec<String>) -> Self {
        let mut whole = self.whole.clone();
        whole.remove("name");
        whole.insert("names".to_owned(), names.clone().into());
        Self {
            names,
            whole,
            ..self.clone()
        }
    }
}

/// An action by its name; `None` if there is none.
pub(super) fn action(of: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match of.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(action)) if action.starts_with("SCMP_ACT_") => Ok(Some(action.clone())),
        Some(other) => Err(format!("`{key}` is {other}, and no action of libseccomp's")),
    }
}

/// A list of strings; what is not there is an empty one.
fn strings(list: &Value) -> Option<Vec<String>> {
    let list = match list {
        Value::Null => return Some(Vec::new()),
        list => list.as_array()?,
    };
    list.iter()
        .map(|string| string.as_str().map(str::to_owned))
        .collect()
}

/// What `includes` and `excludes` say, as the engines read them (moby: `profiles/seccomp`).
fn holds(entry: &Map<String, Value>, conditions: &Conditions) -> Result<Holds, String> {
    let mut holds = Holds::Always;
    for (key, is_wanted) in [("includes", true), ("excludes", false)] {
        let Some(filter) = entry.get(key).filter(|filter| !filter.is_null()) else {
            continue;
        };
        let filter = filter
            .as_object()
            .ok_or_else(|| format!("`{key}` of an entry is no object"))?;
        let list = |name: &str| match filter.get(name) {
            None => Ok(Vec::new()),
            Some(list) => {
                strings(list).ok_or_else(|| format!("`{key}.{name}` is no list of names"))
            }
        };
        let architectures = list("arches")?;
        if !architectures.is_empty()
            && architectures.iter().any(|name| name == "amd64") != is_wanted
        {
            return Ok(Holds::Never);
        }
        if let Some(least) = filter.get("minKernel").filter(|least| !least.is_null()) {
            let least = least.as_str().and_then(version);
            let least = least.ok_or_else(|| format!("`{key}.minKernel` is no version"))?;
            if (conditions.kernel >= least) != is_wanted {
                return Ok(Holds::Never);
            }
        }
        let capabilities = list("caps")?;
        if capabilities.is_empty() {
            continue;
        }
        let Some(given) = &conditions.capabilities else {
            holds = Holds::Sometimes;
            continue;
        };
        let holds_here = match is_wanted {
            true => capabilities.iter().all(|name| given.contains(name)),
            false => !capabilities.iter().any(|name| given.contains(name)),
        };
        if !holds_here {
            return Ok(Holds::Never);
        }
    }
    Ok(holds)
}

/// The first two numbers of a kernel's version.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
