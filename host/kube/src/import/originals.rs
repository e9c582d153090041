//! Keeps the originals beside the converted objects, so that converting back needs no backup. This module must not know
//! what the originals mean.
use serde_json::{Value, json};

use super::Work;
use crate::api::NAMESPACE;

/// The name of the ConfigMap that holds the originals, and its key.
pub const ORIGINALS: (&str, &str) = ("imported-from-metallb", "objects.json");
/// Maximum size of the originals in bytes. A ConfigMap holds 1 MiB (the API server's limit on an object is 1.5 MiB).
const LARGEST: usize = 1_000_000;

/// Returns the ConfigMap; `None` if there is nothing to keep or it would be too large.
pub(super) fn save(work: &mut Work) -> Option<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for item in work.items.iter().filter(|item| !item.is_workload() && !item.is_frrs()) {
        let mut object = item.object.clone();
        clean(&mut object);
        // The parts of a 0.9 ConfigMap all have that ConfigMap as their original object.
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    if objects.is_empty() {
        return None;
    }
    let (name, key) = ORIGINALS;
    let text = serde_json::to_string_pretty(&objects).unwrap_or_default();
    if text.len() > LARGEST {
        let message = "the originals are too large to be stored in a ConfigMap for `import metallb --undo`: save the output of `kubectl get -o yaml` yourself";
        work.leave("", "", message);
        return None;
    }
    Some(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "data": { key: text },
    }))
}

/// Removes what the API server adds, and passwords, because a ConfigMap must not contain them.
fn clean(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| {
            ["name", "namespace", "labels", "annotations"].contains(&field.as_str())
        });
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        metadata.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    }
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("password");
    }
    let text = fields.get_mut("data").and_then(|data| data.get_mut("config"));
    if let Some(Value::String(text)) = text {
        let kept = text.lines().filter(|line| !line.contains("password"));
        *text = kept.map(|line| format!("{line}\n")).collect();
    }
}
