//! Tests of the files in `manifests` and of their documentation: that they are the generated ones, that they grant exactly
//! what the docs explain, and that they run safely. This module must not know an API server: `tests/apiserver` tests
//! whether one accepts them.
#![expect(
    clippy::unwrap_used,
    reason = "a file that is not as it should be fails the test that reads it"
)]
use std::path::{Path, PathBuf};

use serde_json::Value;

mod admission;
mod install;
mod pods;
mod rbac;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns every object of a file of YAML documents.
fn objects(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .filter(|object: &Value| !object.is_null())
        .collect()
}

/// Returns every object that `kubectl apply -f manifests/install.yaml` creates, in this order.
fn installed() -> Vec<Value> {
    objects(&read(install::PATH))
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn named(kind: &str, name: &str) -> Value {
    let is_it =
        |object: &Value| text(object, "/kind") == kind && text(object, "/metadata/name") == name;
    installed().into_iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
}
