//! Node data that the host provides in `Context.ext`. It is valid for the lifetime of an instance; changes arrive with
//! a new instance.
use std::net::IpAddr;

use outrigger_sdk::{Context, Pair};

/// The node's data by key: `node-ip` (once for each address), `default-gateway`, `default-gateway-v6`, `label/KEY`,
/// `annotation/KEY`, `restarting`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pairs: Vec<Pair>,
}

impl Node {
    pub(crate) fn new(context: &Context) -> Self {
        Self { name: context.node.clone(), pairs: context.ext.clone() }
    }

    /// Returns the first value of a key, as templates in the configuration see it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        if key == "node" {
            return Some(&self.name);
        }
        self.pairs.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let of_key = |found: &str| found.strip_prefix("label/") == Some(key);
        self.pairs.iter().find(|(found, _)| of_key(found)).map(|(_, value)| value.as_str())
    }

    /// Returns the node's addresses as listed by Kubernetes.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let of_node = self.pairs.iter().filter(|(key, _)| key == "node-ip");
        of_node.filter_map(|(_, value)| value.parse().ok()).collect()
    }

    /// Returns true if the daemon was stopped for a restart and this is the start after it (RFC 4724 section 4.1).
    pub(crate) fn is_restarting(&self) -> bool {
        self.get("restarting") == Some("true")
    }
}
