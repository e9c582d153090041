//! Converts MetalLB's configuration to Outrigger's, both its custom resources and the ConfigMap of 0.9, and converts it
//! back. Pure: objects in, objects out, and one line for everything that has no counterpart. This module must not know the
//! source of the objects, or who applies them.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

mod bgp;
mod config_map;
mod layer2;
mod originals;
mod pools;
mod read;
mod selectors;
mod services;
mod settings;
#[cfg(test)]
mod tests;
mod undo;

pub use originals::ORIGINALS;
pub use read::{read, read_values, yaml};
pub use undo::undo;

/// The namespace that MetalLB is installed in by default.
pub const METALLB_NAMESPACE: &str = "metallb-system";

/// One object to be converted.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    /// The file that contains the object; "" if it comes from the API server.
    pub file: String,
    /// The object as in Kubernetes.
    pub object: Value,
}

/// The result of a conversion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// The objects to apply, in this order.
    pub objects: Vec<Value>,
    /// The parts that have no counterpart: one line each with file or object, field, and what was done instead.
    pub left_out: Vec<LeftOut>,
}

/// A part of the configuration that has no counterpart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The file, the object, or both.
    pub origin: String,
    /// The path of the field; "" if the whole object is meant.
    pub field: String,
    /// Explanation of the problem, and what was done instead.
    pub message: String,
}

/// A `spec`, and its fields that MetalLB does not have.
#[derive(Deserialize)]
struct Spec<T> {
    #[serde(flatten)]
    known: T,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { origin, field, message } = self;
        let parts = [origin, field, message].into_iter().filter(|part| !part.is_empty());
        f.write_str(&parts.map(String::as_str).collect::<Vec<_>>().join(": "))
    }
}

/// One MetalLB object, and where a user finds it.
#[derive(Debug, Clone)]
struct Item {
    kind: String,
    namespace: String,
    name: String,
    origin: String,
    labels: BTreeMap<String, String>,
    spec: Value,
    object: Value,
}

/// All objects of the import by type, and the messages about them.
#[derive(Debug, Default)]
struct Work {
    items: Vec<Item>,
    services: Vec<(String, Value)>,
    namespaces: Vec<Value>,
    left_out: Vec<LeftOut>,
    /// True if MetalLB's speakers also announce from excluded nodes.
    ignores_exclude_label: bool,
}

/// Converts MetalLB's objects. MetalLB reads its objects from one namespace only: `namespace`, or if it is `None`, the only
/// namespace that has any.
pub fn metallb(originals: &[Original], namespace: Option<&str>) -> Imported {
    let mut work = Work::sort(originals, namespace);
    settings::convert(&mut work);
    let mut pools = pools::convert(&mut work);
    let mut objects = layer2::convert(&mut work, &mut pools);
    objects.extend(bgp::convert(&mut work, &mut pools));
    if work.ignores_exclude_label {
        objects.extend(layer2::built_in_object(&pools));
        objects.iter_mut().for_each(|one| one["spec"]["ignoreExcludeLabel"] = true.into());
    }
    let ours: Vec<Value> = pools.iter().map(pools::Pool::object).chain(objects).collect();
    services::look_at(&mut work, &pools);
    let saved = originals::save(&mut work);
    Imported { objects: ours.into_iter().chain(saved).collect(), left_out: work.left_out }
}

impl Work {
    /// Sorts the objects by type. Configuration in a namespace that MetalLB does not read has no effect there, and is left out.
    fn sort(originals: &[Original], namespace: Option<&str>) -> Self {
        let mut work = Self::default();
        for Original { file, object } in originals {
            let item = Item::new(file, object);
            match item.kind.as_str() {
                "Service" => work.services.push((item.origin, object.clone())),
                "Namespace" => work.namespaces.push(object.clone()),
                "ConfigMap" => work.items.extend(config_map::is_metallbs(&item).then_some(item)),
                "Deployment" | "DaemonSet" => work.items.push(item),
                _ if is_metallbs(object) => work.items.push(item),
                _ => {}
            }
        }
        let home = namespace.map_or_else(|| work.home(), str::to_owned);
        let (own, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut work.items).into_iter().partition(|item| {
                item.namespace.is_empty() || item.namespace == home || item.is_frrs()
            });
        work.items = own;
        for item in others.iter().filter(|item| !item.is_workload()) {
            let message = format!(
                "MetalLB reads only its own namespace, {home}: left out; if {} is its namespace, set --namespace {}",
                item.namespace, item.namespace
            );
            work.leave(&item.origin, "metadata.namespace", message);
        }
        work
    }

    /// Returns the only namespace with configuration, or the usual one.
    fn home(&self) -> String {
        let with_configuration =
            self.items.iter().filter(|item| !item.is_workload() && !item.is_frrs());
        let mut names: Vec<&str> = with_configuration.map(|item| item.namespace.as_str()).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [only] => (*only).to_owned(),
            _ => METALLB_NAMESPACE.to_owned(),
        }
    }

    fn leave(&mut self, origin: &str, field: &str, message: impl Into<String>) {
        let line =
            LeftOut { origin: origin.to_owned(), field: field.to_owned(), message: message.into() };
        // Each line is reported once, though two objects may result from one.
        if !self.left_out.contains(&line) {
            self.left_out.push(line);
        }
    }

    /// Returns the objects of a kind.
    fn of(&self, kind: &str) -> Vec<Item> {
        self.items.iter().filter(|item| item.kind == kind).cloned().collect()
    }

    /// Reports fields that MetalLB does not have, which the API server would have dropped.
    fn unknown(&mut self, origin: &str, path: &str, rest: &Map<String, Value>) {
        for field in rest.keys() {
            let field = format!("{path}.{field}");
            self.leave(origin, &field, "MetalLB has no such field: ignored");
        }
    }

    /// Returns the objects of a kind that can be read, each with its `spec`.
    fn specs<T: DeserializeOwned>(&mut self, kind: &str) -> Vec<(Item, T)> {
        let items = self.of(kind).into_iter();
        items.filter_map(|item| self.spec(&item).map(|spec| (item, spec))).collect()
    }

    /// Parses the `spec` of an object as its kind. A spec that cannot be read is left out as a whole.
    fn spec<T: DeserializeOwned>(&mut self, item: &Item) -> Option<T> {
        match serde_json::from_value(item.spec.clone()) {
            Ok(Spec { known, rest }) => {
                self.unknown(&item.origin, "spec", &rest);
                Some(known)
            }
            Err(error) => {
                let message = format!(
                    "{error}: all of {} is left out: correct it and import again",
                    item.kind
                );
                self.leave(&item.origin, "spec", message);
                None
            }
        }
    }
}

impl Item {
    fn new(file: &str, object: &Value) -> Self {
        let text = |path: &str| {
            object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
        let name = text("/metadata/name");
        let title = match namespace.as_str() {
            "" => format!("{kind} {name}"),
            namespace => format!("{kind} {namespace}/{name}"),
        };
        let origin = if file.is_empty() { title } else { format!("{file}: {title}") };
        let labels = object.pointer("/metadata/labels").cloned().unwrap_or_default();
        let spec = object.get("spec").filter(|spec| !spec.is_null()).cloned();
        Self {
            kind,
            namespace,
            name,
            origin,
            labels: serde_json::from_value(labels).unwrap_or_default(),
            spec: spec.unwrap_or_else(|| json!({})),
            object: object.clone(),
        }
    }

    fn is_frrs(&self) -> bool {
        self.kind == "FRRConfiguration"
    }

    fn is_workload(&self) -> bool {
        matches!(self.kind.as_str(), "Deployment" | "DaemonSet")
    }
}

fn group(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// Returns true if an object belongs to MetalLB's API group, or to the one that its FRR mode reads.
fn is_metallbs(object: &Value) -> bool {
    matches!(group(object), "metallb.io" | "frrk8s.metallb.io")
}
