//! Accessors for Kubernetes objects as JSON.
use std::net::IpAddr;

use serde_json::Value;

/// Returns the items of a list.
pub fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// Returns the status of a condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

/// Returns the addresses in a Service's status.
pub fn ingress(service: &Value) -> Vec<IpAddr> {
    let entries = service.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let addresses = entries.into_iter().flatten().filter_map(|entry| entry["ip"].as_str());
    addresses.filter_map(|address| address.parse().ok()).collect()
}
