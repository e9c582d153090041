//! A Service as it is asked for, and its status.
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use outrigger_sdk::{Family, ServicePort, TrafficPolicy};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Labels, ServiceKey};

/// A Service of type LoadBalancer that Outrigger serves. Reads as its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// All of it but its status. Shared with the same Service in another status: a node has thousands of each.
    pub spec: Arc<ServiceSpec>,
    /// `status.loadBalancer.ingress[].ip` as last written.
    pub ingress: SmallVec<[IpAddr; 1]>,
    /// Our own condition stands beside the ingress and says that it was allocated.
    pub ours: bool,
}

/// What is asked for. Reads as its wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Namespace and name.
    pub key: ServiceKey,
    /// `metadata.uid`, "" where the source has none.
    pub uid: String,
    /// Labels.
    pub labels: Labels,
    /// Annotations, trimmed as the WIT says.
    pub annotations: Labels,
    /// Ports in the order of the spec.
    pub ports: Vec<ServicePort>,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// `spec.selector`: with policy Local only Services with equal selectors may share an address.
    pub selector: Labels,
    /// Families in order of preference; never empty.
    pub families: SmallVec<[Family; 2]>,
    /// RequireDualStack or SingleStack: every family or none. False for PreferDualStack.
    pub all_families: bool,
    /// What few ask for; `None` when it asks for none of it.
    pub wishes: Option<Box<Wishes>>,
}

/// What few Services ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Addresses asked for by name (`spec.loadBalancerIP` or an annotation).
    pub wanted: Vec<IpAddr>,
    /// Pool asked for by annotation.
    pub pool: Option<String>,
    /// Sharing key, "" = does not share.
    pub sharing_key: String,
    /// Host names by annotation, lower case, no final dot.
    pub hostnames: Vec<String>,
    /// Seconds, 0 = not asked for.
    pub ttl: u32,
    /// A person wants what another controller wrote to be taken over.
    pub adopt: bool,
    /// What makes the object unreadable as it is now, with the fix. The rest is what was known before.
    pub problem: Option<String>,
}

impl Service {
    /// A Service of which only the addresses are known: they are its own until more is.
    pub fn reserved(key: ServiceKey, ingress: &[IpAddr]) -> Self {
        let (uid, labels, annotations, selector) = Default::default();
        let spec = ServiceSpec {
            key,
            uid,
            labels,
            annotations,
            ports: Vec::new(),
            traffic_policy: TrafficPolicy::Cluster,
            selector,
            families: ingress.iter().map(Family::of).collect(),
            all_families: true,
            wishes: Wishes { wanted: ingress.to_vec(), ..Wishes::default() }.if_any(),
        };
        Self { spec: spec.into(), ingress: ingress.into(), ours: true }
    }
}

impl Deref for Service {
    type Target = ServiceSpec;

    fn deref(&self) -> &ServiceSpec {
        &self.spec
    }
}

/// Writing to a shared spec makes it its own.
impl DerefMut for Service {
    fn deref_mut(&mut self) -> &mut ServiceSpec {
        Arc::make_mut(&mut self.spec)
    }
}

impl Deref for ServiceSpec {
    type Target = Wishes;

    fn deref(&self) -> &Wishes {
        static NONE: Wishes = Wishes {
            wanted: Vec::new(),
            pool: None,
            sharing_key: String::new(),
            hostnames: Vec::new(),
            ttl: 0,
            adopt: false,
            problem: None,
        };
        self.wishes.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for ServiceSpec {
    fn deref_mut(&mut self) -> &mut Wishes {
        self.wishes.get_or_insert_default()
    }
}

impl Wishes {
    /// As a spec has them.
    pub fn if_any(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl ServiceSpec {
    /// The same Service in the words of the plugin world.
    pub fn to_sdk(&self) -> outrigger_sdk::Service {
        let pairs = |labels: &Labels| labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        outrigger_sdk::Service {
            namespace: self.key.namespace().to_owned(),
            name: self.key.name().to_owned(),
            uid: self.uid.clone(),
            labels: pairs(&self.labels),
            annotations: pairs(&self.annotations),
            ports: self.ports.clone(),
            external_traffic_policy: self.traffic_policy,
            hostnames: self.hostnames.clone(),
            ttl: self.ttl,
        }
    }
}

/// A Service that differs so, for tests.
#[cfg(test)]
pub(crate) fn with(mut service: Service, change: impl FnOnce(&mut Service)) -> Service {
    change(&mut service);
    service
}
