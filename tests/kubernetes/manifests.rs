//! `docs/kubernetes.yaml` against the types that Kubernetes publishes, the newest and the oldest that the documents
//! name; and what its pods say of their clocks.
//!
//! A document is read as the type that its `apiVersion` and `kind` name, and written again. A field of a wrong type
//! cannot be read; one that Kubernetes does not know is not written; one that is missing and has to be there is written as
//! an empty one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

use serde_json::Value;
use std::fs;
use std::path::Path;

/// A document, read as what it says that it is, and written again.
type Rewrite = fn(&Value) -> Result<Value, String>;

/// [`Rewrite`] by the types of one release.
macro_rules! rewrite {
    ($types:ident) => {
        |document| {
            use $types::api::{apps, core, node};
            let text = |name| {
                document
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let (version, kind) = (text("apiVersion"), text("kind"));
            match (version, kind) {
                ("apps/v1", "DaemonSet") => again::<apps::v1::DaemonSet>(document),
                ("apps/v1", "Deployment") => again::<apps::v1::Deployment>(document),
                ("node.k8s.io/v1", "RuntimeClass") => again::<node::v1::RuntimeClass>(document),
                ("v1", "Pod") => again::<core::v1::Pod>(document),
                _ => Err(format!("nothing is known of `{kind}` in `{version}`")),
            }
        }
    };
}

const RELEASES: [(&str, Rewrite); 2] = [("1.37", rewrite!(newest)), ("1.25", rewrite!(oldest))];

fn again<T: serde::de::DeserializeOwned + serde::Serialize>(
    document: &Value,
) -> Result<Value, String> {
    let typed: T = serde_json::from_value(document.clone()).map_err(|e| e.to_string())?;
    Ok(serde_json::to_value(&typed).unwrap())
}

/// What is wrong with a document.
fn fault(document: &Value, rewrite: Rewrite) -> Option<String> {
    match rewrite(document) {
        Err(why) => Some(why),
        Ok(written) if written != *document => Some(format!("{document}\n is read as\n{written}")),
        Ok(_) => None,
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn manifest() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("../../docs/kubernetes.yaml")).unwrap()
}

/// Asserts that each release finds a fault in the manifest once this is changed in it, and that it names `named`.
fn expect_found(from: &str, to: &str, named: &str) {
    let text = manifest();
    let changed = text.replacen(from, to, 1);
    assert_ne!(text, changed, "`{from}` is in the manifest");
    for (release, rewrite) in RELEASES {
        let faults: Vec<String> = documents(&changed)
            .iter()
            .filter_map(|document| fault(document, rewrite))
            .collect();
        assert_eq!(faults.len(), 1, "{release}: {faults:#?}");
        assert!(faults[0].contains(named), "{release}: {faults:#?}");
    }
}

#[test]
fn every_document_is_what_kubernetes_publishes() {
    let documents = documents(&manifest());
    let kinds = documents.iter().map(|document| document["kind"].as_str());
    let kinds: Vec<&str> = kinds.map(Option::unwrap).collect();
    for kind in ["RuntimeClass", "DaemonSet", "Pod", "Deployment"] {
        assert!(kinds.contains(&kind), "no {kind}: {kinds:?}");
    }
    for (release, rewrite) in RELEASES {
        for document in &documents {
            assert_eq!(fault(document, rewrite), None, "{release}");
        }
    }
}

#[test]
fn a_misspelt_field_is_found() {
    expect_found("runtimeClassName:", "runtimeClasName:", "runtimeClasName");
    expect_found("updateStrategy:", "updatestrategy:", "updatestrategy");
    expect_found("hostPID:", "hostPid:", "hostPid");
}

#[test]
fn a_field_that_is_missing_is_found() {
    let selector = "  selector:\n    matchLabels: {app: elsewhen-agent}\n";
    expect_found(selector, "", "selector");
    expect_found("handler: elsewhen\n", "", "handler");
}

#[test]
fn a_value_of_a_wrong_type_is_found() {
    expect_found("hostPID: true", "hostPID: sometimes", "sometimes");
    expect_found("command: [date]", "command: date", "date");
    expect_found("replicas: 3", "replicas: three", "three");
    expect_found("runAsUser: 0", "runAsUser: root", "root");
}

#[test]
fn a_kind_of_another_version_is_found() {
    expect_found("node.k8s.io/v1", "node.k8s.io/v1beta1", "v1beta1");
    expect_found("kind: DaemonSet", "kind: DeamonSet", "DeamonSet");
}

/// The pods that a document describes, with their own metadata.
fn pods(documents: &[Value]) -> Vec<&Value> {
    let plain = documents.iter().filter(|one| one["kind"] == "Pod");
    let of_template = documents.iter().map(|one| &one["spec"]["template"]);
    plain
        .chain(of_template.filter(|pod| !pod.is_null()))
        .collect()
}

/// What a pod says of REALTIME: by an annotation, the variables of its containers, or its profile's name.
fn said(pod: &Value) -> Vec<&str> {
    let spec = &pod["spec"];
    let mut said = Vec::new();
    said.extend(pod["metadata"]["annotations"]["org.elsewhen.realtime"].as_str());
    for container in spec["containers"].as_array().unwrap() {
        let variables = container["env"].as_array().into_iter().flatten();
        let ours = variables.filter(|one| one["name"] == "ELSEWHEN_REALTIME");
        said.extend(ours.map(|one| one["value"].as_str().unwrap()));
    }
    let profile = spec["securityContext"]["seccompProfile"]["localhostProfile"].as_str();
    let offset = profile.map(|name| name.strip_prefix("elsewhen-").unwrap());
    said.extend(offset.map(|name| name.strip_suffix(".json").unwrap()));
    said
}

/// Whether it means the same on each host and each day: one number and one unit that no calendar has a say in.
fn is_offset(word: &str) -> bool {
    let digits = word
        .trim_start_matches(['+', '-'])
        .trim_end_matches(['w', 'd', 'h', 'm', 's']);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn pods_that_are_to_have_one_date_have_one_offset_and_no_date() {
    let documents = documents(&manifest());
    let pods = pods(&documents);
    let said: Vec<&str> = pods.iter().flat_map(|pod| said(pod)).collect();
    // One by each way, and several that are made alike.
    assert_eq!(said, ["+400d", "400d", "+400d"]);
    assert!(said.iter().all(|word| is_offset(word)), "{said:?}");
    for date in ["2030-01-31", "@1893456000", "+1y", "+2mo"] {
        assert!(!is_offset(date), "{date}");
    }
    // Who has an annotation has the class by which it is heard.
    for pod in pods {
        let is_annotated = pod["metadata"]["annotations"].is_object();
        let has_class = pod["spec"]["runtimeClassName"] == "elsewhen";
        assert_eq!(is_annotated, has_class, "{pod}");
    }
}
