//! A seccomp profile read as the runtimes' specification has it, rule by rule.

use serde_json::Value;

/// A profile that is settled: of the form that runtimes take.
#[derive(Debug)]
pub(crate) struct Rules {
    default: String,
    rules: Vec<Rule>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) index: usize,
    pub(crate) op: String,
    pub(crate) value: u64,
    pub(crate) value_two: u64,
}

/// From the one that counts least.
const ORDER: [&str; 4] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_ERRNO",
];

impl Rules {
    pub(crate) fn of(profile: &Value) -> Self {
        let mut rules = Vec::new();
        for entry in profile["syscalls"].as_array().unwrap() {
            for key in ["includes", "excludes"] {
                assert_eq!(entry[key], Value::Null, "not settled: {entry}");
            }
            for name in entry["names"].as_array().unwrap() {
                let conditions = entry["args"].as_array().into_iter().flatten();
                rules.push(Rule {
                    name: name.as_str().unwrap().to_owned(),
                    action: entry["action"].as_str().unwrap().to_owned(),
                    conditions: conditions.map(Condition::of).collect(),
                });
            }
        }
        Self {
            default: profile["defaultAction"].as_str().unwrap().to_owned(),
            rules,
        }
    }

    pub(crate) fn default(&self) -> &str {
        &self.default
    }

    pub(crate) fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The action for a call: that of the rules that hold whose action counts most.
    pub(crate) fn action(&self, name: &str, args: &[u64; 6]) -> &str {
        let of_it = self.rules.iter().filter(|rule| rule.name == name);
        let held = of_it.filter(|rule| rule.conditions.iter().all(|c| c.holds(args)));
        let actions = held.map(|rule| rule.action.as_str());
        actions
            .max_by_key(|action| ORDER.iter().position(|known| known == action))
            .unwrap_or(&self.default)
    }
}

impl Condition {
    fn of(value: &Value) -> Self {
        Self {
            index: usize::try_from(value["index"].as_u64().unwrap()).unwrap(),
            op: value["op"].as_str().unwrap().to_owned(),
            value: value["value"].as_u64().unwrap(),
            value_two: value["valueTwo"].as_u64().unwrap_or(0),
        }
    }

    fn holds(&self, args: &[u64; 6]) -> bool {
        let argument = args[self.index];
        match self.op.as_str() {
            "SCMP_CMP_EQ" => argument == self.value,
            "SCMP_CMP_NE" => argument != self.value,
            "SCMP_CMP_LT" => argument < self.value,
            "SCMP_CMP_GT" => argument > self.value,
            "SCMP_CMP_GE" => argument >= self.value,
            "SCMP_CMP_MASKED_EQ" => argument & self.value == self.value_two,
            other => panic!("{other}"),
        }
    }
}
