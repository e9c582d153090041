//! The name of a Service or an EndpointSlice.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Namespace and name. The default, without either, comes before every other. Each map of Services has a copy: one word of
/// memory to share, and not two texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey(Arc<str>);

impl ServiceKey {
    /// Of this namespace, "" for what has none, and name. Neither holds a '/', as in Kubernetes.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
