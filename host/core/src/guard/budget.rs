//! The limits of one instance: one table, which docs/limits.md shows.
use super::churn::Rates;

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The thing that is limited.
    pub subject: &'static str,
    /// The most of it.
    pub most: Most,
    /// The refusal, or whatever else happens beyond it.
    pub beyond: &'static str,
}

/// A number, or a formula.
#[derive(Debug, Clone, Copy)]
pub enum Most {
    /// A number, and its unit.
    Fixed(u64, &'static str),
    /// A formula in words.
    Formula(&'static str),
}

/// Peers that an instance reports, each protocol counted by itself.
pub const PEERS: usize = 1_024;
/// Counters of one peer.
pub const PEER_COUNTERS: usize = 32;
/// Condition types.
pub const CONDITIONS: usize = 16;
/// Events about Services that stand, each for ten minutes.
pub const EVENTS: usize = 16;
/// Metric series: names with their labels.
pub const SERIES: usize = 1_000;
/// Labels of one series.
pub const LABELS: usize = 8;
/// Octets of a name: of a protocol, a condition type, a reason, a metric, a label.
pub const NAME: usize = 63;
/// Octets of a text: a peer's name, a message, an error, a label's value, the key and value of an extension.
pub const TEXT: usize = 512;
/// Entries of a list in a report: links and peers in `via`, extensions.
pub const LIST: usize = 64;
/// Streams, listeners and sockets that fit, whatever the grant.
pub const ENDPOINTS: usize = 1_024;
/// Answers and beacons for each address on each link.
pub const OFFLOADS_EACH: usize = 4;
/// Answers and beacons that always fit.
pub const OFFLOADS: usize = 16;
/// Offloads of one stream or socket: keepalive, hold timer, BFD's transmission and detection, and each once more while one replaces
/// the other.
pub const OFFLOADS_OF_ENDPOINT: usize = 8;
/// Frames per second of beacons about one address on one link.
pub const FRAMES_EACH: u64 = 2;
/// Frames per second of beacons that always fit.
pub const FRAMES: u64 = 20;
/// Datagrams per second of all that are repeated: BFD with hundreds of peers, or with dozens at its fastest.
pub const DATAGRAMS: u64 = 10_000;
/// Reports.
pub(super) const REPORTS: Rates = Rates { burst: 1_000, rounds: 8, per_second: 1_000 };
/// A new instance has this time to say again what is still so; the rest of its predecessor's words go.
pub(super) const SAID_AGAIN_WITHIN_US: u64 = 10_000_000;
/// Events, kept or not: whether the instance was told about their Service has to be looked for.
pub(super) const ASKED_FOR_EVENTS: Rates = Rates { burst: 64, rounds: 0, per_second: 1 };
/// Streams, listeners and sockets opened.
pub(super) const OPENED: Rates = Rates { burst: 1_000, rounds: 8, per_second: 50 };
/// Datagrams sent one by one.
pub(super) const SENT: Rates = Rates { burst: 1_000, rounds: 8, per_second: DATAGRAMS };
/// Messages to a peer that are no UPDATEs.
pub(super) const CONTROL: Rates = Rates { burst: 1_000, rounds: 0, per_second: 10 };
/// UPDATEs: a table whose every route has attributes of its own, said four times as often as [`super::churn::ANNOUNCEMENTS`] lets pass.
pub(super) const UPDATES: Rates = Rates { burst: 500, rounds: 32, per_second: 200 };
/// Part of a processor over ten seconds, in percent.
pub const PROCESSOR: u64 = 50;
/// Octets of streams and datagrams that may wait for the instance.
pub const OCTETS_WAITING: usize = 1 << 20;

/// All of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        subject: "reported peers, each protocol counted by itself",
        most: Most::Fixed(PEERS as u64, "peers"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "counters of a reported peer",
        most: Most::Fixed(PEER_COUNTERS as u64, "counters"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "reported conditions",
        most: Most::Fixed(CONDITIONS as u64, "types"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "events about Services, each for ten minutes",
        most: Most::Fixed(EVENTS as u64, "events"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "metrics",
        most: Most::Fixed(SERIES as u64, "series"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "labels of a metric",
        most: Most::Fixed(LABELS as u64, "labels"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "name of a protocol, condition, reason, metric or label",
        most: Most::Fixed(NAME as u64, "octets"),
        beyond: "`not-well-formed`",
    },
    Limit {
        subject: "message, error, value of a label or of an extension",
        most: Most::Fixed(TEXT as u64, "octets"),
        beyond: "cut; a peer's name: `not-well-formed`",
    },
    Limit {
        subject: "list in a report",
        most: Most::Fixed(LIST as u64, "entries"),
        beyond: "`not-well-formed`",
    },
    Limit {
        subject: "reports",
        most: Most::Formula("1,000 + 8 × (addresses + peers) at once, 1,000 each second"),
        beyond: "`too-much-said`",
    },
    Limit {
        subject: "frames, and offloads that are set",
        most: Most::Formula("1,000 + 8 × addresses × links at once, 200 each second"),
        beyond: "`churn-limit`",
    },
    Limit {
        subject: "answers and beacons",
        most: Most::Formula("16 + 4 × addresses × links"),
        beyond: "`too-many-offloads`",
    },
    Limit {
        subject: "what all beacons send",
        most: Most::Formula("20 + 2 × addresses × links frames each second"),
        beyond: "`too-many-offloads`",
    },
    Limit {
        subject: "what all repeated datagrams send (BFD)",
        most: Most::Fixed(DATAGRAMS, "datagrams each second"),
        beyond: "`too-many-offloads`",
    },
    Limit {
        subject: "offloads of a stream or socket",
        most: Most::Fixed(OFFLOADS_OF_ENDPOINT as u64, "offloads"),
        beyond: "`too-many-offloads`",
    },
    Limit {
        subject: "streams, listeners and sockets",
        most: Most::Fixed(ENDPOINTS as u64, "endpoints"),
        beyond: "`too-many-endpoints`",
    },
    Limit {
        subject: "opening them",
        most: Most::Formula("1,000 + 8 for each that is open at once, 50 each second"),
        beyond: "`churn-limit`",
    },
    Limit {
        subject: "routes announced on a stream; withdrawals are free",
        most: Most::Formula("1,000 + 8 × addresses at once, 200 each second"),
        beyond: "said, and the stream's credit comes back later",
    },
    Limit {
        subject: "UPDATEs on a stream, however few routes are in them",
        most: Most::Formula("500 + 32 × addresses at once, 200 each second"),
        beyond: "`churn-limit`",
    },
    Limit {
        subject: "other messages on a stream (OPEN, KEEPALIVE, NOTIFICATION, ROUTE-REFRESH)",
        most: Most::Formula("1,000 at once, 10 each second"),
        beyond: "`churn-limit`",
    },
    Limit {
        subject: "datagrams (BFD)",
        most: Most::Formula("1,000 + 8 for each endpoint at once, 10,000 each second"),
        beyond: "`churn-limit`",
    },
    Limit {
        subject: "octets of streams and datagrams that wait for the instance",
        most: Most::Fixed(OCTETS_WAITING as u64, "octets"),
        beyond: "no more are read until it has taken them",
    },
    Limit {
        subject: "processor, over ten seconds",
        most: Most::Fixed(PROCESSOR, "percent of one"),
        beyond: "its next call waits; counted as `processor-share`",
    },
];
