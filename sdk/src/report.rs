//! What a plugin says about itself: levels, not edges. WIT: `status`.
use std::net::IpAddr;

use crate::Pair;

/// The last report about a subject stands, across swaps and crashes, until replaced or the subject goes away.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// About an address.
    Address(AddressReport),
    /// About the plugin, as in Kubernetes.
    Condition(Condition),
    /// About a Service that it was told about, once.
    Event(ServiceEvent),
    /// About a peer.
    Peer(PeerReport),
    /// A number, exported as `outrigger_plugin_<name>`.
    Metric {
        /// Metric name: `[a-z_][a-z0-9_]{0,62}`.
        name: String,
        /// Labels besides those of the instance, each of them named in the same way.
        labels: Vec<Pair>,
        /// Added to a counter, or set on a gauge.
        value: MetricValue,
    },
    /// A case of the WIT world that this host does not keep: its name.
    Other(String),
}

/// WIT: `status.metric-value`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// Counter increment.
    Add(f64),
    /// Gauge value.
    Set(f64),
}

/// WIT: `status.address-report`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressReport {
    /// The address.
    pub address: IpAddr,
    /// How far its announcement is.
    pub state: AnnouncementState,
    /// Link names, peer names or zones. This is what confirms an announcement.
    pub via: Vec<String>,
    /// CamelCase, "" when announced.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
}

/// WIT: `status.announcement-state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnouncementState {
    /// Decided, on its way.
    Pending,
    /// The network was told.
    Announced,
    /// Another node announces it.
    Standby,
    /// No longer announced.
    Withdrawn,
    /// Someone else answers for it (RFC 5227).
    Conflict,
    /// Could not be announced.
    Failed,
    /// One that this version does not know.
    Other(String),
}

/// WIT: `status.peer-report`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeerReport {
    /// The name in the configuration, unique per instance and protocol.
    pub peer: String,
    /// "bgp", "bfd", "dns", "http", ...
    pub protocol: String,
    /// How it is, in one word for every protocol.
    pub health: PeerHealth,
    /// The protocol's own word: "OpenConfirm", "AdminDown".
    pub state: String,
    /// In words that a network engineer would use, "" when there was none.
    pub last_error: String,
    /// Exported as metrics: "messages-in", "prefixes-sent".
    pub counters: Vec<(String, f64)>,
    /// What a person may want to see besides: "capabilities", "hold-time", "since-us" (monotonic).
    pub ext: Vec<(String, String)>,
}

/// WIT: `status.peer-health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerHealth {
    /// On its way up for the first time.
    #[default]
    Starting,
    /// As it should be.
    Up,
    /// It works, and something is wrong.
    Degraded,
    /// It does not work.
    Down,
    /// Switched off on purpose.
    Disabled,
}

/// WIT: `status.condition`. `kind` is the condition's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The condition's type.
    pub kind: String,
    /// `Some(true)` = True, `None` = Unknown.
    pub status: Option<bool>,
    /// CamelCase.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
}

/// WIT: `status.service-event`. A Kubernetes Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEvent {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// Whether its type is Warning, else Normal.
    pub warning: bool,
    /// CamelCase.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
}
