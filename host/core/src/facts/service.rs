//! A Service: its spec and its status.
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use outrigger_sdk::{Family, ServicePort, TrafficPolicy};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Labels, ServiceKey};

/// A Service of type LoadBalancer that Outrigger serves. Dereferences to its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Everything but the status. Shared with copies of the same Service that have another status: a node has
    /// thousands of each.
    pub spec: Arc<ServiceSpec>,
    /// `status.loadBalancer.ingress[].ip` as last written.
    pub ingress: SmallVec<[IpAddr; 1]>,
    /// True if the status has Outrigger's own condition, and it reports that the Service was allocated.
    pub ours: bool,
}

/// The spec of a Service. Dereferences to its wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Namespace and name.
    pub key: ServiceKey,
    /// `metadata.uid`, "" if the source has none.
    pub uid: String,
    /// Labels of the Service.
    pub labels: Labels,
    /// Annotations of the Service, trimmed as the WIT says.
    pub annotations: Labels,
    /// Ports in the order of the spec.
    pub ports: Vec<ServicePort>,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// `spec.selector`: with policy Local only Services with equal selectors may share an address.
    pub selector: Labels,
    /// Address families in order of preference; never empty.
    pub families: SmallVec<[Family; 2]>,
    /// True if every family or none is to be assigned (RequireDualStack or SingleStack). False for PreferDualStack.
    pub all_families: bool,
    /// Rarely used requests; `None` if the Service makes none of them.
    pub wishes: Option<Box<Wishes>>,
}

/// Requests that few Services make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Specific addresses that are requested (`spec.loadBalancerIP` or an annotation).
    pub wanted: Vec<IpAddr>,
    /// Pool that is requested by annotation.
    pub pool: Option<String>,
    /// Sharing key; "" = does not share.
    pub sharing_key: String,
    /// Host names from an annotation, in lower case, without the final dot.
    pub hostnames: Vec<String>,
    /// TTL in seconds; 0 = not requested.
    pub ttl: u32,
    /// True if an annotation asks to take over what another controller wrote into the status.
    pub adopt: bool,
    /// The reason why the current object cannot be read, with the fix. The other fields then hold what was known
    /// before.
    pub problem: Option<String>,
}

impl Service {
    /// Creates a Service of which only the addresses are known: they stay reserved for it until the object is known.
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

/// Writing to a shared spec copies it first.
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
    /// Returns the wishes as a spec stores them: `None` if there are none.
    pub fn if_any(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl ServiceSpec {
    /// Returns the Service in the types of the plugin SDK.
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

/// Returns the Service after applying `change` to it, for tests.
#[cfg(test)]
pub(crate) fn with(mut service: Service, change: impl FnOnce(&mut Service)) -> Service {
    change(&mut service);
    service
}
