//! Selects the Services that Outrigger serves by their class. This module must not know what the Services ask for.
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;

use super::service::is_allocated;

/// The class of Services that Outrigger serves by default.
pub const LOAD_BALANCER_CLASS: &str = "outrigger.dev/lb";

/// Selection of the Services of type LoadBalancer that Outrigger serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceClasses {
    /// True if Services without `spec.loadBalancerClass` are served.
    pub unclassed: bool,
    /// Classes of Services that are served.
    pub classes: BTreeSet<String>,
}

impl Default for ServiceClasses {
    /// Returns the default selection: Services without a class, and those of class `outrigger.dev/lb`.
    fn default() -> Self {
        Self { unclassed: true, classes: [LOAD_BALANCER_CLASS.to_owned()].into() }
    }
}

impl ServiceClasses {
    /// Returns true if a Service is of type LoadBalancer and of one of these classes.
    pub fn include(&self, object: &v1::Service) -> bool {
        let Some(spec) = &object.spec else { return false };
        let of_class = match &spec.load_balancer_class {
            Some(class) => self.classes.contains(class),
            None => self.unclassed,
        };
        spec.type_.as_deref() == Some("LoadBalancer") && of_class
    }

    /// Returns true if Outrigger served a Service and no longer does: its type or its class changed, and Outrigger's
    /// condition is still in its status. The status writer removes it; the API server itself clears only `loadBalancer`,
    /// and only when the type changes.
    pub fn left(&self, object: &v1::Service) -> bool {
        !self.include(object) && is_allocated(object).is_some()
    }
}
