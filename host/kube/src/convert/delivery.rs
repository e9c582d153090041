//! A labelled ConfigMap as the controller sees it: the delivery of a plugin, and the parameters of its rollout. This module
//! must not know whether the bytes are a component.
use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest as _, Sha256};

use super::config_map::{PLUGIN_LABEL, Unusable, component};
use super::is_name;

/// Annotation with the time for which a node must run a candidate without faults, in seconds.
const SETTLE: &str = "outrigger.dev/settle-seconds";
/// Annotation with the maximum time for compiling, in seconds.
const COMPILE_WITHIN: &str = "outrigger.dev/compile-within-seconds";
/// Annotation that makes another delivery of the same bytes when its value changes.
const RETRY: &str = "outrigger.dev/retry";
/// Maximum value of the annotations in seconds: a rollout takes no longer than a day per batch.
const LONGEST: u32 = 24 * 3600;

/// A delivered plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The plugin's name.
    pub name: String,
    /// The ConfigMap's name.
    pub config_map: String,
    /// Identifier of the delivery. It changes whenever any part changes that the rollout depends on.
    pub id: String,
    /// Time for which a node must run the plugin without faults, in seconds; `None` if the delivery does not set it.
    pub settle_seconds: Option<u32>,
    /// Maximum time for compiling the plugin, in seconds; `None` if the delivery does not set it.
    pub compile_within_seconds: Option<u32>,
    /// The key and the bytes under it, or the reason and message if they are unusable.
    pub octets: Result<(&'static str, Vec<u8>), (&'static str, String)>,
}

/// Reads a ConfigMap; `None` if it delivers nothing, or nothing with a valid name.
pub fn delivery(object: &ConfigMap) -> Option<Delivery> {
    let name = object.metadata.labels.as_ref()?.get(PLUGIN_LABEL)?;
    if !is_name(name, 63) {
        let config_map = object.metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(
            config_map,
            "its label {PLUGIN_LABEL}={name} is not a plugin name and is ignored: use lower-case letters, digits, '-' and '.'"
        );
        return None;
    }
    let annotation = |key: &str| Some(object.metadata.annotations.as_ref()?.get(key)?.as_str());
    let octets =
        component(object).map(|(key, octets)| (key, octets.to_vec())).map_err(|unusable| {
            match unusable {
                Unusable::Image => ("ImageUnsupported", unusable.to_string()),
                _ => ("Unusable", unusable.to_string()),
            }
        });
    let mut delivery = Delivery {
        name: name.clone(),
        config_map: object.metadata.name.clone()?,
        id: String::new(),
        settle_seconds: None,
        compile_within_seconds: None,
        octets,
    };
    for (key, field) in [
        (SETTLE, &mut delivery.settle_seconds),
        (COMPILE_WITHIN, &mut delivery.compile_within_seconds),
    ] {
        let Some(text) = annotation(key) else { continue };
        match text.trim().parse() {
            Ok(seconds) if (1..=LONGEST).contains(&seconds) => *field = Some(seconds),
            _ => {
                let message = format!(
                    "metadata.annotations[{key}]: {text:?} is not a number of seconds from 1 to {LONGEST}: correct it"
                );
                delivery.octets = Err(("Unusable", message));
            }
        }
    }
    let mut id = Sha256::new();
    for key in [SETTLE, COMPILE_WITHIN, RETRY] {
        id.update(annotation(key).unwrap_or_default());
        id.update([0]);
    }
    match &delivery.octets {
        Ok((_, octets)) => id.update(octets),
        Err((_, message)) => id.update(message),
    }
    delivery.id = format!("{:x}", id.finalize()).get(..16).unwrap_or_default().to_owned();
    Some(delivery)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &str, octets: &str) -> Delivery {
        let yaml = format!(
            "{{metadata: {{name: p, labels: {{outrigger.dev/plugin: mine}}, annotations: {{{annotations}}}}}, binaryData: {{plugin.wasm.gz: {octets}}}}}"
        );
        delivery(&serde_saphyr::from_str(&yaml).unwrap()).unwrap()
    }

    #[test]
    fn a_delivery_is_another_one_when_bytes_or_annotations_of_ours_change() {
        let first = read("", "AGFzbQ==");
        assert_eq!(first.octets, Ok(("plugin.wasm.gz", b"\0asm".to_vec())));
        assert_eq!(first, read("", "AGFzbQ=="));
        assert_eq!(first.id, read("'kubectl.kubernetes.io/x': y", "AGFzbQ==").id);
        for other in [
            read("", "AGFzbg=="),
            read("outrigger.dev/retry: '2'", "AGFzbQ=="),
            read("outrigger.dev/settle-seconds: '2'", "AGFzbQ=="),
        ] {
            assert_ne!(other.id, first.id);
        }
    }

    #[test]
    fn seconds_are_seconds() {
        let good = read(
            "outrigger.dev/settle-seconds: '2', outrigger.dev/compile-within-seconds: ' 5'",
            "AA==",
        );
        assert_eq!((good.settle_seconds, good.compile_within_seconds), (Some(2), Some(5)));
        for text in ["0", "-1", "2s", "86401", "99999999999999"] {
            let (_, message) = read(&format!("outrigger.dev/settle-seconds: '{text}'"), "AA==")
                .octets
                .unwrap_err();
            assert!(message.contains("settle-seconds") && message.contains(text), "{message}");
        }
    }

    #[test]
    fn a_config_map_without_the_label_or_with_an_impossible_name_delivers_nothing() {
        for labels in ["", "outrigger.dev/plugin: ''", "outrigger.dev/plugin: A/B"] {
            let yaml = format!("{{metadata: {{name: p, labels: {{{labels}}}}}}}");
            let object: ConfigMap = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(delivery(&object), None, "{labels}");
        }
    }
}
