//! Converts the configuration of MetalLB 0.9: one ConfigMap whose key `config` holds YAML. Each pool is converted
//! independently. This module must not know MetalLB's custom resources, which were introduced in 0.13.
use std::collections::BTreeSet;

use outrigger_core::facts::{Fact, FactKey, FailurePolicy, Labels, PluginRef, Pool, Selector};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Converted, Invalid, Note, checked, ranges};

/// The key of the ConfigMap that holds the configuration.
pub(crate) const KEY: &str = "config";
const POOLS: &str = "address-pools";
const FIELD: &str = "data.config";
/// The keys besides the pools that MetalLB 0.9 had, all of them for BGP.
const BGP_KEYS: [&str; 2] = ["peers", "bgp-communities"];

/// One pool as written in the ConfigMap.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MetallbPool {
    pub name: String,
    pub protocol: String,
    #[serde(default)]
    pub addresses: Vec<String>,
    pub auto_assign: Option<bool>,
    #[serde(default)]
    pub avoid_buggy_ips: bool,
    #[serde(default)]
    pub bgp_advertisements: Vec<Map<String, Value>>,
}

/// Parses the text into its top-level keys.
pub(crate) fn sections(text: &str) -> Result<Map<String, Value>, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("is not YAML: {error}"))
}

/// Returns true if a text is meant as MetalLB configuration, even if it does not parse.
pub(crate) fn recognises(text: &str) -> bool {
    let is_pools = |line: &str| line.trim_start_matches(['{', '"', '\'', ' ']).starts_with(POOLS);
    text.lines().any(is_pools)
}

/// Converts the text. A problem with one pool affects only that pool.
pub(super) fn config(text: &str) -> Result<Converted, Invalid> {
    let mut config =
        sections(text).map_err(|error| Invalid::new(FIELD, format!("{error}: correct it")))?;
    let mut converted = Converted::default();
    let pools = match config.remove(POOLS) {
        Some(Value::Array(pools)) => pools,
        Some(Value::Null) | None => Vec::new(),
        Some(_) => {
            return Err(Invalid::new(
                format!("{FIELD}.{POOLS}"),
                "is not a list: write one pool per dash",
            ));
        }
    };
    for key in config.keys() {
        let message = match BGP_KEYS.contains(&key.as_str()) {
            true => format!(
                "{FIELD}.{key}: is skipped, because a folder takes only layer 2 from this ConfigMap: for BGP, run outrigger import metallb -f FILE"
            ),
            false => format!("{FIELD}.{key}: MetalLB 0.9 knows no such key: correct or remove it"),
        };
        converted.notes.push(Note { instead_of: None, message });
    }
    for (at, value) in pools.into_iter().enumerate() {
        pool(&format!("{FIELD}.{POOLS}[{at}]"), value, &mut converted)?;
    }
    Ok(converted)
}

/// # Errors
/// Returns an error for a pool without a name, because it could be any of the previously known pools.
fn pool(field: &str, value: Value, converted: &mut Converted) -> Result<(), Invalid> {
    let Some(name) = value.get("name").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Invalid::new(format!("{field}.name"), "is missing: add it"));
    };
    let key = FactKey::Pool(name.clone());
    let (instead_of, error) = if converted.facts.iter().any(|other| other.key() == key) {
        let problem = format!("{name:?} is used twice: rename one of the two pools");
        (None, Invalid::new(format!("{field}.name"), problem))
    } else if value.get("protocol").and_then(Value::as_str) == Some("bgp") {
        let problem = format!(
            "pool {name:?} is skipped, because a folder takes only layer 2 from this ConfigMap: write layer2, or run outrigger import metallb -f FILE for BGP"
        );
        (None, Invalid::new(format!("{field}.protocol"), problem))
    } else {
        match fact(field, value) {
            Ok(fact) => {
                converted.facts.push(fact);
                return Ok(());
            }
            Err(error) => (Some(key), error),
        }
    };
    converted.notes.push(Note { instead_of, message: error.to_string() });
    Ok(())
}

fn fact(field: &str, value: Value) -> Result<Fact, Invalid> {
    let pool: MetallbPool = serde_json::from_value(value)
        .map_err(|error| Invalid::new(field, format!("{error}: correct it")))?;
    if pool.protocol != "layer2" {
        let problem = format!("{:?} is not a protocol of MetalLB 0.9: write layer2", pool.protocol);
        return Err(Invalid::new(format!("{field}.protocol"), problem));
    }
    if pool.addresses.is_empty() {
        let problem = "is empty: add a CIDR (192.0.2.0/28) or a range";
        return Err(Invalid::new(format!("{field}.addresses"), problem));
    }
    Ok(Fact::from(Pool {
        name: checked(&format!("{field}.name"), &pool.name, 253)?,
        labels: Labels::new(),
        addresses: ranges(&format!("{field}.addresses"), &pool.addresses)?,
        exclude: Vec::new(),
        auto_assign: pool.auto_assign.unwrap_or(true),
        avoid_buggy_ips: pool.avoid_buggy_ips,
        priority: 0,
        namespaces: BTreeSet::new(),
        namespace_selector: None,
        service_selector: Selector::default(),
        allocator: PluginRef { plugin: "lowest-free".to_owned(), config: "{}".to_owned() },
        failure_policy: FailurePolicy::default(),
        announcers: Some(vec!["layer2".to_owned()]),
        draining: false,
        last_valid: None,
    }))
}
