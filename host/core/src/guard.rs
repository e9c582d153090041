//! Does this instance's grant allow exactly this effect? (invariant 5)
//!
//! The guard parses what would leave with the same codec the plugins use and takes nobody's word for it. What it lets
//! through is a [`Granted`], which names the address it speaks for, so that the host can take it back the moment the
//! address is no longer desired. It must not know sockets: it judges, `host/net` acts.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use outrigger_sdk::{
    Effect, Endpoint, Frame, FrameWatch, Link, LinkIndex, LinksChanged, Offload, OffloadWork,
    Report, ServiceEvent, Time,
};
use outrigger_wire::{Message, solicited_node_group};

use crate::desired::Desired;

pub mod budget;
mod churn;
mod describe;
mod frames;
mod grant;
mod granted;
mod offloads;
mod reason;
pub mod reports;
mod session;
mod share;
mod streams;
#[cfg(test)]
mod tests;

use budget::{OPENED, REPORTS, SENT};
use churn::{ANNOUNCEMENTS, Churn};
use describe::describe;
pub use grant::Grant;
pub use granted::Granted;
pub use offloads::Offloads;
pub use reason::{Reason, Refusal};
pub use reports::Reports;
pub use share::Share;
pub use streams::{Ended, Endpoints, Withdrawal};

/// Numbers from here on are the host's own.
const HOST_ENDPOINTS: Endpoint = 0x8000_0000;
/// Nothing that layer 2 repeats is useful more often (RFC 5227 section 1.1: ANNOUNCE_INTERVAL is 2 s).
const MIN_BEACON_INTERVAL_US: u32 = 100_000;

/// What one instance may do: the links it was given, the addresses it was told about, and how often.
#[derive(Debug)]
pub struct Guard {
    links: BTreeMap<LinkIndex, Link>,
    desired: BTreeMap<IpAddr, Arc<Desired>>,
    /// Solicited-node groups of the desired IPv6 addresses, and how many addresses share each.
    groups: BTreeMap<Ipv6Addr, usize>,
    grant: Grant,
    endpoints: Endpoints,
    offloads: Offloads,
    /// Frames, and offloads on links.
    churn: Churn,
    /// Streams, listeners and sockets opened.
    opening: Churn,
    datagrams: Churn,
    /// Its reports of peers, conditions, metrics and Services.
    reports: Reports,
    /// Reports of any kind.
    talk: Churn,
    denied: BTreeMap<Reason, u64>,
}

impl Default for Guard {
    fn default() -> Self {
        let (links, desired, groups, denied) = Default::default();
        let (grant, endpoints, offloads, reports) = Default::default();
        Self {
            links,
            desired,
            groups,
            grant,
            endpoints,
            offloads,
            churn: Churn::new(ANNOUNCEMENTS),
            opening: Churn::new(OPENED),
            datagrams: Churn::new(SENT),
            reports,
            talk: Churn::new(REPORTS),
            denied,
        }
    }
}

impl Guard {
    /// Forgets what the instance was told about: all of it is about to be told anew.
    pub fn reset_desired(&mut self) {
        self.desired.clear();
        self.groups.clear();
        self.endpoints.doubt_all();
    }

    /// Takes in what the instance is about to be told. What is no longer desired is no longer granted from here on.
    pub fn desire(&mut self, remove: &[IpAddr], upsert: &[Arc<Desired>]) {
        for address in remove {
            if self.desired.remove(address).is_some() {
                self.endpoints.doubt(*address);
                self.forget_group(*address);
            }
        }
        for entry in upsert {
            if !entry.duty.speaks() {
                self.endpoints.doubt(entry.address);
            }
            let is_new = self.desired.insert(entry.address, entry.clone()).is_none();
            if let (IpAddr::V6(address), true) = (entry.address, is_new) {
                *self.groups.entry(solicited_node_group(address)).or_default() += 1;
            }
        }
    }

    fn forget_group(&mut self, address: IpAddr) {
        let IpAddr::V6(address) = address else { return };
        let group = solicited_node_group(address);
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// The same for links.
    pub fn link(&mut self, change: &LinksChanged) {
        if change.reset {
            self.links.clear();
        }
        for index in &change.remove {
            self.links.remove(index);
        }
        for link in &change.upsert {
            self.links.insert(link.index, link.clone());
        }
    }

    /// What the instance was told about, by address.
    pub fn desired(&self) -> &BTreeMap<IpAddr, Arc<Desired>> {
        &self.desired
    }

    /// The links it was given, by index.
    pub fn links(&self) -> &BTreeMap<LinkIndex, Link> {
        &self.links
    }

    /// How often each reason was given.
    pub fn denied(&self) -> &BTreeMap<Reason, u64> {
        &self.denied
    }

    /// Its reports of peers, conditions, metrics and Services.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Another instance begins: it pays for nothing that its predecessor did, and has to say again what is still so.
    pub fn begin(&mut self, now_us: u64) {
        self.churn = Churn::new(ANNOUNCEMENTS);
        self.opening = Churn::new(OPENED);
        self.datagrams = Churn::new(SENT);
        self.talk = Churn::new(REPORTS);
        self.reports.begin(now_us);
        self.offloads.begin(now_us);
    }

    /// Lets go what only earlier instances said, and events, once its time has come. When to come back, if that is still to come.
    pub fn sweep(&mut self, now_us: u64) -> Option<u64> {
        self.reports.sweep(now_us)
    }

    /// Keeps a report that was granted.
    ///
    /// # Errors
    /// When there is no room for it by now.
    pub fn keep(&mut self, report: Report, now: Time) -> Result<(), Reason> {
        self.reports.keep(report, now)
    }

    /// Something that was granted is over by itself, or was not put in force.
    pub fn ended(&mut self, id: Endpoint) {
        self.offloads.end(id);
    }

    /// The offloads in force, for [`Guard::undo_offloads`].
    pub fn offloads(&self) -> &Offloads {
        &self.offloads
    }

    /// Forgets the offloads that were granted since then: they are not set.
    pub fn undo_offloads(&mut self, before: Offloads) {
        self.offloads = before;
    }

    /// Counts a refusal that was found only while a granted effect was carried out.
    pub fn refuse(&mut self, reason: Reason) {
        *self.denied.entry(reason).or_default() += 1;
    }

    /// Judges one effect. `now_us` is monotonic.
    ///
    /// # Errors
    /// The refusal, which goes back to the plugin as `denied` and is counted.
    pub fn check(&mut self, now_us: u64, effect: Effect) -> Result<Vec<Granted>, Refusal> {
        let (name, subject) = describe(&effect);
        self.judge(now_us, effect).map_err(|reason| {
            *self.denied.entry(reason).or_default() += 1;
            Refusal { effect: name, subject, reason }
        })
    }

    fn judge(&mut self, now_us: u64, effect: Effect) -> Result<Vec<Granted>, Reason> {
        match effect {
            Effect::WatchFrames(watch) => self.watch(watch),
            Effect::UnwatchFrames(FrameWatch { link, topics }) => {
                Ok(topics.into_iter().map(|topic| Granted::Unwatch(link, topic)).collect())
            }
            Effect::SendFrame(frame) => {
                self.speaks_for(&frame)?;
                self.spend(now_us)?;
                Ok(vec![Granted::Send(frame)])
            }
            Effect::JoinGroup { link, group } => {
                self.granted_link(link)?;
                self.granted_group(group)?;
                Ok(vec![Granted::Join(link, group)])
            }
            Effect::LeaveGroup { link, group } => Ok(vec![Granted::Leave(link, group)]),
            Effect::Offload(offload) => self.offload(now_us, offload),
            Effect::Close(id) => {
                self.offloads.end(id);
                Ok(vec![Granted::Close(id)])
            }
            Effect::Abort(id) => {
                self.offloads.end(id);
                Ok(vec![Granted::Abort(id)])
            }
            Effect::Connect(connect) => {
                self.open(now_us)?;
                self.connect(connect)
            }
            Effect::Listen(listen) => {
                self.open(now_us)?;
                self.listen(listen)
            }
            Effect::OpenSocket(open) => {
                self.open(now_us)?;
                self.open_socket(open)
            }
            Effect::Write(bytes) => self.write(now_us, bytes),
            Effect::SendDatagram(sent) => {
                self.send_datagram(&sent)?;
                if !self.datagrams.spend(now_us, self.endpoints.count()) {
                    return Err(Reason::ChurnLimit);
                }
                Ok(vec![Granted::Datagram(sent)])
            }
            Effect::Report(report) => self.report(now_us, report),
            Effect::Drained => Ok(vec![Granted::Drained]),
            Effect::Unsupported { .. } => Err(Reason::Unsupported),
        }
    }

    fn watch(&self, FrameWatch { link, topics }: FrameWatch) -> Result<Vec<Granted>, Reason> {
        self.granted_link(link)?;
        for topic in &topics {
            self.known_address(topic.address())?;
        }
        Ok(topics.into_iter().map(|topic| Granted::Watch(link, topic)).collect())
    }

    fn offload(
        &mut self,
        now_us: u64,
        Offload { id, work }: Offload,
    ) -> Result<Vec<Granted>, Reason> {
        if id >= HOST_ENDPOINTS {
            return Err(Reason::NumberReserved);
        }
        let spots = self.desired.len() * self.links.len().max(1);
        let noted = work.clone();
        let granted = match work {
            OffloadWork::AnswerNeighbor { link, address } => {
                self.granted_link(link)?;
                self.granted_address(address)?;
                Granted::Answer { id, link, address }
            }
            OffloadWork::Beacon(beacon) => {
                let address = match self.shows_itself(&beacon.frame) {
                    true => Ipv6Addr::UNSPECIFIED.into(),
                    false => self.speaks_for(&beacon.frame)?,
                };
                if beacon.interval_us < MIN_BEACON_INTERVAL_US {
                    return Err(Reason::BeaconTooFast);
                }
                Granted::Beacon { id, address, beacon }
            }
            work => {
                let granted = self.work(id, work)?;
                self.offloads.set(id, &noted, spots, now_us)?;
                return Ok(vec![granted]);
            }
        };
        // What is refused is not charged.
        if !self.churn.has_room(now_us, spots) {
            return Err(Reason::ChurnLimit);
        }
        self.offloads.set(id, &noted, spots, now_us)?;
        self.spend(now_us)?;
        Ok(vec![granted])
    }

    /// A report about an address the instance was not told about is refused; that it is withdrawn is true by then.
    fn report(&mut self, now_us: u64, report: Report) -> Result<Vec<Granted>, Reason> {
        use outrigger_sdk::AnnouncementState::Withdrawn;
        if !self.talk.spend(now_us, self.desired.len() + self.reports.peer_count()) {
            return Err(Reason::TooMuchSaid);
        }
        let desired = &self.desired;
        let is_told = |event: &ServiceEvent| {
            desired.values().flat_map(|entry| entry.services.iter()).any(|service| {
                (service.key.namespace(), service.key.name()) == (&event.namespace, &event.name)
            })
        };
        let report = self.reports.admit(now_us, report, is_told)?;
        match &report {
            Report::Address(about) if !self.desired.contains_key(&about.address) => {
                match about.state {
                    Withdrawn => Ok(vec![]),
                    _ => Err(Reason::AddressNotDesired),
                }
            }
            _ => Ok(vec![Granted::Report(report)]),
        }
    }

    /// A frame that speaks for no address, and that peers on the link may hear if any of them is granted (unnumbered BGP).
    fn shows_itself(&self, frame: &Frame) -> bool {
        let link = self.links.get(&frame.link);
        self.grant.has_link_local_peers()
            && link.is_some_and(|link| frames::only_shows_itself(&frame.data, link))
    }

    /// The address this frame speaks for, if all of it is granted.
    fn speaks_for(&self, frame: &Frame) -> Result<IpAddr, Reason> {
        let link = self.granted_link(frame.link)?;
        let decoded = outrigger_wire::decode(&frame.data).map_err(|_| Reason::NotArpOrNd)?;
        frames::says_nothing_else(&frame.data, &decoded)?;
        let address = frames::claimed_address(&decoded, link)?;
        match decoded.message {
            // A question about an address claims nothing (RFC 5227 2.1.1, RFC 4862 5.4.2).
            Message::Solicitation(_) => {
                self.desired.get(&address).map(drop).ok_or(Reason::AddressNotDesired)?
            }
            Message::Arp(arp) if arp.sender_ip.is_unspecified() => {
                self.desired.get(&address).map(drop).ok_or(Reason::AddressNotDesired)?;
            }
            Message::Arp(_) | Message::Advertisement(_) => self.granted_address(address)?,
        }
        Ok(address)
    }

    fn granted_link(&self, link: LinkIndex) -> Result<&Link, Reason> {
        self.links.get(&link).ok_or(Reason::LinkNotGranted)
    }

    fn known_address(&self, address: IpAddr) -> Result<(), Reason> {
        if self.desired.contains_key(&address) { Ok(()) } else { Err(Reason::AddressNotDesired) }
    }

    fn granted_address(&self, address: IpAddr) -> Result<(), Reason> {
        let entry = self.desired.get(&address).ok_or(Reason::AddressNotDesired)?;
        if entry.duty.speaks() { Ok(()) } else { Err(Reason::NotThisNodesDuty) }
    }

    fn granted_group(&self, group: Ipv6Addr) -> Result<(), Reason> {
        if self.groups.contains_key(&group) { Ok(()) } else { Err(Reason::GroupNotGranted) }
    }

    fn open(&mut self, now_us: u64) -> Result<(), Reason> {
        let is_within = self.opening.spend(now_us, self.endpoints.count());
        if is_within { Ok(()) } else { Err(Reason::ChurnLimit) }
    }

    fn spend(&mut self, now_us: u64) -> Result<(), Reason> {
        let announcements = self.desired.len() * self.links.len().max(1);
        if self.churn.spend(now_us, announcements) { Ok(()) } else { Err(Reason::ChurnLimit) }
    }
}
