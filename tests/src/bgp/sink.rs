//! Router that only listens, for measurements: it accepts every connection, establishes the session, sends its keepalives, and
//! records what arrives and when. It keeps no routes, so that its own cost is negligible.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::raw::{self, Peer};
use crate::namespace::Namespace;
use crate::{clock, wait};

/// Listening router. Ends when dropped.
#[derive(Debug)]
pub struct Sink {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    /// Number of route refreshes that each session has to request in total.
    asked: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Counters and times of everything received so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Times at which the sessions were established, in this order.
    pub established: Vec<Instant>,
    /// Number of UPDATE messages.
    pub updates: usize,
    /// Octets of the UPDATE messages.
    pub octets: usize,
    /// Number of announced prefixes, repeated ones included.
    pub announced: usize,
    /// Number of sessions that ended.
    pub ended: usize,
    /// Time of the last announced prefix.
    pub last: Option<Instant>,
    /// Times of every announcement of each watched /32.
    watched: BTreeMap<Ipv4Addr, Vec<Instant>>,
}

impl Sink {
    /// Listens at port 179 of every address of a namespace, as a router of this AS with this hold time.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, asn: u16, hold: u16) -> Result<Self> {
        let listener = namespace.inside(|| {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 179));
            TcpListener::bind(any).context("port 179 is already in use")
        })?;
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::default();
        let session = Session { asn, hold, seen: seen.clone(), stop: stop.clone(), asked };
        let asked = session.asked.clone();
        listener.set_nonblocking(true)?;
        let thread = std::thread::spawn(move || accept(&listener, &session));
        Ok(Self { seen, stop, asked, thread: Some(thread) })
    }

    /// Returns everything received so far.
    pub fn so_far(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Waits until this number of sessions were established since the start, and returns the time of the last.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_established(&self, count: usize, limit: Duration) -> Result<Instant> {
        wait::until(&format!("{count} sessions"), limit, || {
            let seen = lock(&self.seen);
            Ok(seen.established.get(count - 1).copied())
        })
    }

    /// Waits until this number of prefixes was announced, and returns the time of the last.
    ///
    /// # Errors
    /// When that does not happen in time, with the number received.
    pub fn await_announced(&self, count: usize, limit: Duration) -> Result<Instant> {
        wait::until(&format!("{count} prefixes"), limit, || {
            let seen = lock(&self.seen);
            Ok(seen.last.filter(|_| seen.announced >= count))
        })
        .with_context(|| format!("{} prefixes arrived", lock(&self.seen).announced))
    }

    /// Requests all routes of both families again on every session (RFC 2918).
    pub fn refresh(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts to watch a /32.
    pub fn watch(&self, address: Ipv4Addr) {
        lock(&self.seen).watched.insert(address, Vec::new());
    }

    /// Waits until a watched /32 was announced this number of times, and returns when.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_watched(
        &self,
        address: Ipv4Addr,
        times: usize,
        limit: Duration,
    ) -> Result<Instant> {
        wait::until(&format!("{address} is announced {times} times"), limit, || {
            let seen = lock(&self.seen);
            Ok(seen.watched.get(&address).and_then(|came| came.get(times - 1)).copied())
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// State that all sessions share.
#[derive(Debug, Clone)]
struct Session {
    asn: u16,
    hold: u16,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

fn accept(listener: &TcpListener, session: &Session) {
    let mut sessions = Vec::new();
    while !session.stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let session = session.clone();
        sessions.push(std::thread::spawn(move || {
            // A broken session shows as an ended one, and as prefixes that do not arrive.
            let _ = session.run(stream);
            lock(&session.seen).ended += 1;
        }));
    }
    for session in sessions {
        let _ = session.join();
    }
}

impl Session {
    fn run(&self, stream: TcpStream) -> Result<()> {
        stream.set_nonblocking(false)?;
        let IpAddr::V4(local) = stream.local_addr()?.ip() else { return Ok(()) };
        let mut peer = Peer::on(stream)?;
        let four = u32::from(self.asn).to_be_bytes();
        let capabilities: [(u8, &[u8]); 4] =
            [(1, &[0, 1, 0, 1]), (1, &[0, 2, 0, 1]), (2, &[]), (65, &four)];
        let open = raw::open(self.asn, self.hold, local.octets(), &capabilities);
        peer.establish(&open, Duration::from_secs(10))?;
        lock(&self.seen).established.push(clock::now());
        let third = Duration::from_secs(u64::from(self.hold.max(3)) / 3);
        let look = third.min(Duration::from_millis(500));
        let (mut said, mut asked) = (clock::now(), 0);
        while !self.stop.load(Ordering::Relaxed) {
            if clock::since(said) >= third.saturating_sub(look) {
                peer.send(&raw::message(raw::KEEPALIVE, &[]))?;
                said = clock::now();
            }
            if asked < self.asked.load(Ordering::Relaxed) {
                asked += 1;
                // AFI, reserved, SAFI (RFC 2918 section 3).
                for family in [[0, 1, 0, 1], [0, 2, 0, 1]] {
                    peer.send(&raw::message(raw::ROUTE_REFRESH, &family))?;
                }
            }
            match peer.receive_if(look)? {
                Some(Some((raw::UPDATE, body))) => note(&body, &self.seen),
                Some(Some(_)) | None => {}
                Some(None) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Records an UPDATE (RFC 4271 section 4.3 and RFC 4760 section 3), without path identifiers.
fn note(body: &[u8], seen: &Mutex<Seen>) {
    let length =
        |at: usize| body.get(at..at + 2).map(|it| usize::from(u16::from_be_bytes([it[0], it[1]])));
    let Some(attributes) = length(0).map(|withdrawn| 2 + withdrawn) else { return };
    let Some(nlri) = length(attributes).map(|octets| attributes + 2 + octets) else { return };
    let (Some(attributes), Some(nlri)) = (body.get(attributes + 2..nlri), body.get(nlri..)) else {
        return;
    };
    let mut seen = lock(seen);
    seen.updates += 1;
    seen.octets += 19 + body.len();
    seen.came(nlri);
    if let Some(reach) = reach(attributes) {
        seen.came(reach);
    }
}

/// Returns the prefixes of MP_REACH_NLRI, if it is among the attributes.
fn reach(mut attributes: &[u8]) -> Option<&[u8]> {
    const MP_REACH_NLRI: u8 = 14;
    const EXTENDED_LENGTH: u8 = 0x10;
    loop {
        let (flags, kind) = (*attributes.first()?, *attributes.get(1)?);
        let (from, length) = match flags & EXTENDED_LENGTH {
            0 => (3, usize::from(*attributes.get(2)?)),
            _ => (4, usize::from(u16::from_be_bytes([*attributes.get(2)?, *attributes.get(3)?]))),
        };
        let value = attributes.get(from..from + length)?;
        if kind == MP_REACH_NLRI {
            // AFI, SAFI, length of the next hop, next hop, reserved.
            return value.get(5 + usize::from(*value.get(3)?)..);
        }
        attributes = &attributes[from + length..];
    }
}

impl Seen {
    fn came(&mut self, prefixes: &[u8]) {
        let (now, mut at) = (clock::now(), 0);
        while let Some(&bits) = prefixes.get(at) {
            let octets = usize::from(bits).div_ceil(8);
            let Some(prefix) = prefixes.get(at + 1..at + 1 + octets) else { return };
            self.announced += 1;
            self.last = Some(now);
            if let Ok(address) = <[u8; 4]>::try_from(prefix)
                && let Some(came) = self.watched.get_mut(&Ipv4Addr::from(address))
            {
                came.push(now);
            }
            at += 1 + octets;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
