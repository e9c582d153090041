//! The state machine of RFC 4271 section 8, with one method per input. Idle, Connect and Active are states of the
//! neighbour; OpenSent, OpenConfirm and Established are states of a connection, of which there may be two until a
//! collision is resolved (section 6.8).
use outrigger_sdk::log::Level;
use outrigger_sdk::wire::bgp::{
    Action, ErrorCode, Fault, Message, Notification, Open, RefreshKind, RouteRefresh, Update,
};
use outrigger_sdk::{CloseReason, Endpoint, Opened};

use crate::call_context::CallContext;
use crate::connection::{Connection, State};
use crate::neighbour::{Dial, Ending, Neighbour};
use crate::open;

impl Neighbour {
    /// Handles a new connection, dialled by us (`ours`) or by the peer.
    pub(crate) fn connected(&mut self, opened: Opened, ours: bool, turn: &mut CallContext<'_>) {
        if ours {
            self.dial = Dial::Off;
        }
        if self.halted || turn.now_us < self.penalty_until_us {
            return refuse(opened, ErrorCode::CONNECTION_REJECTED, turn);
        }
        if ours && self.session().is_some() {
            return turn.close(opened.id);
        }
        // Second connection from the same side: as far as we can tell, the peer has forgotten the first one.
        let earlier = self.connections.iter().position(|known| known.ours == ours);
        match earlier.map(|index| (index, self.connections[index].state)) {
            Some((index, State::OpenSent)) => {
                self.end(index, Ending::Quiet, "peer opened another connection", turn);
            }
            // Connection collision (RFC 4271 section 6.8).
            Some((index, _)) if self.connections.len() > 1 || !self.keeps_routes(index) => {
                return refuse(opened, ErrorCode::COLLISION, turn);
            }
            _ => {}
        }
        let restarted = turn.settings.restarting && !self.was_up;
        let connection = Connection::begin(opened, ours, &self.terms, restarted, turn);
        self.counts.opens_sent += 1;
        if self.connections.is_empty() {
            self.since_us = turn.now_us;
        }
        self.connections.push(connection);
    }

    /// Returns true if graceful restart was negotiated: a new connection is then the way to learn that the old one is
    /// dead (RFC 4724 section 4.2).
    fn keeps_routes(&self, index: usize) -> bool {
        self.connections[index].is_graceful().0
    }

    /// Handles a connection that closed or could not be established.
    pub(crate) fn closed(
        &mut self,
        id: Endpoint,
        reason: &CloseReason,
        turn: &mut CallContext<'_>,
    ) {
        if self.dial == Dial::Calling(id) {
            return self.call_failed(reason, turn);
        }
        let Some(index) = self.index(id) else { return };
        let state = self.connections[index].state;
        let why = match (reason, state) {
            (CloseReason::Remote | CloseReason::Reset, State::OpenSent) => {
                "peer closed the connection without a reply to the OPEN: check that the peer has this node as a neighbor"
                    .to_owned()
            }
            (CloseReason::Remote, _) => "peer closed the connection without a NOTIFICATION".to_owned(),
            (CloseReason::Reset, _) => "peer reset the connection".to_owned(),
            (CloseReason::TimedOut, _) => "peer no longer acknowledges data (TCP timeout)".to_owned(),
            (CloseReason::Denied(words), _) => format!("the host closed the connection: {words}"),
            (CloseReason::Unreachable(words), _) => format!("peer cannot be reached: {words}"),
            (CloseReason::Other(words), _) => format!("the connection failed: {words}"),
            (reason, _) => format!("the connection failed: {reason:?}"),
        };
        self.end(index, Ending::Gone, &why, turn);
    }

    /// Adds octets that may be written on a connection.
    pub(crate) fn credit(&mut self, id: Endpoint, octets: u32) {
        if let Some(index) = self.index(id) {
            let connection = &mut self.connections[index];
            connection.credit = connection.credit.saturating_add(octets);
            connection.stuck_since_us = None;
        }
    }

    /// Handles the expiry of the Hold Timer or of BFD's Detection Time.
    pub(crate) fn expired(&mut self, offload: Endpoint, turn: &mut CallContext<'_>) {
        if self.watches(offload) {
            return self.unheard(turn);
        }
        let of_hold = |connection: &Connection| connection.is_hold(offload);
        let Some(index) = self.connections.iter().position(of_hold) else { return };
        let connection = &self.connections[index];
        let why = match connection.state {
            State::OpenSent => "peer did not reply to the OPEN: hold timer expired".to_owned(),
            _ => format!("no message received for {} s: hold timer expired", connection.hold_s()),
        };
        let notification = Notification::new(ErrorCode::HOLD_TIMER_EXPIRED);
        self.end(index, Ending::Notify(notification), &why, turn);
    }

    /// Ends the Established session because BFD reports the path as down (RFC 5882 section 4.3).
    pub(crate) fn path_down(&mut self, diagnostic: &str, turn: &mut CallContext<'_>) {
        let established = |known: &Connection| known.state == State::Established;
        let Some(index) = self.connections.iter().position(established) else { return };
        let notification = Notification::new(ErrorCode::BFD_DOWN);
        self.end(index, Ending::Notify(notification), &format!("BFD Down: {diagnostic}"), turn);
    }

    /// Handles a received message.
    pub(crate) fn received(&mut self, id: Endpoint, data: Vec<u8>, turn: &mut CallContext<'_>) {
        let Some(index) = self.index(id) else { return };
        let connection = &self.connections[index];
        let (state, message) = (connection.state, connection.decode(&data));
        let message = match message {
            Ok(message) => message,
            Err(fault) => return self.fault(index, &data, &fault, turn),
        };
        self.counts.message(&message);
        match (state, message) {
            (_, Message::Notification(notification)) => self.notified(index, &notification, turn),
            (State::OpenSent, Message::Open(open)) => self.open(index, data, &open, turn),
            (State::OpenConfirm, Message::Keepalive) => self.establish(index, turn),
            (State::Established, Message::Keepalive) => {}
            (State::Established, Message::Update(update)) => self.update(index, *update, turn),
            (State::Established, Message::RouteRefresh(refresh)) => self.refresh(index, refresh),
            (state, message) => self.unexpected(index, state, &message, turn),
        }
    }

    /// Sends the NOTIFICATION for this fault and ends the session (RFC 4271 section 6).
    fn fault(&mut self, index: usize, data: &[u8], fault: &Fault, turn: &mut CallContext<'_>) {
        // A message type that is not allowed in this state is reported as such first, even if its body is malformed as well.
        let state = self.connections[index].state;
        let out_of_place = match (state, data.get(18)) {
            (State::OpenSent | State::OpenConfirm, Some(2)) => Some("UPDATE"),
            (State::OpenSent | State::OpenConfirm, Some(5)) => Some("ROUTE-REFRESH"),
            (State::OpenConfirm | State::Established, Some(1)) => Some("OPEN"),
            _ => None,
        };
        if let Some(name) = out_of_place.filter(|_| fault.notification.error.code != 1) {
            return self.out_of_place(index, state, name, turn);
        }
        let why = format!("{}; sent {}", fault.words, fault.notification.error);
        self.end(index, Ending::Notify(fault.notification.clone()), &why, turn);
    }

    fn notified(&mut self, index: usize, notification: &Notification, turn: &mut CallContext<'_>) {
        let why = format!("peer closed: {notification}");
        self.end(index, Ending::Quiet, &why, turn);
    }

    /// Ends the connection on a message that is not allowed in this state (RFC 6608).
    fn unexpected(
        &mut self,
        index: usize,
        state: State,
        message: &Message,
        turn: &mut CallContext<'_>,
    ) {
        let name = match message {
            Message::Open(_) => "OPEN",
            Message::Update(_) => "UPDATE",
            Message::Notification(_) => "NOTIFICATION",
            Message::Keepalive => "KEEPALIVE",
            Message::RouteRefresh(_) => "ROUTE-REFRESH",
        };
        self.out_of_place(index, state, name, turn);
    }

    fn out_of_place(&mut self, index: usize, state: State, name: &str, turn: &mut CallContext<'_>) {
        let error = match state {
            State::OpenSent => ErrorCode::UNEXPECTED_IN_OPEN_SENT,
            State::OpenConfirm => ErrorCode::UNEXPECTED_IN_OPEN_CONFIRM,
            State::Established => ErrorCode::UNEXPECTED_IN_ESTABLISHED,
        };
        let why = format!("peer sent {name} in {state}; sent {error}");
        self.end(index, Ending::Notify(Notification::new(error)), &why, turn);
    }

    /// Handles the peer's OPEN, the first message of a connection.
    fn open(&mut self, index: usize, data: Vec<u8>, theirs: &Open, turn: &mut CallContext<'_>) {
        let ours = self.connections[index].said().expect("an OPEN of ours is well-formed");
        if let Err(fault) = open::judge(&self.terms, &ours, theirs) {
            return self.fault(index, &data, &fault, turn);
        }
        let Some(index) = self.collide(index, (&ours, theirs), turn) else { return };
        self.connections[index].confirm(data, &self.terms, turn);
        self.since_us = turn.now_us;
    }

    /// Resolves a connection collision (RFC 4271 section 6.8): the connection made by the higher router ID stays, or
    /// the one made by the higher AS if both IDs are the same (RFC 6286 section 2.3). Returns the current index of the
    /// newly confirmed connection, or `None` if it was closed.
    fn collide(
        &mut self,
        index: usize,
        (ours, theirs): (&Open, &Open),
        turn: &mut CallContext<'_>,
    ) -> Option<usize> {
        let other = (0..self.connections.len())
            .find(|at| *at != index && self.connections[*at].state > State::OpenSent);
        let Some(other) = other else { return Some(index) };
        if self.connections[other].state == State::Established {
            if self.keeps_routes(other) {
                let why = "peer restarted and opened another connection";
                self.end(other, Ending::Quiet, why, turn);
                return Some(if other < index { index - 1 } else { index });
            }
            self.collided(index, "another connection is already Established", turn);
            return None;
        }
        let keep_ours = (ours.router_id, ours.asn) > (theirs.router_id, theirs.asn);
        let why = format!(
            "connection collision: the connection from {} stays, which has the higher router ID",
            if keep_ours { "this node" } else { "the peer" }
        );
        if self.connections[index].ours == keep_ours {
            self.collided(other, &why, turn);
            return Some(if other < index { index - 1 } else { index });
        }
        self.collided(index, &why, turn);
        None
    }

    /// Closes a connection that lost a collision. This is not an error, so the last error stays unchanged.
    fn collided(&mut self, index: usize, why: &str, turn: &mut CallContext<'_>) {
        let called = self.called();
        let connection = self.connections.remove(index);
        turn.say(Level::Debug, &format!("neighbor {called}: closed a connection: {why}"));
        self.counts.notifications_sent += 1;
        connection.notify(&Notification::new(ErrorCode::COLLISION), turn);
    }

    fn establish(&mut self, index: usize, turn: &mut CallContext<'_>) {
        self.hang_up(turn);
        let id = self.connections[index].id;
        while let Some(other) = self.connections.iter().position(|known| known.id != id) {
            self.collided(other, "another connection is already Established", turn);
        }
        let called = self.called();
        let connection = &mut self.connections[0];
        connection.state = State::Established;
        let Some(agreed) = connection.agreed() else { return };
        let (theirs, negotiated) = (agreed.theirs.clone(), agreed.negotiated.clone());
        let hops = turn.links.hops(
            connection.local,
            connection.remote,
            negotiated.ipv6_next_hop,
            &turn.settings.node_addresses,
        );
        let words = format!(
            "neighbor {called} Up: AS {}, router ID {}, hold time {} s",
            theirs.asn,
            theirs.router_id,
            connection.hold_s()
        );
        turn.say(Level::Info, &words);
        self.out.begin(&negotiated, hops);
        self.received.clear();
        self.counts.up += 1;
        self.was_up = true;
        self.since_us = turn.now_us;
        self.last_error.clear();
        self.last_try.clear();
        self.watch(turn);
    }

    /// Handles an UPDATE. No route is imported (RFC 8212): routes are only checked for faults, and counted if
    /// `maximumPrefixes` is set.
    fn update(&mut self, index: usize, update: Update, turn: &mut CallContext<'_>) {
        for fault in &update.faults {
            self.counts.faults += 1;
            let disabled = matches!(fault.action, Action::DisableFamily(_));
            let level = if disabled { Level::Warn } else { Level::Debug };
            turn.say(
                level,
                &format!("neighbor {} sent a malformed UPDATE: {fault}", self.called()),
            );
        }
        let Some(most) = self.terms.manner.maximum_prefixes else { return };
        for prefix in &update.withdrawn {
            self.received.remove(prefix);
        }
        self.received.extend(update.announced.into_iter().flat_map(|one| one.prefixes));
        if self.received.len() <= most as usize {
            return;
        }
        let family = update_family(&self.received);
        let why = format!(
            "peer announced {} prefixes, maximumPrefixes is {most}; sent {}",
            self.received.len(),
            ErrorCode::MAXIMUM_PREFIXES
        );
        // RFC 4486 section 4: address family and limit.
        let data = [&family[..], &most.to_be_bytes()].concat();
        let notification = Notification::with(ErrorCode::MAXIMUM_PREFIXES, data);
        self.end(index, Ending::Notify(notification), &why, turn);
    }

    /// Handles a ROUTE-REFRESH (RFC 2918 section 4, RFC 7313 section 4).
    fn refresh(&mut self, index: usize, refresh: RouteRefresh) {
        let Some(agreed) = self.connections[index].agreed() else { return };
        let negotiated = agreed.negotiated.clone();
        // Requests for a family that was not negotiated are ignored. So are the BoRR and EoRR markers, which concern
        // the peer's own routes.
        if refresh.kind == RefreshKind::Request && negotiated.carries(refresh.family) {
            self.out.refresh(refresh.family, negotiated.enhanced_route_refresh);
        }
    }

    fn index(&self, id: Endpoint) -> Option<usize> {
        self.connections.iter().position(|connection| connection.id == id)
    }
}

/// Returns the AFI and SAFI of the majority of these prefixes.
fn update_family(received: &std::collections::BTreeSet<outrigger_sdk::IpNet>) -> [u8; 3] {
    let v4 = received.iter().filter(|prefix| prefix.addr().is_ipv4()).count();
    if v4 * 2 >= received.len() { [0, 1, 1] } else { [0, 2, 1] }
}

/// Rejects an unwanted connection with a NOTIFICATION that carries the reason.
pub(crate) fn refuse(opened: Opened, error: ErrorCode, turn: &mut CallContext<'_>) {
    let message = Notification::new(error).encode();
    if message.len() <= opened.credit as usize {
        turn.write(opened.id, message);
    }
    turn.close(opened.id);
}
