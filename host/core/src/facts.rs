//! The cluster's objects in the daemon's own types: converted once, on input (`host/kube`), and never back. Does not
//! know the API types of Kubernetes, files or time.
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
/// Labels or annotations by key.
pub type Labels = BTreeMap<String, String>;

/// One known object. Facts are shared by reference: with thousands of Services, copies would be most of what a node
/// holds in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A Service of type LoadBalancer that Outrigger serves; other Services never become facts.
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
    /// The builds of a plugin that the controller has published.
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

/// The key of a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKey {
    /// A Service.
    Service(ServiceKey),
    /// An EndpointSlice, by namespace and name of the slice.
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
    /// The published builds of a plugin, by the plugin's name.
    Published(String),
}

impl FactKey {
    /// Returns the range of keys that covers all Services and nothing else.
    pub fn services() -> std::ops::Range<Self> {
        Self::Service(ServiceKey::default())..Self::Endpoints(ServiceKey::default())
    }
}

impl Fact {
    /// Returns the key of the fact.
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

/// A change of the known facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds or replaces a fact.
    Upsert(Fact),
    /// Removes a fact.
    Remove(FactKey),
    /// Everything has been listed once: from now on an absent object does not exist (invariant 1).
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
    /// The endpoints in the slice.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint and its conditions. Absent conditions count as in Kubernetes: ready, serving = ready, not
/// terminating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The node that it runs on; `None` if unknown.
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
    /// Name of the node.
    pub name: NodeName,
    /// Labels of the node.
    pub labels: Labels,
    /// Annotations `outrigger.dev/...`, which plugins may see.
    #[serde(default)]
    pub annotations: Labels,
    /// `status.addresses` of type InternalIP, in order.
    pub addresses: Vec<IpAddr>,
    /// True if the condition `NetworkUnavailable` is not True.
    pub network_available: bool,
    /// True if the condition `Ready` is True or absent.
    pub ready: bool,
    /// True if the node has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub excluded: bool,
    /// True if the node is being drained: `spec.unschedulable`, or the taint `node.kubernetes.io/out-of-service`.
    pub cordoned: bool,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Name of the namespace.
    pub name: String,
    /// Labels of the namespace.
    pub labels: Labels,
}

/// An address pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Name of the pool.
    pub name: String,
    /// Labels of the pool.
    pub labels: Labels,
    /// Ranges that may be assigned, in the order written.
    pub addresses: Vec<AddressRange>,
    /// Ranges inside `addresses` that may not be assigned.
    pub exclude: Vec<AddressRange>,
    /// True if addresses are assigned automatically; false if only on explicit request.
    pub auto_assign: bool,
    /// True if IPv4 addresses ending in .0 or .255 are never assigned.
    pub avoid_buggy_ips: bool,
    /// Priority: lower is tried first; 0 = last, as in MetalLB.
    pub priority: u32,
    /// Namespaces that may use the pool. Those that `namespace_selector` selects may use it too; all may if there is
    /// neither.
    pub namespaces: BTreeSet<String>,
    /// Selector of further namespaces that may use the pool; `None` selects none.
    pub namespace_selector: Option<Selector>,
    /// Selector of the Services that may use the pool; empty = all.
    pub service_selector: Selector,
    /// The plugin that is the pool's policy.
    pub allocator: PluginRef,
    /// The failure policy, which applies to a Service for which the policy fails.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Names of the announcers for the pool's addresses; `None` = every announcer.
    pub announcers: Option<Vec<String>>,
    /// True if the pool is being deleted: it assigns nothing new and keeps what it assigned.
    pub draining: bool,
    /// The version that was applied last, as recorded in the pool's status: used while this version cannot be applied
    /// (invariant 4).
    pub last_valid: Option<Box<Pool>>,
}

/// The outcome for a Service for which a policy fails: it traps, takes too long, or its answer breaks a rule of the
/// ledger. A refusal is no failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePolicy {
    /// The Service waits until the policy works again.
    #[default]
    Wait,
    /// The next suitable pool is tried.
    NextPool,
    /// The built-in policy decides.
    Builtin,
}

/// A reference to a plugin, with its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRef {
    /// Name of the plugin.
    pub plugin: String,
    /// Configuration as JSON text, "{}" if absent.
    pub config: String,
}

/// A configured announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcer {
    /// Name of the announcer.
    pub name: String,
    /// The plugin that announces.
    pub plugin: PluginRef,
    /// Selector of the nodes that it runs on; empty = all.
    pub node_selector: Selector,
    /// Exact names of the interfaces that it may use; empty = every interface that is not excluded.
    pub interfaces: Vec<String>,
    /// Selector of the Services that it announces; empty = all.
    pub service_selector: Selector,
    /// True if it also announces from nodes that are excluded from external load balancers.
    #[serde(default)]
    pub ignore_exclude_label: bool,
    /// The election mode: one node announces an address, or every eligible node does.
    #[serde(default)]
    pub election: Election,
    /// Permissions beyond announcing its desired addresses: the peers it may communicate with and what it may send.
    #[serde(default)]
    pub grant: Grant,
    /// Names of Secrets, by the name that the plugin uses for each.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}

/// The election mode of an announcer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Election {
    /// One node, which the nodes elect, announces the address: the one that answers for it on a network segment.
    #[default]
    One,
    /// Every eligible node announces the address: routers distribute the traffic among them (ECMP).
    All,
}

/// A plugin delivered as a file or a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// The name that pools and announcers use.
    pub name: String,
    /// The source of the plugin, for messages: a path, or "ConfigMap ns/name".
    pub origin: String,
    /// The component.
    pub component: Component,
}

/// The location of a component's bytes. A file is not held in memory: it is read when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Component {
    /// The bytes themselves.
    Inline(Arc<[u8]>),
    /// A file.
    File {
        /// Its absolute path.
        path: PathBuf,
        /// SHA-256 of the content when the file was found: different content is a different fact.
        digest: [u8; 32],
    },
}

/// One build of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Build {
    /// The build that is embedded in the program, whichever that is.
    Embedded,
    /// A delivered build, by the SHA-256 of the component in hexadecimal.
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

/// The builds of a plugin that the controller has published, the same for every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Name of the plugin.
    pub name: String,
    /// Number of the candidate; reports about a candidate carry it.
    pub attempt: u32,
    /// The active build; `None` if there is none.
    pub active: Option<Build>,
    /// The candidate build that some nodes try; `None` if there is none.
    pub candidate: Option<Build>,
    /// The nodes that try the candidate.
    pub nodes: BTreeSet<NodeName>,
    /// Time limit for compiling, in seconds; 0 = the default limit.
    pub compile_within_seconds: u32,
}
