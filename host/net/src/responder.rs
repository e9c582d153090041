//! Answers neighbours and sends beacons, on a thread of its own, whatever the plugins do meanwhile: the offloads.
//! Delivers the other watched frames to their owners. Decides nothing: what is set was granted before.
//!
//! All state is under one lock, which the thread holds from looking an answer up until it is sent. So a call that
//! returns has taken effect, withdrawals above all: nothing about the address leaves after it.
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

/// Where frames and news go. Called on the responder's thread, or on the caller's for what a call ended; must not block.
pub trait Sink: Send + Sync {
    /// A frame about a watched topic. False: no room for it; it is dropped and counted.
    fn frame(&self, owner: Owner, frame: Frame) -> bool;
    /// The responder ended this offload by itself: its link is gone, or a beacon's link has another MAC address.
    fn ended(&self, owner: Owner, id: Endpoint);
}

/// Runs the thread; dropping it stops it, and nobody is answered any more.
#[derive(Debug)]
pub struct Responder {
    handle: ResponderHandle,
    thread: Option<JoinHandle<()>>,
}

/// Tells the responder what to do. Every call takes effect before it returns.
#[derive(Clone)]
pub struct ResponderHandle {
    shared: Arc<Shared>,
}

/// Why a watch or an offload was not put in force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum OffloadError {
    /// No such link, or one without ARP.
    #[error("link {0} is not there or carries no ARP and NDP")]
    NoLink(LinkIndex),
    /// One answers, not two.
    #[error(
        "another announcer answers for {address} on link {link} already: announce it by one of them only"
    )]
    Taken {
        /// The link.
        link: LinkIndex,
        /// The address.
        address: IpAddr,
    },
    /// The kernel refused the filter.
    #[error(
        "cannot set the kernel filter of link {link}: {cause}; is net.core.optmem_max below 20480?"
    )]
    Filter {
        /// The link.
        link: LinkIndex,
        /// What it said.
        cause: io::Error,
    },
}

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No such link, or one without ARP.
    #[error("link {0} is not there or carries no ARP and NDP")]
    NoLink(LinkIndex),
    /// The kernel did not take it: queue full, link down, too long.
    #[error("cannot send on link {link}: {cause}")]
    Io {
        /// The link.
        link: LinkIndex,
        /// What it said.
        cause: io::Error,
    },
}

/// A link on which nothing can be heard or said. Tried again at the next [`ResponderHandle::set_links`].
#[derive(Debug, thiserror::Error)]
#[error("cannot open packet sockets on {name}: {cause}; the daemon needs CAP_NET_RAW")]
pub struct LinkFailure {
    /// The link's name.
    pub name: String,
    /// What the kernel said.
    pub cause: io::Error,
}

/// What happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came through the kernel filter.
    pub received: u64,
    /// ARP requests answered.
    pub answered_arp: u64,
    /// Neighbor Solicitations answered.
    pub answered_ndp: u64,
    /// Frames handed to a sink.
    pub delivered: u64,
    /// Frames sent on request, without beacons.
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
    /// When the system gives no thread or descriptors.
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

    /// A handle.
    pub fn handle(&self) -> ResponderHandle {
        self.handle.clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.handle.shared.lock().stopping = true;
        self.handle.shared.poller.set_deadline(0);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the responder's thread had panicked");
        }
    }
}

impl ResponderHandle {
    /// From then on (monotonic microseconds; `None`: from now on) nobody is answered and no frame is sent, until another time is set: a
    /// process that was frozen does not know what became of its addresses. Beacons wait. Waits for no lock while the lease holds.
    pub fn set_lease(&self, ends_us: Option<u64>) {
        if self.shared.lease.set(ends_us) {
            self.shared.arm(&self.shared.lock());
        }
    }

    /// Takes over the list of links: opens sockets on new ones and closes those of links that are gone, whose offloads
    /// end. Answers go on with a link's new MAC address; its beacons end, since they carry the old one.
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
    /// See [`OffloadError`].
    pub fn watch(&self, owner: Owner, link: LinkIndex, topic: Topic) -> Result<(), OffloadError> {
        self.shared.lock().watch(owner, (link, topic.address()))
    }

    /// Delivers them no longer.
    pub fn unwatch(&self, owner: Owner, link: LinkIndex, topic: Topic) {
        self.shared.lock().unwatch(owner, (link, topic.address()));
    }

    /// Answers for an address on a link. The same number replaces its old work.
    ///
    /// # Errors
    /// See [`OffloadError`].
    pub fn answer(
        &self,
        owner: Owner,
        id: Endpoint,
        link: LinkIndex,
        address: IpAddr,
    ) -> Result<(), OffloadError> {
        self.shared.lock().answer(owner, id, (link, address))
    }

    /// Sends a frame again and again, the first now. `address` is what it speaks for. Intervals below one millisecond
    /// count as one. When all are sent the number is free again.
    ///
    /// # Errors
    /// [`OffloadError::NoLink`].
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

    /// Ends one offload; whether there was one.
    pub fn close(&self, owner: Owner, id: Endpoint) -> bool {
        self.shared.lock().close(owner, id)
    }

    /// Sends one frame, now.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.shared.lock().send(frame)
    }

    /// Ends every offload of this owner that speaks for an address, and returns their numbers. Who asked before is answered: whoever
    /// takes the address over may not have been there then. When this returns, nobody is answered any more. Watches stay.
    pub fn withdraw(&self, owner: Owner, address: IpAddr) -> Vec<Endpoint> {
        let mut state = self.shared.lock();
        thread::attend_before_withdrawal(&mut state, address);
        let ended = state.withdraw(owner, address);
        if !state.deliveries.is_empty() {
            self.shared.poller.set_deadline(0);
        }
        ended
    }

    /// The numbers of this owner's offloads in force, in order.
    pub fn offloads(&self, owner: Owner) -> Vec<Endpoint> {
        self.shared.lock().table.offloads(owner)
    }

    /// Ends everything of this owner, watches as well, and returns the numbers of its offloads.
    pub fn end_owner(&self, owner: Owner) -> Vec<Endpoint> {
        self.shared.lock().end_owner(owner)
    }

    /// What happened so far.
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
        // A panic in the middle of a change is a bug; going on answering is better than stopping.
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
