//! Checks that an instance's grant allows exactly the effect that it requests (invariant 5).
//!
//! The guard parses outgoing data with the same codec the plugins use and does not rely on what the plugin claims. What
//! it allows through is a [`Granted`], which names the address it speaks for, so that the host can take it back the
//! moment the address is no longer desired. It must not know sockets: it judges, `host/net` acts.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use outrigger_sdk::{
    Effect, Endpoint, Frame, FrameWatch, Link, LinkIndex, LinksChanged, Offload, OffloadWork,
    Report, ServiceEvent, Time,
};
use outrigger_wire::{NeighborMessage, solicited_node_group};

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
pub use streams::{Ended, OpenEndpoints, Withdrawal};

/// First endpoint number that is reserved for the host.
const HOST_ENDPOINTS: Endpoint = 0x8000_0000;
/// Shortest beacon interval; more frequent layer 2 repetitions are useless (RFC 5227 section 1.1: ANNOUNCE_INTERVAL is 2 s).
const MIN_BEACON_INTERVAL_US: u32 = 100_000;

/// The permissions of one instance: its links, its desired addresses, and its rate budgets.
#[derive(Debug)]
pub struct Guard {
    links: BTreeMap<LinkIndex, Link>,
    desired: BTreeMap<IpAddr, Arc<Desired>>,
    /// Solicited-node groups of the desired IPv6 addresses, and the number of addresses that share each group.
    groups: BTreeMap<Ipv6Addr, usize>,
    grant: Grant,
    endpoints: OpenEndpoints,
    offloads: Offloads,
    /// Budget for frames and for offloads on links.
    churn: Churn,
    /// Budget for opening streams, listeners and sockets.
    opening: Churn,
    datagrams: Churn,
    /// The instance's reports of peers, conditions, metrics and Services.
    reports: Reports,
    /// Budget for reports of any kind.
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
    /// Clears the desired addresses, before the complete set is sent to the instance again.
    pub fn reset_desired(&mut self) {
        self.desired.clear();
        self.groups.clear();
        self.endpoints.doubt_all();
    }

    /// Applies a change of the desired addresses, before it is sent. A removed address is not granted from this call on.
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

    /// Applies a change of the instance's links, before it is sent to the instance.
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

    /// Returns the desired addresses that the instance has been sent, by address.
    pub fn desired(&self) -> &BTreeMap<IpAddr, Arc<Desired>> {
        &self.desired
    }

    /// Returns the links that the instance was given, by index.
    pub fn links(&self) -> &BTreeMap<LinkIndex, Link> {
        &self.links
    }

    /// Returns the number of refusals by reason.
    pub fn denied(&self) -> &BTreeMap<Reason, u64> {
        &self.denied
    }

    /// Returns the instance's reports of peers, conditions, metrics and Services.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Starts a new instance. Its budgets are full whatever its predecessor used, and it must repeat reports that still apply.
    pub fn begin(&mut self, now_us: u64) {
        self.churn = Churn::new(ANNOUNCEMENTS);
        self.opening = Churn::new(OPENED);
        self.datagrams = Churn::new(SENT);
        self.talk = Churn::new(REPORTS);
        self.reports.begin(now_us);
        self.offloads.begin(now_us);
    }

    /// Removes reports that only earlier instances made, and events, once they have expired. Returns the time of the
    /// next expiry; `None` if nothing is left to expire.
    pub fn sweep(&mut self, now_us: u64) -> Option<u64> {
        self.reports.sweep(now_us)
    }

    /// Stores a report that was granted.
    ///
    /// # Errors
    /// Returns an error if there is no longer room for the report.
    pub fn keep(&mut self, report: Report, now: Time) -> Result<(), Reason> {
        self.reports.keep(report, now)
    }

    /// Removes an offload that ended by itself or that was not applied.
    pub fn ended(&mut self, id: Endpoint) {
        self.offloads.end(id);
    }

    /// Returns the active offloads, to be restored with [`Guard::undo_offloads`].
    pub fn offloads(&self) -> &Offloads {
        &self.offloads
    }

    /// Restores an earlier state of the offloads, because those granted since then were not applied.
    pub fn undo_offloads(&mut self, before: Offloads) {
        self.offloads = before;
    }

    /// Counts a refusal that was only found while a granted effect was carried out.
    pub fn refuse(&mut self, reason: Reason) {
        *self.denied.entry(reason).or_default() += 1;
    }

    /// Judges one effect. `now_us` is monotonic.
    ///
    /// # Errors
    /// Returns the refusal, which is sent to the plugin as `denied` and is counted.
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
        // A refused effect must not be charged.
        if !self.churn.has_room(now_us, spots) {
            return Err(Reason::ChurnLimit);
        }
        self.offloads.set(id, &noted, spots, now_us)?;
        self.spend(now_us)?;
        Ok(vec![granted])
    }

    /// Judges a report. One about an undesired address is refused, except that it is withdrawn, which is already true.
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

    /// Returns true if the frame speaks for no address, and the grant allows link-local peers that may receive it
    /// (unnumbered BGP).
    fn shows_itself(&self, frame: &Frame) -> bool {
        let link = self.links.get(&frame.link);
        self.grant.has_link_local_peers()
            && link.is_some_and(|link| frames::only_shows_itself(&frame.data, link))
    }

    /// Returns the address that this frame speaks for, if the entire frame is granted.
    fn speaks_for(&self, frame: &Frame) -> Result<IpAddr, Reason> {
        let link = self.granted_link(frame.link)?;
        let decoded = outrigger_wire::decode(&frame.data).map_err(|_| Reason::NotArpOrNd)?;
        frames::says_nothing_else(&frame.data, &decoded)?;
        let address = frames::claimed_address(&decoded, link)?;
        match decoded.message {
            // A question about an address claims nothing (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2).
            NeighborMessage::Solicitation(_) => {
                self.desired.get(&address).map(drop).ok_or(Reason::AddressNotDesired)?
            }
            NeighborMessage::Arp(arp) if arp.sender_ip.is_unspecified() => {
                self.desired.get(&address).map(drop).ok_or(Reason::AddressNotDesired)?;
            }
            NeighborMessage::Arp(_) | NeighborMessage::Advertisement(_) => {
                self.granted_address(address)?
            }
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
