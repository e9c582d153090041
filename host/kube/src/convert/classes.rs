//! Which Services are ours by their class. Must not know what they ask for.
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;

use super::service::is_allocated;

/// The class of Services that are ours unless somebody says otherwise.
pub const LOAD_BALANCER_CLASS: &str = "outrigger.dev/lb";

/// Which Services of type LoadBalancer are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceClasses {
    /// Those without `spec.loadBalancerClass`.
    pub unclassed: bool,
    /// Those of one of these classes.
    pub classes: BTreeSet<String>,
}

impl Default for ServiceClasses {
    /// The unclassed, and `outrigger.dev/lb`.
    fn default() -> Self {
        Self { unclassed: true, classes: [LOAD_BALANCER_CLASS.to_owned()].into() }
    }
}

impl ServiceClasses {
    /// Whether a Service is of type LoadBalancer and of one of these classes.
    pub fn include(&self, object: &v1::Service) -> bool {
        let Some(spec) = &object.spec else { return false };
        let of_class = match &spec.load_balancer_class {
            Some(class) => self.classes.contains(class),
            None => self.unclassed,
        };
        spec.type_.as_deref() == Some("LoadBalancer") && of_class
    }

    /// Whether a Service was ours and is no more: its type or its class changed, and what we wrote into its status is
    /// still there. Whoever writes status takes it out; the API server itself clears only `loadBalancer`, and only when
    /// the type changes.
    pub fn left(&self, object: &v1::Service) -> bool {
        !self.include(object) && is_allocated(object).is_some()
    }
}
