//! The name of a Service or an EndpointSlice.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Namespace and name. The default, which has neither, sorts before every other key. Every map of Services holds a
/// copy, so the text is shared and not copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey(Arc<str>);

impl ServiceKey {
    /// Creates a key from a namespace, "" for an object without one, and a name. Neither contains a '/', as in
    /// Kubernetes.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
