//! The supervisor's reports: to the code that carries out effects, and to people.
use std::fmt;

use outrigger_sdk::{Effect, Event};

use crate::plugin_instance::Fault;

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delivered {
    /// The effects to carry out, in order.
    pub effects: Vec<Effect>,
    /// The time of the next call, in monotonic microseconds, and the reason to put into [`Event::Wake`]. Replaces the
    /// previous one.
    pub wake: Option<(u64, String)>,
    /// The incidents of this delivery, oldest first.
    pub incidents: Vec<Incident>,
    /// True if another instance runs, or will: deliver [`Event::Resumed`], then the full lists of links and desired
    /// addresses.
    pub needs_full: bool,
}

/// An incident that a person may want to know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incident {
    /// A new instance took over in the same state.
    Restarted {
        /// The fault that ended the previous instance.
        why: Fault,
    },
    /// An event that faults every time was left out.
    Quarantined {
        /// A short description of the event.
        event: String,
        /// The fault that it caused.
        why: Fault,
    },
    /// Restarts did not help, and another build or a fresh state took over.
    FellBack {
        /// The digest of the build that did not work.
        from: String,
        /// The digest of the build that runs now; the same if only the state was given up.
        to: String,
        /// True if it started without any state.
        fresh: bool,
        /// The last fault.
        why: Fault,
    },
    /// No recovery helped: no instance runs.
    Held {
        /// The time of the next attempt, in monotonic microseconds.
        until_us: u64,
        /// The last failure.
        why: String,
    },
    /// An instance runs again.
    Revived {
        /// The digest of its build.
        digest: String,
    },
    /// Another build or configuration took over, as requested.
    Swapped {
        /// The digest before the swap.
        from: String,
        /// The digest after the swap.
        to: String,
        /// True if it did not know the state of the previous build and started without.
        fresh: bool,
    },
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |fresh: &bool| if *fresh { " without the previous state" } else { "" };
        match self {
            Self::Restarted { why } => write!(f, "restarted with the same state: {why}"),
            Self::Quarantined { event, why } => write!(f, "skipped one event ({event}): {why}"),
            Self::FellBack { from, to, fresh, why } => {
                write!(f, "rolled back from {from} to {to}{}: {why}", state(fresh))
            }
            Self::Held { why, .. } => {
                write!(f, "no instance runs, the start is retried: {why}")
            }
            Self::Revived { digest } => write!(f, "{digest} runs again"),
            Self::Swapped { from, to, fresh } => {
                write!(f, "replaced {from} by {to}{}", state(fresh))
            }
        }
    }
}

/// The state of an announcer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The digest of the build that runs, or that ran last.
    pub digest: String,
    /// Running or held.
    pub phase: Phase,
    /// Number of faults so far.
    pub restarts: u64,
    /// Number of events left out so far.
    pub quarantined: u64,
    /// The last fault, as text.
    pub last_fault: Option<String>,
}

/// The phase of an announcer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// An instance runs.
    Running,
    /// No instance runs; attempts continue.
    Held,
}

/// The reason why another build or configuration did not take over. The previous one continues to serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step} failed: {why}")]
pub struct SwapError {
    /// The step that failed.
    pub step: SwapStep,
    /// The error as text.
    pub why: String,
    /// The fault. `None` if the plugin itself refused.
    pub fault: Option<Fault>,
}

impl SwapError {
    /// Creates the error for a refusal by the plugin.
    pub(super) fn refused(step: SwapStep, why: impl ToString) -> Self {
        Self { step, why: why.to_string(), fault: None }
    }

    /// Creates the error for a fault of the plugin.
    pub(super) fn faulted(step: SwapStep, fault: Fault) -> Self {
        Self { step, why: fault.to_string(), fault: Some(fault) }
    }
}

/// The steps of a swap, in order. Taking the old instance's state is not one of them: if it cannot provide
/// one, the swap proceeds without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapStep {
    /// Creates an instance.
    Instantiate,
    /// Checks the configuration.
    Validate,
    /// Starts the instance from the old one's state.
    Start,
    /// Delivers the open endpoints and the full lists.
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

/// Returns a short description of an event, without content from Services or the wire.
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
