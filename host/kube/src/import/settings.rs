//! Reports MetalLB's settings outside of its custom resources: flags of its programs, excluded interfaces, raw FRR
//! configuration. This module must not know pools.
use serde_json::Value;

use super::config_map::{EXCLUDED_LINKS, RAW_FRR};
use super::{Item, Work};

/// Interfaces that both MetalLB and Outrigger exclude.
const USUAL_LINKS: [&str; 14] = [
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth.*",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
    "^lxc.*",
];

/// Reports each of these settings, none of which becomes an object.
pub(super) fn convert(work: &mut Work) {
    for kind in ["Deployment", "DaemonSet"] {
        for item in work.of(kind) {
            flags(work, &item);
        }
    }
    for item in work.of("ConfigMap") {
        let data = &item.object["data"];
        if data[RAW_FRR].as_str().is_some_and(|text| !text.trim().is_empty()) {
            let message = "is raw configuration of FRR, which is not used: it is left out; write an equivalent in the Announcer's config";
            work.leave(&item.origin, &format!("data.{RAW_FRR}"), message);
        }
        if let Some(text) = data[EXCLUDED_LINKS].as_str() {
            links(work, &item, text);
        }
    }
    for item in work.of("FRRConfiguration") {
        let generated = item.name.starts_with("metallb-") && item.spec.get("raw").is_none();
        if generated {
            continue; // MetalLB made it from its own objects
        }
        let field = if item.spec.get("raw").is_some() { "spec.raw" } else { "spec" };
        let message = "is configuration of FRR, which is not used: it is left out; write an equivalent in the Announcer's config";
        work.leave(&item.origin, field, message);
    }
}

fn flags(work: &mut Work, item: &Item) {
    let containers = item.spec.pointer("/template/spec/containers");
    let containers = containers.and_then(Value::as_array).into_iter().flatten();
    let arguments: Vec<String> = containers
        .flat_map(|container| container["args"].as_array().into_iter().flatten())
        .filter_map(|argument| argument.as_str().map(str::to_owned))
        .collect();
    for argument in arguments {
        let message = match argument.split_once('=') {
            Some(("--lb-class", class)) => format!(
                "MetalLB serves only Services of class {class}: to serve these and no others, set OUTRIGGER_SERVICES__UNCLASSED=false and OUTRIGGER_SERVICES__CLASSES=[{class}] in both workloads of Outrigger"
            ),
            _ if argument == "--ignore-exclude-lb" || argument == "--ignore-exclude-lb=true" => {
                work.ignores_exclude_label = true;
                continue;
            }
            _ => continue,
        };
        work.leave(&item.origin, "args", message);
    }
}

fn links(work: &mut Work, item: &Item, text: &str) {
    let field = format!("data[{EXCLUDED_LINKS}]");
    let options = serde_saphyr::options! { with_snippet: false };
    let excluded: Value = serde_saphyr::from_str_with_options(text, options).unwrap_or_default();
    let lists = excluded.as_object().into_iter().flat_map(|map| map.values());
    let patterns = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let own: Vec<&str> = patterns.filter(|one| !USUAL_LINKS.contains(one)).collect();
    if !own.is_empty() {
        let message = format!(
            "interfaces cannot be excluded by pattern, so {} is ignored: list the interfaces to use in an Announcer's spec.interfaces",
            own.join(", ")
        );
        work.leave(&item.origin, &field, message);
    }
}
