//! BFD for a neighbour's BGP session: started with the first session, kept across later BGP sessions, and acted on
//! while one is Established (RFC 5882 section 4.3). BFD itself is implemented in `bfd`.
use std::num::NonZeroU32;

use outrigger_sdk::log::Level;
use outrigger_sdk::{CloseReason, Closed, Datagram, Effect, Endpoint, Report};
use serde::{Deserialize, Serialize};

use crate::bfd::{BfdMode, Change, Numbers, Session, Settings};
use crate::call_context::CallContext;
use crate::config::{Bfd, TtlPolicy};
use crate::connection::Connection;
use crate::error_text::no_socket;
use crate::neighbour::Neighbour;
use crate::settings::{PeerLocation, PeerSettings};

/// Pause before sockets that could not be opened are requested again.
const PATIENCE_US: u64 = 10_000_000;

/// A BFD session, and the last report about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Liveness {
    pub(crate) session: Session,
    retry_us: Option<u64>,
    /// True if the session has had an event since it was last examined.
    touched: bool,
    told: String,
}

impl Liveness {
    /// Forgets the last report, so that it is sent again.
    pub(crate) fn say_again(&mut self) {
        self.told.clear();
        self.touched = true;
    }
}

impl Neighbour {
    /// Starts BFD with an Established session, or adapts the existing BFD session to it.
    pub(crate) fn watch(&mut self, turn: &mut CallContext<'_>) {
        let wanted = self.terms.manner.bfd;
        let (Some(bfd), Some(connection)) = (wanted, self.session()) else {
            return self.unwatch_unwanted(turn.effects);
        };
        let settings = settings(bfd, &self.terms, connection, turn);
        if let Some(liveness) = &mut self.liveness
            && liveness.session.is_between(&settings)
        {
            liveness.touched = true;
            liveness.session.configure(settings, turn.effects);
            return;
        }
        // Between other endpoints it is a different session with sockets of its own, because the host still holds the
        // numbers of the old ones.
        self.unwatch(turn.effects);
        let mut number = || turn.numbers.take();
        let numbers =
            Numbers { transmit: number(), receive: number(), beacon: number(), expect: number() };
        // Seeds differ between instances, and so do the discriminators drawn from them.
        let discriminator = turn.random.next() as u32;
        let discriminator = NonZeroU32::new(discriminator).unwrap_or(NonZeroU32::MIN);
        let session = Session::open(settings, numbers, discriminator, turn.effects);
        self.liveness =
            Some(Liveness { session, retry_us: None, touched: true, told: String::new() });
    }

    fn unwatch_unwanted(&mut self, effects: &mut Vec<Effect>) {
        if self.terms.manner.bfd.is_none() {
            self.unwatch(effects);
        }
    }

    /// Ends BFD in a way that the peer does not take for a failure.
    pub(crate) fn unwatch(&mut self, effects: &mut Vec<Effect>) {
        if let Some(liveness) = self.liveness.take() {
            liveness.session.close(effects);
        }
    }

    pub(crate) fn watches(&self, number: Endpoint) -> bool {
        self.liveness.as_ref().is_some_and(|one| one.session.numbers().contains(number))
    }

    /// Handles a received control packet.
    pub(crate) fn datagram(&mut self, datagram: &Datagram, turn: &mut CallContext<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        liveness.touched = true;
        let change = liveness.session.received(datagram, turn.effects).unwrap_or_default();
        self.follow(change, turn);
    }

    /// Handles the expiry of the Detection Time.
    pub(crate) fn unheard(&mut self, turn: &mut CallContext<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        liveness.touched = true;
        let change = liveness.session.expired(turn.effects);
        self.follow(change, turn);
    }

    /// Handles a beacon that the host ended by itself.
    pub(crate) fn unaided(&mut self, number: Endpoint, turn: &mut CallContext<'_>) {
        if let Some(liveness) = &mut self.liveness {
            liveness.session.ended(number, turn.effects);
        }
    }

    /// Requests the beacon and the Detection Time again, of which the host refused one.
    pub(crate) fn offload_liveness_again(&mut self, turn: &mut CallContext<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        let Numbers { beacon, expect, .. } = liveness.session.numbers();
        for number in [beacon, expect] {
            liveness.session.ended(number, turn.effects);
        }
    }

    /// Handles a socket that closed or could not be opened.
    pub(crate) fn socketless(&mut self, closed: &Closed, turn: &mut CallContext<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        // A socket that this instance closed, to reopen it under its number or because the other one was lost: no news.
        if closed.reason == CloseReason::Local {
            return;
        }
        liveness.touched = true;
        let words = no_socket(&closed.reason);
        let change = liveness.session.closed(closed.id, &words, turn.effects);
        liveness.retry_us = Some(turn.now_us + PATIENCE_US);
        self.follow(change, turn);
    }

    fn follow(&mut self, change: Option<Change>, turn: &mut CallContext<'_>) {
        match change {
            Some(Change::Down(reason)) if reason.is_failure() => {
                self.path_down(&reason.to_string(), turn);
            }
            Some(Change::Down(reason)) => {
                turn.say(Level::Warn, &format!("neighbor {} BFD down: {reason}", self.called()));
            }
            Some(Change::Up) => {
                turn.say(Level::Info, &format!("neighbor {} BFD up", self.called()));
            }
            None => {}
        }
    }

    /// Requests the sockets again if that is due, and reports changes.
    pub(crate) fn tick_liveness(&mut self, turn: &mut CallContext<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        if liveness.retry_us.is_some_and(|due_us| due_us <= turn.now_us) {
            (liveness.retry_us, liveness.touched) = (None, true);
            liveness.session.reopen(turn.effects);
        }
        if !std::mem::take(&mut liveness.touched) {
            return;
        }
        let report = liveness.session.report(&self.name);
        // Timers follow the state; the peer's other values are reported with the next change.
        let told = format!("{} {}", report.state, report.last_error);
        if liveness.told != told {
            liveness.told = told;
            turn.effects.push(Effect::Report(Report::Peer(report)));
        }
    }

    pub(crate) fn liveness_due_us(&self) -> Option<u64> {
        self.liveness.as_ref().and_then(|liveness| liveness.retry_us)
    }
}

/// Returns the BFD settings for a session between the ends of this connection.
fn settings(
    bfd: Bfd,
    terms: &PeerSettings,
    connection: &Connection,
    turn: &CallContext<'_>,
) -> Settings {
    let several = BfdMode::Multihop { minimum_ttl: bfd.minimum_ttl };
    let reach = match terms.reach {
        TtlPolicy::Multihop(_) | TtlPolicy::Secured(2..) => several,
        // An internal peer may be anywhere: on one of our links it is one hop away, as in FRR.
        TtlPolicy::Default
            if !terms.is_external() && !turn.links.is_near(connection.remote.ip()) =>
        {
            several
        }
        TtlPolicy::Default | TtlPolicy::Secured(_) => BfdMode::SingleHop,
    };
    let link = match &terms.place {
        PeerLocation::Interface(link) => Some(link.clone()),
        PeerLocation::Address(_, zone) if !zone.is_empty() => Some(zone.clone()),
        _ => None,
    };
    // The BFD session is the same whatever port this BGP connection comes from.
    let mut peer = connection.remote;
    peer.set_port(0);
    Settings {
        peer,
        source: Some(connection.local.ip()),
        device: terms.vrf.clone().or(link),
        reach,
        transmit_us: bfd.transmit_us,
        receive_us: bfd.receive_us,
        multiplier: bfd.multiplier,
        passive: bfd.passive,
    }
}
