//! Sends ARP requests for an address at a fixed rate, as many neighbours would, and records the replies and their times. Every
//! request has a different sender address, so every reply belongs to exactly one request (RFC 826: a reply's target is the
//! request's sender). Built on pnet, not on the product's codecs.
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pnet_base::MacAddr;
use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender, channel};
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};

use crate::clock;
use crate::namespace::Namespace;

/// Number of requests per second at which a loss would show.
pub const RATE: u32 = 200;
/// Time after which a request without an answer counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(1);
/// Interval at which the threads check if they are to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Running prober.
#[derive(Debug)]
pub struct Prober {
    seen: Arc<Mutex<Probe>>,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<()>>>,
    receiver: Option<JoinHandle<()>>,
    drained: Arc<AtomicBool>,
}

/// Requests and their answers.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    requests: Vec<Request>,
    answers: Vec<Answer>,
    claims: BTreeMap<MacAddr, u32>,
}

#[derive(Debug, Clone)]
struct Request {
    at: Instant,
    answers: Vec<Answer>,
}

/// Reply to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Time at which it reached the client.
    pub at: Instant,
    /// Hardware address in the reply.
    pub mac: MacAddr,
}

impl Prober {
    /// Starts to send requests for `target` from an interface of a network, `rate` times a second.
    ///
    /// # Errors
    /// When the packet socket cannot be opened.
    pub fn start(from: &Namespace, interface: &str, target: Ipv4Addr, rate: u32) -> Result<Self> {
        let (mac, (tx, rx)) = from.inside(|| open(interface))?;
        let (seen, stop, drained): (Arc<Mutex<Probe>>, Arc<AtomicBool>, Arc<AtomicBool>) =
            Default::default();
        let asking = Asking { mac, target, interval: Duration::from_secs(1) / rate };
        let sender = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || asking.run(tx, &seen, &stop))
        };
        let receiver = {
            let (seen, drained) = (Arc::clone(&seen), Arc::clone(&drained));
            std::thread::spawn(move || listen(rx, target, &seen, &drained))
        };
        Ok(Self { seen, stop, drained, sender: Some(sender), receiver: Some(receiver) })
    }

    /// Returns everything recorded so far.
    pub fn so_far(&self) -> Probe {
        lock(&self.seen).clone()
    }

    /// Stops sending, gives the last requests a second, and returns everything recorded.
    ///
    /// # Errors
    /// When a request could not be sent.
    pub fn finish(mut self) -> Result<Probe> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        let end = clock::now();
        crate::wait::until("the last answers", PATIENCE * 2, || {
            let done = clock::since(end) > PATIENCE || lock(&self.seen).unanswered() == 0;
            Ok(done.then_some(()))
        })?;
        self.join_receiver();
        Ok(self.so_far())
    }

    fn join_receiver(&mut self) {
        self.drained.store(true, Ordering::Relaxed);
        if let Some(receiver) = self.receiver.take() {
            let _ = receiver.join();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
        self.join_receiver();
    }
}

impl Probe {
    /// Drops the first `count` requests.
    pub fn from(&self, count: usize) -> Self {
        let requests = self.requests.get(count..).unwrap_or_default().to_vec();
        Self { requests, ..self.clone() }
    }

    /// Returns the number of sent requests.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Returns the number of requests that have no answer, or had it later than a second after they were sent.
    pub fn unanswered(&self) -> usize {
        let in_time = |request: &&Request| {
            request
                .answers
                .first()
                .is_some_and(|answer| answer.at.duration_since(request.at) <= PATIENCE)
        };
        self.requests.len() - self.requests.iter().filter(in_time).count()
    }

    /// Returns the median time from a request to its first answer, among those of these requests that have one.
    pub fn median(&self, requests: std::ops::Range<usize>) -> Option<Duration> {
        let requests = self.requests.get(requests)?.iter();
        let mut times: Vec<_> = requests
            .filter_map(|request| Some(request.answers.first()?.at.duration_since(request.at)))
            .collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// Returns the number of answers beyond the first of each request.
    pub fn duplicates(&self) -> usize {
        self.requests.iter().map(|request| request.answers.len().saturating_sub(1)).sum()
    }

    /// Returns the number of requests later than `after` that more than one hardware address answered.
    pub fn answered_by_several(&self, after: Instant) -> usize {
        let several = |request: &&Request| {
            request.at > after && request.answers.iter().any(|it| it.mac != request.answers[0].mac)
        };
        self.requests.iter().filter(several).count()
    }

    /// Returns the number of requests later than `after` without an answer so far, except those of the last second.
    pub fn missed(&self, after: Instant) -> usize {
        let last = self.requests.last().map(|request| request.at);
        let due = |request: &&Request| {
            request.at > after && last.is_some_and(|last| last - request.at > PATIENCE)
        };
        self.requests.iter().filter(due).filter(|request| request.answers.is_empty()).count()
    }

    /// Returns the answers in the order they came.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Returns the number of answers by hardware address.
    pub fn by_mac(&self) -> BTreeMap<MacAddr, usize> {
        let mut count = BTreeMap::new();
        for answer in &self.answers {
            *count.entry(answer.mac).or_default() += 1;
        }
        count
    }

    /// Returns the ARP frames of any kind that name the address as their sender's, by the hardware address they give it:
    /// replies to any requester, and gratuitous ones.
    pub fn claims(&self) -> &BTreeMap<MacAddr, u32> {
        &self.claims
    }

    /// Returns the longest time between two answers; with one answer per request it is at least the time between requests.
    pub fn longest_gap(&self) -> Duration {
        self.answers
            .windows(2)
            .map(|pair| pair[1].at.duration_since(pair[0].at))
            .max()
            .unwrap_or_default()
    }

    /// Returns the first answer later than `after` from another hardware address than `not`.
    pub fn first_by_another(&self, after: Instant, not: MacAddr) -> Option<Answer> {
        self.answers.iter().copied().find(|answer| answer.at > after && answer.mac != not)
    }

    /// Returns the hardware address that gave the last `count` answers, if there were that many in a row, without a duplicate,
    /// and to the last requests: no other node answers, and nothing is lost at present.
    pub fn settled_on(&self, count: usize) -> Option<MacAddr> {
        let recent = self.requests.len().checked_sub(count + 10)?;
        let mut answers =
            self.requests[recent..recent + count].iter().map(|request| match request.answers[..] {
                [answer] => Some(answer.mac),
                _ => None,
            });
        let first = answers.next()??;
        answers.all(|mac| mac == Some(first)).then_some(first)
    }

    fn note(&mut self, arp: &ArpPacket<'_>, target: Ipv4Addr) {
        if arp.get_sender_proto_addr() != target {
            return;
        }
        let answer = Answer { at: clock::now(), mac: arp.get_sender_hw_addr() };
        *self.claims.entry(answer.mac).or_default() += 1;
        let number = number_of(arp.get_target_proto_addr());
        let request = number.and_then(|number| self.requests.get_mut(number));
        if arp.get_operation() == ArpOperations::Reply
            && let Some(request) = request
        {
            request.answers.push(answer);
            self.answers.push(answer);
        }
    }
}

struct Asking {
    mac: MacAddr,
    target: Ipv4Addr,
    interval: Duration,
}

impl Asking {
    fn run(
        &self,
        mut tx: Box<dyn DataLinkSender>,
        seen: &Mutex<Probe>,
        stop: &AtomicBool,
    ) -> Result<()> {
        let start = clock::now();
        let mut number = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            let due = start + self.interval * number;
            while let Some(early) =
                due.checked_duration_since(clock::now()).filter(|early| !early.is_zero())
            {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(early.min(LOOK));
            }
            // Recorded before it is sent: the answer may be faster than this thread.
            lock(seen).requests.push(Request { at: clock::now(), answers: Vec::new() });
            tx.send_to(&self.request(number), None)
                .context("the packet socket accepts no frame")??;
            number += 1;
        }
        Ok(())
    }

    fn request(&self, number: u32) -> Vec<u8> {
        let mut frame =
            vec![0; EthernetPacket::minimum_packet_size() + ArpPacket::minimum_packet_size()];
        let (head, body) = frame.split_at_mut(EthernetPacket::minimum_packet_size());
        let mut ethernet = MutableEthernetPacket::new(head).expect("a header fits a header");
        ethernet.set_destination(MacAddr::broadcast());
        ethernet.set_source(self.mac);
        ethernet.set_ethertype(EtherTypes::Arp);
        let mut arp = MutableArpPacket::new(body).expect("a packet fits a packet");
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(ArpOperations::Request);
        arp.set_sender_hw_addr(self.mac);
        arp.set_sender_proto_addr(sender_of(number));
        arp.set_target_proto_addr(self.target);
        frame
    }
}

/// Returns the sender address of a request: 10.0.0.1 and up, which no node on the segment has.
fn sender_of(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + number)
}

fn number_of(sender: Ipv4Addr) -> Option<usize> {
    let number = sender.to_bits().checked_sub(sender_of(0).to_bits())?;
    usize::try_from(number).ok()
}

type Ends = (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>);

fn open(name: &str) -> Result<(MacAddr, Ends)> {
    let interfaces = pnet_datalink::interfaces();
    let interface = interfaces.iter().find(|interface| interface.name == name);
    let interface = interface.with_context(|| format!("there is no interface {name}"))?;
    let mac = interface.mac.with_context(|| format!("{name} has no hardware address"))?;
    let config = Config { read_timeout: Some(LOOK), ..Config::default() };
    match channel(interface, config).context("cannot open a packet socket")? {
        Channel::Ethernet(tx, rx) => Ok((mac, (tx, rx))),
        _ => bail!("the packet socket is not an Ethernet socket"),
    }
}

fn listen(
    mut rx: Box<dyn DataLinkReceiver>,
    target: Ipv4Addr,
    seen: &Mutex<Probe>,
    drained: &AtomicBool,
) {
    while !drained.load(Ordering::Relaxed) {
        // An error is the timeout; a closed socket shows as requests without answers.
        let Ok(frame) = rx.next() else { continue };
        let Some(ethernet) = EthernetPacket::new(frame) else { continue };
        if ethernet.get_ethertype() != EtherTypes::Arp {
            continue;
        }
        if let Some(arp) = ArpPacket::new(ethernet.payload()) {
            lock(seen).note(&arp, target);
        }
    }
}

fn lock(seen: &Mutex<Probe>) -> MutexGuard<'_, Probe> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
