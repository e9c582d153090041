//! Counters of a neighbour, under the names that the dashboards of MetalLB and FRR use.
use outrigger_sdk::wire::bgp::{HEADER, Message};
use serde::{Deserialize, Serialize};

/// Counters since the neighbour became known. Sent KEEPALIVEs are not counted, because the host sends them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) opens_sent: u64,
    opens_received: u64,
    pub(crate) notifications_sent: u64,
    notifications_received: u64,
    updates_sent: u64,
    updates_received: u64,
    keepalives_received: u64,
    refreshes_sent: u64,
    refreshes_received: u64,
    /// Number of sessions that became Established (`up`), and that ended (`down`).
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Number of UPDATEs with a fault that did not end the session.
    pub(crate) faults: u64,
}

impl Counts {
    /// Counts a received message.
    pub(crate) fn message(&mut self, message: &Message) {
        *match message {
            Message::Open(_) => &mut self.opens_received,
            Message::Update(_) => &mut self.updates_received,
            Message::Notification(_) => &mut self.notifications_received,
            Message::Keepalive => &mut self.keepalives_received,
            Message::RouteRefresh(_) => &mut self.refreshes_received,
        } += 1;
    }

    /// Counts a sent message with routes, or with a marker around them.
    pub(crate) fn said(&mut self, message: &[u8]) {
        const UPDATE: u8 = 2;
        if message.get(HEADER - 1) == Some(&UPDATE) {
            self.updates_sent += 1;
        } else {
            self.refreshes_sent += 1;
        }
    }

    pub(crate) fn named(&self) -> Vec<(String, f64)> {
        let sent =
            self.opens_sent + self.notifications_sent + self.updates_sent + self.refreshes_sent;
        let received = self.opens_received
            + self.notifications_received
            + self.updates_received
            + self.keepalives_received
            + self.refreshes_received;
        let named = [
            ("opens-sent", self.opens_sent),
            ("opens-received", self.opens_received),
            ("notifications-sent", self.notifications_sent),
            ("notifications-received", self.notifications_received),
            ("updates-total", self.updates_sent),
            ("updates-total-received", self.updates_received),
            ("keepalives-received", self.keepalives_received),
            ("route-refresh-sent", self.refreshes_sent),
            ("route-refresh-received", self.refreshes_received),
            ("total-sent", sent),
            ("total-received", received),
            ("connections-established", self.up),
            ("connections-dropped", self.down),
            ("update-faults", self.faults),
        ];
        named.map(|(name, count)| (name.to_owned(), count as f64)).to_vec()
    }
}
