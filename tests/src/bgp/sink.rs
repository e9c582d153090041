//! A router that only listens, for measurements: it takes every connection, comes up, sends its keepalives, and notes what
//! came and when. It keeps no routes, so that it costs next to nothing.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::raw::{self, Peer};
use crate::namespace::Namespace;
use crate::{clock, wait};

/// A listening router. Ends when dropped.
#[derive(Debug)]
pub struct Sink {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What came so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When each session came up, in their order.
    pub established: Vec<Instant>,
    /// UPDATE messages.
    pub updates: usize,
    /// Octets of these.
    pub octets: usize,
    /// IPv4 prefixes announced, counted as often as they came.
    pub announced: usize,
    /// When the last of them came.
    pub last: Option<Instant>,
    /// When a /32 that is watched was announced last.
    watched: BTreeMap<Ipv4Addr, Option<Instant>>,
}

impl Sink {
    /// Listens at port 179 of every address of a namespace, as a router of this AS with this hold time.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, asn: u16, hold: u16) -> Result<Self> {
        let listener = namespace.inside(|| {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 179));
            TcpListener::bind(any).context("port 179 is taken")
        })?;
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        listener.set_nonblocking(true)?;
        let thread = std::thread::spawn(move || accept(&listener, asn, hold, &kept, &stopped));
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// What came so far.
    pub fn so_far(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Waits until so many sessions were established since the start, and gives when the last of them was.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn await_established(&self, count: usize, limit: Duration) -> Result<Instant> {
        wait::until(&format!("{count} sessions"), limit, || {
            let seen = lock(&self.seen);
            Ok(seen.established.get(count - 1).copied())
        })
    }

    /// Waits until so many prefixes came, and gives when the last of them did.
    ///
    /// # Errors
    /// When they do not come in time, with how many did.
    pub fn await_announced(&self, count: usize, limit: Duration) -> Result<Instant> {
        wait::until(&format!("{count} prefixes"), limit, || {
            let seen = lock(&self.seen);
            Ok(seen.last.filter(|_| seen.announced >= count))
        })
        .with_context(|| format!("{} came", lock(&self.seen).announced))
    }

    /// Begins to watch for a /32.
    pub fn watch(&self, address: Ipv4Addr) {
        lock(&self.seen).watched.insert(address, None);
    }

    /// Waits until a watched /32 was announced, and gives when.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn await_watched(&self, address: Ipv4Addr, limit: Duration) -> Result<Instant> {
        wait::until(&format!("{address} is announced"), limit, || {
            Ok(lock(&self.seen).watched.get(&address).copied().flatten())
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

fn accept(
    listener: &TcpListener,
    asn: u16,
    hold: u16,
    seen: &Arc<Mutex<Seen>>,
    stop: &Arc<AtomicBool>,
) {
    let mut sessions = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let (seen, stop) = (Arc::clone(seen), Arc::clone(stop));
        sessions.push(std::thread::spawn(move || {
            // A session that breaks shows as prefixes that do not come.
            let _ = session(stream, asn, hold, &seen, &stop);
        }));
    }
    for session in sessions {
        let _ = session.join();
    }
}

fn session(
    stream: TcpStream,
    asn: u16,
    hold: u16,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) -> Result<()> {
    stream.set_nonblocking(false)?;
    let IpAddr::V4(local) = stream.local_addr()?.ip() else { return Ok(()) };
    let mut peer = Peer::on(stream)?;
    let four = u32::from(asn).to_be_bytes();
    let capabilities: [(u8, &[u8]); 3] = [(1, &[0, 1, 0, 1]), (2, &[]), (65, &four)];
    peer.establish(&raw::open(asn, hold, local.octets(), &capabilities), Duration::from_secs(10))?;
    lock(seen).established.push(clock::now());
    let third = Duration::from_secs(u64::from(hold.max(3)) / 3);
    let look = third.min(Duration::from_millis(500));
    let mut said = clock::now();
    while !stop.load(Ordering::Relaxed) {
        if clock::since(said) >= third.saturating_sub(look) {
            peer.send(&raw::message(raw::KEEPALIVE, &[]))?;
            said = clock::now();
        }
        match peer.receive_if(look)? {
            Some(Some((raw::UPDATE, body))) => note(&body, seen),
            Some(Some(_)) | None => {}
            Some(None) => return Ok(()),
        }
    }
    Ok(())
}

/// RFC 4271 section 4.3, as far as IPv4 prefixes without path identifiers.
fn note(body: &[u8], seen: &Mutex<Seen>) {
    let now = clock::now();
    let skip = |at: usize| {
        let length = body.get(at..at + 2)?;
        Some(at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])))
    };
    let Some(mut at) = skip(0).and_then(skip) else { return };
    let mut seen = lock(seen);
    seen.updates += 1;
    seen.octets += 19 + body.len();
    while let Some(&bits) = body.get(at) {
        let octets = usize::from(bits).div_ceil(8);
        let Some(prefix) = body.get(at + 1..at + 1 + octets) else { return };
        seen.announced += 1;
        seen.last = Some(now);
        if let Ok(address) = <[u8; 4]>::try_from(prefix)
            && let Some(when) = seen.watched.get_mut(&Ipv4Addr::from(address))
        {
            *when = Some(now);
        }
        at += 1 + octets;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
