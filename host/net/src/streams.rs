//! Streams, listeners and datagram sockets, and the work on them that continues without a plugin: keepalives,
//! expectation timers, repeated datagrams. Runs on its own thread, independently of the plugins. Makes no decisions:
//! whatever is opened and written was granted before, and the octets are only interpreted to find where a BGP message
//! ends.
//!
//! As in the responder, all state is under one lock, and a call that returns has taken effect. Events are reported by
//! the thread alone and without that lock, so that they arrive in order and a sink may call the handle.
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

/// The receiver of events. Called on the thread of the streams.
pub trait StreamSink: Send + Sync {
    /// Reports an event on an endpoint of this owner.
    fn event(&self, owner: Owner, event: Event);
    /// Returns true if the owner accepts more stream data now. If not, [`StreamsHandle::resume`] must be called once it
    /// does. Must not call the handle.
    fn has_room(&self, owner: Owner) -> bool;
    /// Returns true if an instance is running that would receive an event. Must not call the handle.
    fn is_heard(&self, owner: Owner) -> bool;
}

/// The reason why an operation on an endpoint was not done. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// There is no endpoint of this number and kind.
    #[error("no such endpoint")]
    Unknown,
    /// The number is used by something else.
    #[error("number in use")]
    InUse,
    /// The owner has as many endpoints open as it may.
    #[error("too many endpoints")]
    TooMany,
}

/// Runs the thread; dropping it closes everything, after closed streams have sent their remaining data or half a second
/// has passed.
pub struct Streams {
    handle: StreamsHandle,
    thread: Option<JoinHandle<()>>,
}

/// Controls the streams.
#[derive(Clone)]
pub struct StreamsHandle {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    poller: Poller,
    sink: Arc<dyn StreamSink>,
}

/// Longest delay of the shutdown for closed streams that still have data to send.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Streams {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if the system provides no thread or descriptors.
    pub fn start(sink: Arc<dyn StreamSink>) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), poller: Poller::new()?, sink });
        let handle = StreamsHandle { shared: shared.clone() };
        let thread = std::thread::Builder::new()
            .name("streams".into())
            .spawn(move || thread::run(&shared))?;
        Ok(Self { handle, thread: Some(thread) })
    }

    /// Returns a handle to these streams.
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
            tracing::error!("the streams thread panicked");
        }
    }
}

impl StreamsHandle {
    /// Opens a stream. The result is reported as `opened` or `closed`.
    ///
    /// # Errors
    /// Returns an [`EndpointError`] if the number cannot be used.
    pub fn connect(
        &self,
        owner: Owner,
        connect: Connect,
        keys: &Keys,
    ) -> Result<(), EndpointError> {
        self.shared.act(|state, poller| state.connect(owner, connect, keys, poller))
    }

    /// Accepts streams from a prefix of peers. A failure to listen is reported as `closed`.
    ///
    /// # Errors
    /// Returns an [`EndpointError`] if the number cannot be used.
    pub fn listen(&self, owner: Owner, listen: Listen, keys: &Keys) -> Result<(), EndpointError> {
        self.shared.act(|state, poller| state.listen(owner, listen, keys, poller))
    }

    /// Opens a UDP socket. A failure to open it is reported as `closed`.
    ///
    /// # Errors
    /// Returns an [`EndpointError`] if the number cannot be used.
    pub fn open_socket(&self, owner: Owner, open: OpenSocket) -> Result<(), EndpointError> {
        self.shared.act(|state, poller| state.open_socket(owner, open, poller))
    }

    /// Writes data to a stream; whole messages if the stream has messages.
    ///
    /// # Errors
    /// Returns [`EndpointError::Unknown`] if there is no such stream. Data that exceeds the credit closes the stream
    /// and is no error.
    pub fn write(&self, owner: Owner, id: Endpoint, data: &[u8]) -> Result<(), EndpointError> {
        let write = |stream: &mut Stream, now| stream.write(data, now);
        self.shared.act(|state, poller| state.write(owner, id, poller, write))
    }

    /// Writes data to a stream on behalf of the plugin, at no cost of credit.
    ///
    /// # Errors
    /// Returns [`EndpointError::Unknown`] if there is no such stream.
    pub fn write_on_behalf(
        &self,
        owner: Owner,
        id: Endpoint,
        data: &[u8],
    ) -> Result<(), EndpointError> {
        let write = |stream: &mut Stream, now| stream.write_on_behalf(data, now);
        self.shared.act(|state, poller| state.write(owner, id, poller, write))
    }

    /// Gives no credit of this stream back until the given time, in monotonic microseconds.
    pub fn hold(&self, owner: Owner, id: Endpoint, until_us: u64) {
        self.shared.act(|state, _| state.hold((owner, id), until_us));
    }

    /// Allows messages of this stream to be as long as RFC 8654 allows from now on.
    pub fn extend(&self, owner: Owner, id: Endpoint) {
        if let Some(stream) = self.shared.lock().streams.get_mut(&(owner, id)) {
            stream.extended = true;
        }
    }

    /// Sends a datagram, or drops it if the kernel has no room.
    ///
    /// # Errors
    /// Returns [`EndpointError::Unknown`] if there is no such socket.
    pub fn send_datagram(&self, owner: Owner, sent: &SendDatagram) -> Result<(), EndpointError> {
        self.shared.lock().send_datagram(owner, sent)
    }

    /// Applies work to an endpoint. Replaces any previous work of the same number. Work on frames belongs to the
    /// responder and is refused here.
    ///
    /// # Errors
    /// Returns [`EndpointError::Unknown`] if there is no such endpoint or the work is on frames, and another
    /// [`EndpointError`] if the number cannot be used.
    pub fn offload(
        &self,
        owner: Owner,
        id: Endpoint,
        work: OffloadWork,
    ) -> Result<(), EndpointError> {
        self.shared.act(|state, _| state.offload(owner, id, work))
    }

    /// Ends whatever has this number, a stream after its queued data is sent. Returns true if there was anything to
    /// end.
    pub fn close(&self, owner: Owner, id: Endpoint) -> bool {
        self.shared.act(|state, poller| state.close(owner, id, poller))
    }

    /// Ends whatever has this number at once, a stream with RST. Returns true if there was anything to end.
    pub fn abort(&self, owner: Owner, id: Endpoint) -> bool {
        self.shared.act(|state, _| state.abort(owner, id))
    }

    /// Resumes reading the streams that were paused because the owner had no room.
    pub fn resume(&self, owner: Owner) {
        self.shared.act(|state, poller| state.resume(owner, poller));
    }

    /// Returns the open endpoints of this owner.
    pub fn open(&self, owner: Owner) -> Vec<ResumedEndpoint> {
        self.shared.lock().open(owner)
    }

    /// Returns the numbers of this owner's active offloads, in order.
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
        // A panic in the middle of a change is a bug; continuing is better than losing every session.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change and wakes the thread for the resulting events and deadlines.
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
