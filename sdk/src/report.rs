//! The reports of a plugin about its own status. Reports are levels, not edges. WIT: `status`.
use std::net::IpAddr;

use crate::Pair;

/// A report about one subject. The last report about a subject applies, across swaps and crashes, until it is
/// replaced or the subject is gone. WIT: `status.report`.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// The announcement state of an address.
    Address(AddressReport),
    /// A condition of the plugin, as in Kubernetes.
    Condition(Condition),
    /// A Kubernetes Event on a Service assigned to this instance, recorded once.
    Event(ServiceEvent),
    /// The state of a peer.
    Peer(PeerReport),
    /// A metric, exported as `outrigger_plugin_<name>`.
    Metric {
        /// Metric name: `[a-z_][a-z0-9_]{0,62}`.
        name: String,
        /// Labels in addition to those of the instance; their names follow the same pattern.
        labels: Vec<Pair>,
        /// Value to add to a counter or to set on a gauge.
        value: MetricValue,
    },
    /// A report of the WIT world that this host does not keep, by name.
    Other(String),
}

/// A metric's value. WIT: `status.metric-value`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// Counter increment.
    Add(f64),
    /// Gauge value.
    Set(f64),
}

/// The announcement state of an address. WIT: `status.address-report`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressReport {
    /// The address.
    pub address: IpAddr,
    /// Progress of the announcement.
    pub state: AnnouncementState,
    /// Names of the links, peers or zones it is announced on. This list confirms an announcement.
    pub via: Vec<String>,
    /// CamelCase reason; "" when announced.
    pub reason: String,
    /// One sentence for a human reader.
    pub message: String,
}

/// The progress of an announcement. WIT: `status.announcement-state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnouncementState {
    /// Decided but not yet announced.
    Pending,
    /// The network has been notified.
    Announced,
    /// Another node announces it.
    Standby,
    /// No longer announced.
    Withdrawn,
    /// Another host answers for the address (RFC 5227).
    Conflict,
    /// The address could not be announced.
    Failed,
    /// A state that this version does not know.
    Other(String),
}

/// The state of a protocol peer. WIT: `status.peer-report`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeerReport {
    /// Name of the peer in the configuration, unique per instance and protocol.
    pub peer: String,
    /// Protocol: "bgp", "bfd", "dns", "http", ...
    pub protocol: String,
    /// Health of the peer in terms common to all protocols.
    pub health: PeerHealth,
    /// State in the protocol's own terms, such as "OpenConfirm" or "AdminDown".
    pub state: String,
    /// The last error in a network engineer's terms; "" if there was none.
    pub last_error: String,
    /// Counters exported as metrics. `outrigger bgp peers` shows "announced-prefixes-total", "total-received" and
    /// "total-sent".
    pub counters: Vec<(String, f64)>,
    /// Additional details for display, such as "hold-time". "remote" is the peer's address and port; "since-us" is
    /// when the state began, in microseconds of the monotonic clock.
    pub ext: Vec<(String, String)>,
}

/// The health of a peer. WIT: `status.peer-health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerHealth {
    /// Starting for the first time.
    #[default]
    Starting,
    /// Working normally.
    Up,
    /// Working, with a problem.
    Degraded,
    /// Not working.
    Down,
    /// Disabled on purpose.
    Disabled,
}

/// A condition of the plugin, as in Kubernetes. WIT: `status.condition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The condition's type.
    pub kind: String,
    /// Status: `Some(true)` = True, `Some(false)` = False, `None` = Unknown.
    pub status: Option<bool>,
    /// CamelCase reason.
    pub reason: String,
    /// One sentence for a human reader.
    pub message: String,
}

/// A Kubernetes Event on a Service. WIT: `status.service-event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEvent {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// True if the Event's type is Warning, false if it is Normal.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: String,
    /// One sentence for a human reader.
    pub message: String,
}
