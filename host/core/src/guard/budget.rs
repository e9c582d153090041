//! The limits of one instance, in one table, which docs/limits.md shows.
use super::churn::Rates;

/// One row of the table of limits.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The thing that is limited.
    pub subject: &'static str,
    /// The maximum.
    pub most: Most,
    /// The refusal, or the other consequence, once the limit is exceeded.
    pub beyond: &'static str,
}

/// A maximum: a number or a formula.
#[derive(Debug, Clone, Copy)]
pub enum Most {
    /// A number and its unit.
    Fixed(u64, &'static str),
    /// A formula in words.
    Formula(&'static str),
}

/// Maximum number of reported peers; the same peer counts once for each protocol.
pub const PEERS: usize = 1_024;
/// Maximum number of counters of one peer.
pub const PEER_COUNTERS: usize = 32;
/// Maximum number of condition types.
pub const CONDITIONS: usize = 16;
/// Maximum number of stored events about Services; each is stored for ten minutes.
pub const EVENTS: usize = 16;
/// Maximum number of metric series (a name with its labels).
pub const SERIES: usize = 1_000;
/// Maximum number of labels of one series.
pub const LABELS: usize = 8;
/// Maximum length in bytes of a name: of a protocol, a condition type, a reason, a metric, a label.
pub const NAME: usize = 63;
/// Maximum length in bytes of a text: a peer's name, a message, an error, a label's value, the key and value of an
/// extension.
pub const TEXT: usize = 512;
/// Maximum number of entries of a list in a report: links and peers in `via`, extensions.
pub const LIST: usize = 64;
/// Maximum number of open streams, listeners and sockets, whatever the grant.
pub const ENDPOINTS: usize = 1_024;
/// Answers and beacons allowed for each address on each link.
pub const OFFLOADS_EACH: usize = 4;
/// Answers and beacons that are always allowed, in addition to [`OFFLOADS_EACH`].
pub const OFFLOADS: usize = 16;
/// Offloads of one stream or socket: keepalive, hold timer, BFD's transmission and detection, and each a second time
/// while one replaces the other.
pub const OFFLOADS_OF_ENDPOINT: usize = 8;
/// Frames per second allowed for beacons about one address on one link.
pub const FRAMES_EACH: u64 = 2;
/// Frames per second that are always allowed for beacons, in addition to [`FRAMES_EACH`].
pub const FRAMES: u64 = 20;
/// Maximum datagrams per second of all repeated datagrams: BFD with hundreds of peers, or with dozens at its fastest
/// interval.
pub const DATAGRAMS: u64 = 10_000;
/// Rates of reports.
pub(super) const REPORTS: Rates = Rates { burst: 1_000, rounds: 8, per_second: 1_000 };
/// Time within which a new instance must repeat the reports that still apply; the remaining reports of its predecessor
/// are removed.
pub(super) const SAID_AGAIN_WITHIN_US: u64 = 10_000_000;
/// Rates of events, kept or not, because each needs a search for its Service among those the instance was sent.
pub(super) const ASKED_FOR_EVENTS: Rates = Rates { burst: 64, rounds: 0, per_second: 1 };
/// Rates of opening streams, listeners and sockets.
pub(super) const OPENED: Rates = Rates { burst: 1_000, rounds: 8, per_second: 50 };
/// Rates of datagrams sent one by one.
pub(super) const SENT: Rates = Rates { burst: 1_000, rounds: 8, per_second: DATAGRAMS };
/// Rates of messages to a peer that are not UPDATEs.
pub(super) const CONTROL: Rates = Rates { burst: 1_000, rounds: 0, per_second: 10 };
/// Rates of UPDATEs: enough for a table in which every route has its own attributes, sent four times as often as
/// [`super::churn::ANNOUNCEMENTS`] allows.
pub(super) const UPDATES: Rates = Rates { burst: 500, rounds: 32, per_second: 200 };
/// Maximum share of one processor, in percent, over ten seconds.
pub const PROCESSOR: u64 = 50;
/// Maximum number of bytes of streams and datagrams that may wait for the instance.
pub const OCTETS_WAITING: usize = 1 << 20;

/// All limits.
pub const LIMITS: &[Limit] = &[
    Limit {
        subject: "reported peers, counted for each protocol separately",
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
        subject: "rate of all beacons together",
        most: Most::Formula("20 + 2 × addresses × links frames each second"),
        beyond: "`too-many-offloads`",
    },
    Limit {
        subject: "rate of all repeated datagrams together (BFD)",
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
        subject: "opening streams, listeners and sockets",
        most: Most::Formula("1,000 + 8 for each that is open at once, 50 each second"),
        beyond: "`churn-limit`",
    },
    Limit {
        subject: "routes announced on a stream; withdrawals are free",
        most: Most::Formula("1,000 + 8 × addresses at once, 200 each second"),
        beyond: "sent, and the stream's credit is returned later",
    },
    Limit {
        subject: "UPDATEs on a stream, regardless of the number of their routes",
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
        beyond: "no more are read until the instance has taken them",
    },
    Limit {
        subject: "processor, over ten seconds",
        most: Most::Fixed(PROCESSOR, "percent of one"),
        beyond: "its next call waits; counted as `processor-share`",
    },
];
