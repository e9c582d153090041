//! What is known about the cluster, in our own words: converted once, at the door (`host/kube`), and never back.
//! Knows nothing of Kubernetes' API types, of files or of time.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use outrigger_sdk::Family;
use serde::{Deserialize, Serialize};

use crate::guard::Grant;

mod cluster;
mod range;
mod selector;
mod service;
mod service_key;

pub use cluster::{Cluster, Difference, NAMESPACE_NAME};
pub use range::{AddressRange, RangeError};
pub use selector::{Requirement, Selector};
#[cfg(test)]
pub(crate) use service::with;
pub use service::{Service, ServiceSpec, Wishes};
pub use service_key::ServiceKey;

/// Name of a node, as in `Node.metadata.name`.
pub type NodeName = String;
/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// One thing that is known. Whoever keeps it shares it: with thousands of Services a copy for each would be most of what a
/// node holds in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A Service of type LoadBalancer that is ours; others are never facts.
    Service(Arc<Service>),
    /// The endpoints of one EndpointSlice.
    Endpoints(Arc<Endpoints>),
    /// A node.
    Node(Arc<Node>),
    /// A namespace.
    Namespace(Arc<Namespace>),
    /// An address pool.
    Pool(Arc<Pool>),
    /// A configured announcer.
    Announcer(Arc<Announcer>),
    /// A plugin that was delivered from outside.
    Plugin(Arc<Plugin>),
    /// What the controller says is to run under a plugin's name.
    Published(Arc<Published>),
}

macro_rules! into_fact {
    ($($kind:ident)*) => {$(
        impl From<$kind> for Fact {
            fn from(fact: $kind) -> Self {
                Self::$kind(Arc::new(fact))
            }
        }
    )*};
}

into_fact!(Service Endpoints Node Namespace Pool Announcer Plugin Published);

/// Names a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKey {
    /// A Service.
    Service(ServiceKey),
    /// An EndpointSlice: namespace and name of the slice.
    Endpoints(ServiceKey),
    /// A node.
    Node(NodeName),
    /// A namespace.
    Namespace(String),
    /// A pool.
    Pool(String),
    /// An announcer.
    Announcer(String),
    /// A plugin.
    Plugin(String),
    /// What is to run under a plugin's name.
    Published(String),
}

impl FactKey {
    /// Of Services only.
    pub fn services() -> std::ops::Range<Self> {
        Self::Service(ServiceKey::default())..Self::Endpoints(ServiceKey::default())
    }
}

impl Fact {
    /// The name it goes by.
    pub fn key(&self) -> FactKey {
        match self {
            Self::Service(service) => FactKey::Service(service.key.clone()),
            Self::Endpoints(endpoints) => FactKey::Endpoints(endpoints.slice.clone()),
            Self::Node(node) => FactKey::Node(node.name.clone()),
            Self::Namespace(namespace) => FactKey::Namespace(namespace.name.clone()),
            Self::Pool(pool) => FactKey::Pool(pool.name.clone()),
            Self::Announcer(announcer) => FactKey::Announcer(announcer.name.clone()),
            Self::Plugin(plugin) => FactKey::Plugin(plugin.name.clone()),
            Self::Published(published) => FactKey::Published(published.name.clone()),
        }
    }
}

/// A step from one state of knowledge to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Is now so.
    Upsert(Fact),
    /// Is no longer there.
    Remove(FactKey),
    /// Everything has been listed once: from now on what is absent does not exist (invariant 1).
    Synced,
}

/// The endpoints of one EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Namespace and name of the slice.
    pub slice: ServiceKey,
    /// The Service it belongs to (`kubernetes.io/service-name`).
    pub service: ServiceKey,
    /// `addressType`: traffic to an address goes to endpoints of its own family.
    pub family: Family,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint and its conditions. Absent conditions count as in Kubernetes: ready, serving = ready, not terminating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The node it runs on, if known.
    pub node: Option<NodeName>,
    /// Condition `ready`.
    pub ready: bool,
    /// Condition `serving`.
    pub serving: bool,
    /// Condition `terminating`.
    pub terminating: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// Annotations `outrigger.dev/...`: what plugins may see.
    #[serde(default)]
    pub annotations: Labels,
    /// `status.addresses` of type InternalIP, in order.
    pub addresses: Vec<IpAddr>,
    /// Condition `NetworkUnavailable` is not True.
    pub network_available: bool,
    /// Condition `Ready` is True, or there is none.
    pub ready: bool,
    /// Carries `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub excluded: bool,
    /// It is being emptied: `spec.unschedulable`, or the taint `node.kubernetes.io/out-of-service`.
    pub cordoned: bool,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

/// An address pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// What may be given out, in the order written.
    pub addresses: Vec<AddressRange>,
    /// What may not, though inside.
    pub exclude: Vec<AddressRange>,
    /// False: only on explicit request.
    pub auto_assign: bool,
    /// Never give out IPv4 addresses ending in .0 or .255.
    pub avoid_buggy_ips: bool,
    /// Lower is tried first; 0 = last, as in MetalLB.
    pub priority: u32,
    /// Namespaces that may use it. Those that `namespace_selector` selects may too; all may when there is neither.
    pub namespaces: BTreeSet<String>,
    /// Namespaces that may use it, by label; `None` selects none.
    pub namespace_selector: Option<Selector>,
    /// Services that may use it; empty = all.
    pub service_selector: Selector,
    /// The policy.
    pub allocator: PluginRef,
    /// Decides about a Service for which the policy fails.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Announcers by name; `None` = every announcer.
    pub announcers: Option<Vec<String>>,
    /// It is being deleted: it gives out nothing new and keeps what it gave.
    pub draining: bool,
    /// The version that was in force last, by its status: serves while this one cannot (invariant 4).
    pub last_valid: Option<Box<Pool>>,
}

/// The outcome for a Service for which a policy fails: it traps, takes too long, or its answer breaks a rule of the ledger. A refusal
/// is no failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePolicy {
    /// It waits until the policy works again.
    #[default]
    Wait,
    /// The next pool that suits is tried.
    NextPool,
    /// The policy that comes with the program decides.
    Builtin,
}

/// A plugin and what it is configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRef {
    /// Name of the plugin.
    pub plugin: String,
    /// JSON text, "{}" when absent.
    pub config: String,
}

/// A configured announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcer {
    /// Its name.
    pub name: String,
    /// The plugin.
    pub plugin: PluginRef,
    /// Nodes it runs on; empty = all.
    pub node_selector: Selector,
    /// Interfaces by exact name; empty = every interface that is not excluded.
    pub interfaces: Vec<String>,
    /// Services it announces; empty = all.
    pub service_selector: Selector,
    /// From nodes that are excluded from external load balancers too.
    #[serde(default)]
    pub ignore_exclude_label: bool,
    /// Whether one node announces an address, or all that may.
    #[serde(default)]
    pub election: Election,
    /// Whom it may speak with and what it may say, besides the addresses it is told to announce.
    #[serde(default)]
    pub grant: Grant,
    /// Names of Secrets, by the names that the plugin knows them by.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}

/// How many nodes announce an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Election {
    /// One, which the nodes elect: who answers for an address on a segment.
    #[default]
    One,
    /// Every node that may: routers share the traffic out between them (ECMP).
    All,
}

/// A plugin delivered as a file or a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// The name that pools and announcers use.
    pub name: String,
    /// Where it came from, for messages: a path, or "ConfigMap ns/name".
    pub origin: String,
    /// The component.
    pub component: Component,
}

/// Where the octets of a component are. A file is not held in memory: it is read when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Component {
    /// Here.
    Inline(Arc<[u8]>),
    /// In a file.
    File {
        /// Its absolute path.
        path: PathBuf,
        /// SHA-256 of what it held when it was found: another content is another fact.
        digest: [u8; 32],
    },
}

/// One build of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Build {
    /// The one that comes with the program, whichever that is.
    Embedded,
    /// SHA-256 of the component, in hexadecimal.
    Delivered(String),
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Delivered(digest) => write!(f, "{digest:.12}"),
        }
    }
}

/// What the controller says is to run under a plugin's name: the same for every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The plugin's name.
    pub name: String,
    /// Which candidate this is: what is said of it names it.
    pub attempt: u32,
    /// What runs, if anything does.
    pub active: Option<Build>,
    /// What some try instead.
    pub candidate: Option<Build>,
    /// Who does.
    pub nodes: BTreeSet<NodeName>,
    /// How long compiling may take, in seconds; 0: as long as usual.
    pub compile_within_seconds: u32,
}
