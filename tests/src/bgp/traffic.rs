//! Traffic through a router: a thousand datagrams a second in several flows, answered by servers with their names. A datagram
//! without an answer is lost, and consecutive lost ones form a gap.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::namespace::Namespace;
use crate::{clock, wait};

/// Port of the servers.
const PORT: u16 = 7777;
/// Time between two datagrams.
const INTERVAL: Duration = Duration::from_millis(1);
/// Time after which a datagram without an answer is lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// Size of a socket's queue in bytes: some seconds of all traffic here.
const ROOM: usize = 4 << 20;
const LOOK: Duration = Duration::from_millis(20);

/// Server that answers every datagram with its name. Ends when dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts a server at an address of a namespace, which it also answers from.
    ///
    /// # Errors
    /// When the address does not exist, or the port is taken.
    pub fn start(namespace: &Namespace, at: Ipv4Addr, name: &str) -> Result<Self> {
        let socket = namespace.inside(|| {
            UdpSocket::bind((at, PORT)).context("cannot open the port of the echo server")
        })?;
        socket.set_read_timeout(Some(LOOK))?;
        make_room(&socket)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, name) = (Arc::clone(&stop), name.to_owned());
        let thread = std::thread::spawn(move || {
            let mut datagram = [0; 16];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((size, from)) = socket.recv_from(&mut datagram) else { continue };
                let answer = [&datagram[..size], name.as_bytes()].concat();
                // An answer that cannot be sent is lost, as the other end will detect.
                let _ = socket.send_to(&answer, from);
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Running traffic.
#[derive(Debug)]
pub struct Traffic {
    seen: Arc<Mutex<Vec<Datagram>>>,
    stop: Arc<AtomicBool>,
    drained: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    receivers: Vec<JoinHandle<()>>,
}

/// Datagram: the time it was sent, its flow, and the server that answered it.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Time at which it was sent.
    pub at: Instant,
    /// Number of its flow.
    pub flow: usize,
    /// Name of the server that answered; `None` if it is lost.
    pub by: Option<String>,
}

impl Traffic {
    /// Starts to send to an address, in this number of flows by turns.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub fn start(client: &Namespace, to: Ipv4Addr, flows: usize) -> Result<Self> {
        let sockets = client.inside(|| {
            (0..flows)
                .map(|_| {
                    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                    socket.connect(SocketAddr::from((to, PORT)))?;
                    socket.set_read_timeout(Some(LOOK))?;
                    make_room(&socket)?;
                    Ok(Arc::new(socket))
                })
                .collect::<Result<Vec<_>>>()
        })?;
        let seen: Arc<Mutex<Vec<Datagram>>> = Arc::default();
        let (stop, drained): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let receivers = sockets.iter().map(|socket| {
            let (socket, seen, drained) =
                (Arc::clone(socket), Arc::clone(&seen), Arc::clone(&drained));
            std::thread::spawn(move || receive(&socket, &seen, &drained))
        });
        let receivers = receivers.collect();
        let (sent, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let sender = std::thread::spawn(move || send(&sockets, &sent, &stopped));
        Ok(Self { seen, stop, drained, threads: vec![sender], receivers })
    }

    /// Returns the server that answered the last answered datagram of a flow.
    pub fn answered_by(&self, flow: usize) -> Option<String> {
        let seen = lock(&self.seen);
        seen.iter().rev().find(|it| it.flow == flow && it.by.is_some()).and_then(|it| it.by.clone())
    }

    /// Waits until every datagram of half a second has its answer.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_flowing(&self) -> Result<()> {
        wait::until("traffic flows", super::router::LIMIT, || {
            let seen = lock(&self.seen);
            // The last half second is left out: on a busy machine answers come late.
            let Some(end) = seen.len().checked_sub(500) else { return Ok(None) };
            let Some(begin) = end.checked_sub(500) else { return Ok(None) };
            Ok(seen[begin..end].iter().all(|it| it.by.is_some()).then_some(()))
        })
    }

    /// Returns the number of datagrams so far, as the argument of [`Traffic::finish`] that leaves them out.
    pub fn begin_anew(&self) -> usize {
        lock(&self.seen).len()
    }

    /// Stops, waits for the last answers, and returns the datagrams after the first `skip`.
    pub fn finish(mut self, skip: usize) -> Flowed {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        std::thread::sleep(PATIENCE);
        self.end();
        let seen = lock(&self.seen);
        Flowed { datagrams: seen[skip.min(seen.len())..].to_vec() }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.drained.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..).chain(self.receivers.drain(..)) {
            let _ = thread.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}

/// Datagrams with their answers.
#[derive(Debug)]
pub struct Flowed {
    /// Datagrams in the order they were sent.
    pub datagrams: Vec<Datagram>,
}

impl Flowed {
    /// Returns the number of datagrams without an answer.
    pub fn lost(&self) -> usize {
        self.datagrams.iter().filter(|it| it.by.is_none()).count()
    }

    /// Returns the longest time in which a flow had no answer: from its last answered datagram to the next one.
    pub fn longest_gap(&self) -> Duration {
        let mut last: BTreeMap<usize, Instant> = BTreeMap::new();
        let mut longest = Duration::ZERO;
        for datagram in self.datagrams.iter().filter(|it| it.by.is_some()) {
            if let Some(before) = last.insert(datagram.flow, datagram.at) {
                longest = longest.max(datagram.at.duration_since(before));
            }
        }
        longest
    }

    /// Describes the losses, for a failure: for each tenth of a second with a loss, how many of which flows, and the servers
    /// that otherwise answer these flows.
    pub fn describe(&self) -> String {
        let Some(begin) = self.datagrams.first().map(|it| it.at) else {
            return "nothing was sent".to_owned();
        };
        let mut tenths: BTreeMap<u128, BTreeMap<usize, usize>> = BTreeMap::new();
        for datagram in self.datagrams.iter().filter(|it| it.by.is_none()) {
            let tenth = datagram.at.duration_since(begin).as_millis() / 100;
            *tenths.entry(tenth).or_default().entry(datagram.flow).or_default() += 1;
        }
        let who = |flow: &usize| {
            let names = self.datagrams.iter().filter(|it| it.flow == *flow);
            let mut names: Vec<_> = names.filter_map(|it| it.by.clone()).collect();
            names.dedup();
            names.join(",")
        };
        let line = |(tenth, flows): (&u128, &BTreeMap<usize, usize>)| {
            let flows = flows.iter().map(|(flow, lost)| format!("{flow} ({}): {lost}", who(flow)));
            format!("  {}00 ms: {}\n", tenth, flows.collect::<Vec<_>>().join("; "))
        };
        let lines: String = tenths.iter().map(line).collect();
        format!("{} of {} lost\n{lines}", self.lost(), self.datagrams.len())
    }

    /// Returns the number of datagrams that each server answered.
    pub fn by_server(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for name in self.datagrams.iter().filter_map(|it| it.by.clone()) {
            *count.entry(name).or_default() += 1;
        }
        count
    }
}

/// Enlarges a socket's buffer: datagrams wait in the kernel, and are not lost there, while a busy machine does not schedule
/// their reader.
fn make_room(socket: &UdpSocket) -> Result<()> {
    setsockopt(socket, RcvBufForce, &ROOM).context("no room for datagrams")
}

fn send(sockets: &[Arc<UdpSocket>], seen: &Mutex<Vec<Datagram>>, stop: &AtomicBool) {
    let start = clock::now();
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let due = start + INTERVAL * number;
        if let Some(early) = due.checked_duration_since(clock::now()) {
            std::thread::sleep(early);
        }
        let flow = number as usize % sockets.len();
        // Recorded before it is sent: the answer may be faster than this thread.
        lock(seen).push(Datagram { at: clock::now(), flow, by: None });
        // A missing route is a loss like any other.
        let _ = sockets[flow].send(&number.to_be_bytes());
        number += 1;
    }
}

fn receive(socket: &UdpSocket, seen: &Mutex<Vec<Datagram>>, drained: &AtomicBool) {
    let mut answer = [0; 64];
    while !drained.load(Ordering::Relaxed) {
        // An error is the timeout, or an ICMP message about a datagram that is lost anyway.
        let Ok(size) = socket.recv(&mut answer) else { continue };
        let Some((number, name)) = answer[..size].split_first_chunk() else { continue };
        let number = u32::from_be_bytes(*number) as usize;
        if let Some(datagram) = lock(seen).get_mut(number) {
            datagram.by = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
}

fn lock(seen: &Mutex<Vec<Datagram>>) -> MutexGuard<'_, Vec<Datagram>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
