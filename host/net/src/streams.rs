//! Streams, listeners and datagram sockets, and the work that goes on on them without a plugin: keepalives, timers that
//! expect something, datagrams that are repeated. On a thread of its own, whatever the plugins do meanwhile. Decides
//! nothing: what is opened and written was granted before, and what the octets mean is known only as far as where one
//! BGP message ends.
//!
//! As with the responder all state is under one lock, and a call that returns has taken effect. What happened is told by
//! the thread alone and without that lock, so that it is told in order and a sink may call the handle.
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use outrigger_sdk::{
    Connect, Endpoint, Event, Listen, OffloadWork, OpenSocket, ResumedEndpoint, SendDatagram,
};

use crate::Owner;
use crate::sys::{self, Poller};
use state::State;
use stream::Stream;

mod datagrams;
mod devices;
mod listener;
mod offload;
mod options;
mod ports;
mod state;
mod stream;
mod thread;

pub use options::{Keys, SecretKey};

/// Where events go. Called on the thread of the streams.
pub trait StreamSink: Send + Sync {
    /// Something happened to an endpoint of this owner.
    fn event(&self, owner: Owner, event: Event);
    /// Whether the owner takes more octets of streams now. If not, call [`StreamsHandle::resume`] once it does. Must
    /// not call the handle.
    fn has_room(&self, owner: Owner) -> bool;
    /// Whether an instance runs that would hear of something. Must not call the handle.
    fn is_heard(&self, owner: Owner) -> bool;
}

/// Why something on an endpoint was not done. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The number names nothing of the kind.
    #[error("no such endpoint")]
    Unknown,
    /// The number names something else.
    #[error("number in use")]
    InUse,
    /// More than one owner may have open.
    #[error("too many endpoints")]
    TooMany,
}

/// Runs the thread; dropping it closes everything, after what was to be sent has left or half a second has passed.
pub struct Streams {
    handle: StreamsHandle,
    thread: Option<JoinHandle<()>>,
}

/// Tells the streams what to do.
#[derive(Clone)]
pub struct StreamsHandle {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    poller: Poller,
    sink: Arc<dyn StreamSink>,
}

/// How long what is still to be sent holds up the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Streams {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread or descriptors.
    pub fn start(sink: Arc<dyn StreamSink>) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), poller: Poller::new()?, sink });
        let handle = StreamsHandle { shared: shared.clone() };
        let thread = std::thread::Builder::new()
            .name("streams".into())
            .spawn(move || thread::run(&shared))?;
        Ok(Self { handle, thread: Some(thread) })
    }

    /// A handle.
    pub fn handle(&self) -> StreamsHandle {
        self.handle.clone()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let until = sys::boottime_us() + LAST_WORDS.as_micros() as u64;
        self.handle.shared.lock().stopping = Some(until);
        self.handle.shared.poller.set_deadline(0);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the streams' thread had panicked");
        }
    }
}

impl StreamsHandle {
    /// Opens a stream. What comes of it is told as `opened` or `closed`.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn connect(
        &self,
        owner: Owner,
        connect: Connect,
        keys: &Keys,
    ) -> Result<(), EndpointError> {
        self.shared.act(|state, poller| state.connect(owner, connect, keys, poller))
    }

    /// Accepts streams from a prefix of peers. That it cannot is told as `closed`.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn listen(&self, owner: Owner, listen: Listen, keys: &Keys) -> Result<(), EndpointError> {
        self.shared.act(|state, poller| state.listen(owner, listen, keys, poller))
    }

    /// Opens a UDP socket. That it cannot is told as `closed`.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn open_socket(&self, owner: Owner, open: OpenSocket) -> Result<(), EndpointError> {
        self.shared.act(|state, poller| state.open_socket(owner, open, poller))
    }

    /// Writes to a stream, whole messages if it has messages.
    ///
    /// # Errors
    /// [`EndpointError::Unknown`]. What exceeds the credit closes the stream and is no error.
    pub fn write(&self, owner: Owner, id: Endpoint, data: &[u8]) -> Result<(), EndpointError> {
        let write = |stream: &mut Stream, now| stream.write(data, now);
        self.shared.act(|state, poller| state.write(owner, id, poller, write))
    }

    /// Writes to a stream what its plugin has not: costs no credit.
    ///
    /// # Errors
    /// [`EndpointError::Unknown`].
    pub fn write_on_behalf(
        &self,
        owner: Owner,
        id: Endpoint,
        data: &[u8],
    ) -> Result<(), EndpointError> {
        let write = |stream: &mut Stream, now| stream.write_on_behalf(data, now);
        self.shared.act(|state, poller| state.write(owner, id, poller, write))
    }

    /// Gives back no credit for what is written to this stream before then, in monotonic microseconds.
    pub fn hold(&self, owner: Owner, id: Endpoint, until_us: u64) {
        self.shared.act(|state, _| state.hold((owner, id), until_us));
    }

    /// Messages of this stream may be as long as RFC 8654 allows from now on.
    pub fn extend(&self, owner: Owner, id: Endpoint) {
        if let Some(stream) = self.shared.lock().streams.get_mut(&(owner, id)) {
            stream.extended = true;
        }
    }

    /// Sends a datagram, or drops it when the kernel has no room.
    ///
    /// # Errors
    /// [`EndpointError::Unknown`].
    pub fn send_datagram(&self, owner: Owner, sent: &SendDatagram) -> Result<(), EndpointError> {
        self.shared.lock().send_datagram(owner, sent)
    }

    /// Puts work on an endpoint in force. The same number replaces its old work. Works on frames are not for here.
    ///
    /// # Errors
    /// [`EndpointError::Unknown`] when there is no such endpoint.
    pub fn offload(
        &self,
        owner: Owner,
        id: Endpoint,
        work: OffloadWork,
    ) -> Result<(), EndpointError> {
        self.shared.act(|state, _| state.offload(owner, id, work))
    }

    /// Ends whatever has this number, a stream after what is queued was sent; whether there was anything.
    pub fn close(&self, owner: Owner, id: Endpoint) -> bool {
        self.shared.act(|state, poller| state.close(owner, id, poller))
    }

    /// Ends whatever has this number at once, a stream with RST; whether there was anything.
    pub fn abort(&self, owner: Owner, id: Endpoint) -> bool {
        self.shared.act(|state, _| state.abort(owner, id))
    }

    /// Reads again what was not read because the owner had no room.
    pub fn resume(&self, owner: Owner) {
        self.shared.act(|state, poller| state.resume(owner, poller));
    }

    /// What is open of this owner.
    pub fn open(&self, owner: Owner) -> Vec<ResumedEndpoint> {
        self.shared.lock().open(owner)
    }

    /// The numbers of this owner's offloads in force, in order.
    pub fn offloads(&self, owner: Owner) -> Vec<Endpoint> {
        self.shared.lock().offloads_of(owner)
    }

    /// Closes everything of this owner and returns the numbers.
    pub fn end_owner(&self, owner: Owner) -> Vec<Endpoint> {
        self.shared.act(|state, poller| state.end_owner(owner, poller))
    }
}

impl std::fmt::Debug for StreamsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamsHandle").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of a change is a bug; going on is better than losing every session.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and has the thread look at what follows from it.
    fn act<T>(&self, change: impl FnOnce(&mut State, &Poller) -> T) -> T {
        let mut state = self.lock();
        let done = change(&mut state, &self.poller);
        if !state.news.is_empty() {
            self.poller.set_deadline(0);
        } else if let Some(due) = state.due_sooner() {
            self.poller.set_deadline(due);
        }
        done
    }
}

#[cfg(test)]
mod tests;
