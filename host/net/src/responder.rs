//! The offloads: answers neighbours and sends beacons on its own thread, independently of the plugins, and delivers
//! other watched frames to their owners. Makes no decisions: every offload was granted before it is set.
//!
//! All state is under one lock, which the thread holds from looking up an answer until it is sent. A call that returns
//! has therefore taken effect, withdrawals above all: nothing about the address leaves after it.
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use outrigger_sdk::{Beacon, Endpoint, Frame, LinkIndex, Topic};

use crate::sys::Poller;
use crate::{Links, Owner};
use lease::Lease;
use state::State;

mod filter;
mod lease;
mod port;
mod state;
mod table;
mod thread;

/// The receiver of frames and notifications. Called on the responder's thread, or on the caller's thread for offloads
/// that a call ended; must not block.
pub trait Sink: Send + Sync {
    /// Delivers a frame about a watched topic. Returns false if there is no room; the frame is then dropped and
    /// counted.
    fn frame(&self, owner: Owner, frame: Frame) -> bool;
    /// Reports that the responder ended this offload by itself: its link has gone, or a beacon's link has another MAC
    /// address.
    fn ended(&self, owner: Owner, id: Endpoint);
}

/// Runs the thread; dropping it stops the thread and all answers.
#[derive(Debug)]
pub struct Responder {
    handle: ResponderHandle,
    thread: Option<JoinHandle<()>>,
}

/// Controls the responder. Every call takes effect before it returns.
#[derive(Clone)]
pub struct ResponderHandle {
    shared: Arc<Shared>,
}

/// The reason why a watch or an offload was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum OffloadError {
    /// There is no such link, or it carries no ARP.
    #[error("link {0} does not exist or does not support ARP and NDP")]
    NoLink(LinkIndex),
    /// Another owner already answers for the address on this link; only one may.
    #[error(
        "another announcer already announces {address} on link {link}: announce the address by only one of them"
    )]
    Taken {
        /// The link.
        link: LinkIndex,
        /// The address.
        address: IpAddr,
    },
    /// The kernel refused the filter.
    #[error(
        "cannot set the kernel filter of link {link}: {cause}; set net.core.optmem_max to at least 20480"
    )]
    Filter {
        /// The link.
        link: LinkIndex,
        /// The error of the kernel.
        cause: io::Error,
    },
}

/// The reason why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such link, or it carries no ARP.
    #[error("link {0} does not exist or does not support ARP and NDP")]
    NoLink(LinkIndex),
    /// The kernel did not accept the frame: queue full, link down, or frame too long.
    #[error("cannot send on link {link}: {cause}")]
    Io {
        /// The link.
        link: LinkIndex,
        /// The error of the kernel.
        cause: io::Error,
    },
}

/// A link on which nothing can be received or sent. Retried at the next [`ResponderHandle::set_links`].
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open packet sockets on {name}: {cause}; the daemon needs the capability CAP_NET_RAW"
)]
pub struct LinkFailure {
    /// The link's name.
    pub name: String,
    /// The error of the kernel.
    pub cause: io::Error,
}

/// Counters since the start of the responder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that passed the kernel filter.
    pub received: u64,
    /// ARP requests answered.
    pub answered_arp: u64,
    /// Neighbor Solicitations answered.
    pub answered_ndp: u64,
    /// Frames handed to a sink.
    pub delivered: u64,
    /// Frames sent on request, excluding beacons.
    pub sent: u64,
    /// Beacon frames sent.
    pub beacons: u64,
    /// Frames neither answered nor delivered, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Frames the kernel dropped because this process was too slow.
    pub overflowed: u64,
}

struct Shared {
    state: Mutex<State>,
    lease: Arc<Lease>,
    poller: Poller,
    sink: Arc<dyn Sink>,
}

impl Responder {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if the system provides no thread or descriptors.
    pub fn start(sink: Arc<dyn Sink>) -> io::Result<Self> {
        let lease = Arc::new(Lease::default());
        let state = Mutex::new(State::new(lease.clone()));
        let shared = Arc::new(Shared { state, lease, poller: Poller::new()?, sink });
        let handle = ResponderHandle { shared: shared.clone() };
        let thread = std::thread::Builder::new()
            .name("responder".into())
            .spawn(move || thread::run(&shared))?;
        Ok(Self { handle, thread: Some(thread) })
    }

    /// Returns a handle to this responder.
    pub fn handle(&self) -> ResponderHandle {
        self.handle.clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.handle.shared.lock().stopping = true;
        self.handle.shared.poller.set_deadline(0);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the responder thread panicked");
        }
    }
}

impl ResponderHandle {
    /// Sets the time, in monotonic microseconds, from which no request is answered and no frame is sent until another
    /// time is set; `None` means from now on. A process that was frozen does not know which node has its addresses now.
    /// Beacons wait meanwhile. Takes no lock unless it revives an expired lease.
    pub fn set_lease(&self, ends_us: Option<u64>) {
        if self.shared.lease.set(ends_us) {
            self.shared.arm(&self.shared.lock());
        }
    }

    /// Applies the list of links: opens sockets on new links and closes those of links that have gone, whose offloads
    /// end. Answers continue with a link's new MAC address; its beacons end, since they carry the old one.
    pub fn set_links(&self, links: &Links) -> Vec<LinkFailure> {
        let (ended, failures) = self.shared.lock().set_links(links, &self.shared.poller);
        for (owner, id) in ended {
            self.shared.sink.ended(owner, id);
        }
        failures
    }

    /// Delivers frames about a topic to an owner.
    ///
    /// # Errors
    /// Returns an [`OffloadError`], with nothing changed.
    pub fn watch(&self, owner: Owner, link: LinkIndex, topic: Topic) -> Result<(), OffloadError> {
        self.shared.lock().watch(owner, (link, topic.address()))
    }

    /// Stops delivering frames about a topic to an owner.
    pub fn unwatch(&self, owner: Owner, link: LinkIndex, topic: Topic) {
        self.shared.lock().unwatch(owner, (link, topic.address()));
    }

    /// Answers for an address on a link. Replaces any previous work of the same number.
    ///
    /// # Errors
    /// Returns an [`OffloadError`], with nothing changed.
    pub fn answer(
        &self,
        owner: Owner,
        id: Endpoint,
        link: LinkIndex,
        address: IpAddr,
    ) -> Result<(), OffloadError> {
        self.shared.lock().answer(owner, id, (link, address))
    }

    /// Sends a frame repeatedly, the first one at once. `address` is the address that the frame announces. Intervals
    /// below one millisecond count as one millisecond. The number is free again when all frames are sent.
    ///
    /// # Errors
    /// Returns [`OffloadError::NoLink`] if the link of the frame is not usable.
    pub fn beacon(
        &self,
        owner: Owner,
        id: Endpoint,
        address: IpAddr,
        beacon: Beacon,
    ) -> Result<(), OffloadError> {
        let mut state = self.shared.lock();
        state.beacon(owner, id, address, beacon)?;
        self.shared.arm(&state);
        Ok(())
    }

    /// Ends one offload. Returns true if it existed.
    pub fn close(&self, owner: Owner, id: Endpoint) -> bool {
        self.shared.lock().close(owner, id)
    }

    /// Sends one frame at once.
    ///
    /// # Errors
    /// Returns a [`SendError`] if the frame was not sent.
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.shared.lock().send(frame)
    }

    /// Ends every offload of this owner that announces an address, and returns their numbers. Requests that arrived
    /// before are still answered, because the node that takes the address over may not have been up then. No request is
    /// answered after this returns. Watches stay.
    pub fn withdraw(&self, owner: Owner, address: IpAddr) -> Vec<Endpoint> {
        let mut state = self.shared.lock();
        thread::attend_before_withdrawal(&mut state, address);
        let ended = state.withdraw(owner, address);
        if !state.deliveries.is_empty() {
            self.shared.poller.set_deadline(0);
        }
        ended
    }

    /// Returns the numbers of this owner's active offloads, in order.
    pub fn offloads(&self, owner: Owner) -> Vec<Endpoint> {
        self.shared.lock().table.offloads(owner)
    }

    /// Ends all offloads and watches of this owner, and returns the numbers of the offloads.
    pub fn end_owner(&self, owner: Owner) -> Vec<Endpoint> {
        self.shared.lock().end_owner(owner)
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters()
    }
}

impl std::fmt::Debug for ResponderHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponderHandle").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of a change is a bug; continuing to answer is better than stopping.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, state: &State) {
        if let Some(due) = state.table.next_due().filter(|_| self.lease.holds()) {
            self.poller.set_deadline(due);
        }
    }
}

#[cfg(test)]
mod tests;
