//! What the supervisor says: to whoever carries out effects, and to people.
use std::fmt;

use outrigger_sdk::{Effect, Event};

use crate::machine::Fault;

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delivered {
    /// To be carried out, in order.
    pub effects: Vec<Effect>,
    /// When to come back, in monotonic microseconds, and the reason to put into [`Event::Wake`]. Replaces the one before.
    pub wake: Option<(u64, String)>,
    /// What went wrong, oldest first.
    pub incidents: Vec<Incident>,
    /// Another instance runs, or will: deliver [`Event::Resumed`], then the full lists of links and desired addresses.
    pub needs_full: bool,
}

/// Something that a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incident {
    /// A new instance took over in the same state.
    Restarted {
        /// What ended the one before.
        why: Fault,
    },
    /// An event that faults every time was left out.
    Quarantined {
        /// In a few words.
        event: String,
        /// What it did.
        why: Fault,
    },
    /// Restarts did not help, another build took over.
    FellBack {
        /// The digest that did not work.
        from: String,
        /// The digest that runs now; the same when only the state was given up.
        to: String,
        /// It started without any state.
        fresh: bool,
        /// The last fault.
        why: Fault,
    },
    /// Nothing helped: no instance runs.
    Held {
        /// Next attempt, in monotonic microseconds.
        until_us: u64,
        /// The last fault.
        why: String,
    },
    /// An instance runs again.
    Revived {
        /// Its digest.
        digest: String,
    },
    /// Another build or configuration took over, as asked.
    Swapped {
        /// The digest before.
        from: String,
        /// The digest now.
        to: String,
        /// It did not know the state of the one before and started without.
        fresh: bool,
    },
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |fresh: &bool| if *fresh { " without the state of the one before" } else { "" };
        match self {
            Self::Restarted { why } => write!(f, "restarted in the same state: {why}"),
            Self::Quarantined { event, why } => write!(f, "left out one event ({event}): {why}"),
            Self::FellBack { from, to, fresh, why } => {
                write!(f, "fell back from {from} to {to}{}: {why}", state(fresh))
            }
            Self::Held { why, .. } => {
                write!(f, "no instance runs, the next attempt will come: {why}")
            }
            Self::Revived { digest } => write!(f, "{digest} runs again"),
            Self::Swapped { from, to, fresh } => {
                write!(f, "swapped {from} for {to}{}", state(fresh))
            }
        }
    }
}

/// How an announcer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The build that runs, or that ran last.
    pub digest: String,
    /// Whether an instance runs.
    pub phase: Phase,
    /// Faults so far.
    pub restarts: u64,
    /// Events left out so far.
    pub quarantined: u64,
    /// The last fault, in words.
    pub last_fault: Option<String>,
}

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Running,
    /// It does not; attempts go on.
    Held,
}

/// Why another build or configuration did not take over. The one before serves on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step} failed: {why}")]
pub struct SwapError {
    /// Which step.
    pub step: SwapStep,
    /// What it said.
    pub why: String,
    /// The fault, unless the plugin itself refused.
    pub fault: Option<Fault>,
}

impl SwapError {
    /// The plugin refused.
    pub(super) fn refused(step: SwapStep, why: impl ToString) -> Self {
        Self { step, why: why.to_string(), fault: None }
    }

    /// The plugin failed.
    pub(super) fn faulted(step: SwapStep, fault: Fault) -> Self {
        Self { step, why: fault.to_string(), fault: Some(fault) }
    }
}

/// The steps of a swap, in order. Taking the old one's state is none: what it cannot give is done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapStep {
    /// Make an instance.
    Instantiate,
    /// Check the configuration.
    Validate,
    /// Start it from the old one's state.
    Start,
    /// Tell it what is open and desired.
    CatchUp,
}

impl fmt::Display for SwapStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instantiate => "instantiate",
            Self::Validate => "validate",
            Self::Start => "start",
            Self::CatchUp => "catch-up",
        })
    }
}

/// An event in a few words, without what Services or the wire put into it.
pub(super) fn summary(event: &Event) -> String {
    match event {
        Event::Resumed(resumed) => {
            format!("resumed, {} open, {} offloads", resumed.open.len(), resumed.offloads.len())
        }
        Event::LinksChanged(changed) => {
            format!(
                "links-changed, {} removed, {} changed",
                changed.remove.len(),
                changed.upsert.len()
            )
        }
        Event::DesiredChanged(changed) => {
            let address = changed.upsert.first().map(|first| first.address);
            let address = address.or(changed.remove.first().copied());
            let address = address.map_or_else(String::new, |first| format!(", first {first}"));
            format!(
                "desired-changed, {} removed, {} changed{address}",
                changed.remove.len(),
                changed.upsert.len()
            )
        }
        Event::Frame(frame) => {
            format!("frame of {} octets on link {}", frame.data.len(), frame.link)
        }
        Event::Opened(opened) => format!("opened, {} to {}", opened.id, opened.remote),
        Event::Accepted(accepted) => {
            format!("accepted, {} from {}", accepted.opened.id, accepted.opened.remote)
        }
        Event::Data(bytes) => format!("data of {} octets on {}", bytes.data.len(), bytes.id),
        Event::Credit(id, octets) => format!("credit, {octets} on {id}"),
        Event::Closed(closed) => format!("closed, {}", closed.id),
        Event::Datagram(datagram) => {
            format!("datagram of {} octets from {}", datagram.data.len(), datagram.remote)
        }
        Event::Expired(id) => format!("expired, {id}"),
        Event::Wake(reason) => format!("wake, {reason}"),
        Event::Ended(endpoint) => format!("ended, {endpoint}"),
        Event::Denied(denied) => format!("denied, {} {}", denied.effect, denied.subject),
        Event::Stopping(_) => "stopping".into(),
        Event::Other(name) => format!("other, {name}"),
    }
}
