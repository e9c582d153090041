//! BFD beside a neighbour's BGP: begun with its first session, kept through the ups and downs of BGP, heeded while one is
//! Established (RFC 5882 section 4.3). How BFD itself works is `bfd`'s.
use std::num::NonZeroU32;

use outrigger_sdk::log::Level;
use outrigger_sdk::{CloseReason, Closed, Datagram, Effect, Endpoint, Report};
use serde::{Deserialize, Serialize};

use crate::bfd::{Change, Numbers, Reach as Hops, Session, Settings};
use crate::config::{Bfd, Reach};
use crate::connection::Connection;
use crate::neighbour::Neighbour;
use crate::settings::{Place, Terms};
use crate::turn::Turn;
use crate::words::no_socket;

/// Until sockets that could not be had are asked for again.
const PATIENCE_US: u64 = 10_000_000;

/// A BFD session, and what was last reported of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Liveness {
    pub(crate) session: Session,
    retry_us: Option<u64>,
    /// Something happened to it since it was last looked at.
    touched: bool,
    told: String,
}

impl Liveness {
    /// What was reported is reported once more.
    pub(crate) fn say_again(&mut self) {
        self.told.clear();
        self.touched = true;
    }
}

impl Neighbour {
    /// Begins BFD with a session, or sees to it that it fits this one.
    pub(crate) fn watch(&mut self, turn: &mut Turn<'_>) {
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
        // Between other ends it is another session, with sockets of its own: the host still has the old ones' numbers.
        self.unwatch(turn.effects);
        let mut number = || turn.numbers.take();
        let numbers =
            Numbers { transmit: number(), receive: number(), beacon: number(), expect: number() };
        // Numbers are handed out once on this node, and seeds differ between instances.
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

    /// A control packet.
    pub(crate) fn datagram(&mut self, datagram: &Datagram, turn: &mut Turn<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        liveness.touched = true;
        let change = liveness.session.received(datagram, turn.effects).unwrap_or_default();
        self.follow(change, turn);
    }

    /// The detection time ran out.
    pub(crate) fn unheard(&mut self, turn: &mut Turn<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        liveness.touched = true;
        let change = liveness.session.expired(turn.effects);
        self.follow(change, turn);
    }

    /// The host ended a beacon by itself.
    pub(crate) fn unaided(&mut self, number: Endpoint, turn: &mut Turn<'_>) {
        if let Some(liveness) = &mut self.liveness {
            liveness.session.ended(number, turn.effects);
        }
    }

    /// Asks again for the beacon and the detection time, of which the host refused one.
    pub(crate) fn offload_liveness_again(&mut self, turn: &mut Turn<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        let Numbers { beacon, expect, .. } = liveness.session.numbers();
        for number in [beacon, expect] {
            liveness.session.ended(number, turn.effects);
        }
    }

    /// A socket is gone, or could not be had.
    pub(crate) fn socketless(&mut self, closed: &Closed, turn: &mut Turn<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        // One that was closed here, to be opened anew under its number or because the other was lost: no news.
        if closed.reason == CloseReason::Local {
            return;
        }
        liveness.touched = true;
        let words = no_socket(&closed.reason);
        let change = liveness.session.closed(closed.id, &words, turn.effects);
        liveness.retry_us = Some(turn.now_us + PATIENCE_US);
        self.follow(change, turn);
    }

    fn follow(&mut self, change: Option<Change>, turn: &mut Turn<'_>) {
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

    /// Asks again for sockets, and reports what has changed.
    pub(crate) fn tick_liveness(&mut self, turn: &mut Turn<'_>) {
        let Some(liveness) = &mut self.liveness else { return };
        if liveness.retry_us.is_some_and(|due_us| due_us <= turn.now_us) {
            (liveness.retry_us, liveness.touched) = (None, true);
            liveness.session.reopen(turn.effects);
        }
        if !std::mem::take(&mut liveness.touched) {
            return;
        }
        let report = liveness.session.report(&self.name);
        // Timers follow the state; what the peer says besides is told with the next change.
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

/// BFD between the ends of this connection.
fn settings(bfd: Bfd, terms: &Terms, connection: &Connection, turn: &Turn<'_>) -> Settings {
    let several = Hops::Multihop { minimum_ttl: bfd.minimum_ttl };
    let reach = match terms.reach {
        Reach::Multihop(_) | Reach::Secured(2..) => several,
        // An internal peer may be anywhere: on one of our links it is one hop away, as FRR has it too.
        Reach::Default if !terms.is_external() && !turn.links.is_near(connection.remote.ip()) => {
            several
        }
        Reach::Default | Reach::Secured(_) => Hops::SingleHop,
    };
    let link = match &terms.place {
        Place::Interface(link) => Some(link.clone()),
        Place::Address(_, zone) if !zone.is_empty() => Some(zone.clone()),
        _ => None,
    };
    // Whatever port this connection of BGP comes from, BFD is the same.
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
