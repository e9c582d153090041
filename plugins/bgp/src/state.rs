//! The complete mutable state, and the processing of one host call from its events to its effects. The details of each
//! part are in its own module.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::log::Level;
use outrigger_sdk::wire::bgp::{ErrorCode, Notification};
use outrigger_sdk::{Accepted, Context, Denied, Effect, Endpoint, Event, Opened, Pair};
use serde::{Deserialize, Serialize};

use crate::address_status::AddressStatuses;
use crate::call_context::{CallContext, Numbers};
use crate::fsm::refuse;
use crate::links::Links;
use crate::listeners::Listeners;
use crate::neighbour::Neighbour;
use crate::random::Random;
use crate::refusal::{self, Missing, Refusals};
use crate::router_advertisement::Shown;
use crate::routes::{Changed, Routes};
use crate::settings::{PeerLocation, PeerSettings, Settings};
use crate::stop::{Stage, Stop};

mod resume;
mod settle;

/// Maximum number of concurrent dynamic neighbours per prefix, because each costs memory before it has identified itself.
const MOST_DYNAMIC: usize = 1_000;

/// The complete mutable state of a speaker, which is also its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The configuration and the node data that the rest of the state was derived from.
    config: String,
    node: Vec<Pair>,
    links: Links,
    routes: Routes,
    pub(crate) neighbours: BTreeMap<String, Neighbour>,
    listeners: Listeners,
    shown: Shown,
    refused: Refusals,
    standings: AddressStatuses,
    numbers: Numbers,
    random: Random,
    stopping: Option<Stop>,
    /// True if the neighbours match the configuration.
    reconciled: bool,
}

impl State {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            config: context.config.clone(),
            node: context.ext.clone(),
            random: Random::new(&context.seed),
            ..Self::default()
        }
    }

    /// Continues under a possibly different configuration or node. Sessions are reviewed once the open endpoints are known.
    pub(crate) fn under(&mut self, context: &Context) {
        if (&self.config, &self.node) != (&context.config, &context.ext) {
            self.config.clone_from(&context.config);
            self.node.clone_from(&context.ext);
            self.routes.forget_classes();
            self.routes.forget();
        }
    }

    /// Processes one call. Returns when the next call is needed and for what reason.
    pub(crate) fn handle(
        &mut self,
        settings: &Settings,
        now_us: u64,
        events: Vec<Event>,
        effects: &mut Vec<Effect>,
    ) -> Option<(u64, &'static str)> {
        let mut changed = Changed::default();
        let before = self.sessions();
        if !self.reconciled {
            self.reconcile(settings, now_us, effects);
        }
        for event in events {
            self.apply(event, settings, now_us, &mut changed, effects);
        }
        self.settle(settings, now_us, changed, before, effects)
    }

    /// Returns the streams of all Established sessions, used to detect changes.
    fn sessions(&self) -> Vec<Endpoint> {
        self.neighbours.values().filter_map(|one| Some(one.session()?.id)).collect()
    }

    fn apply(
        &mut self,
        event: Event,
        settings: &Settings,
        now_us: u64,
        changed: &mut Changed,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::Resumed(resumed) => self.resumed(resumed, settings, now_us, effects),
            Event::LinksChanged(links) => {
                self.links.apply(links);
                changed.links = true;
            }
            Event::DesiredChanged(desired) => {
                self.routes.apply(desired, &settings.advertisements, changed);
            }
            Event::Accepted(accepted) => self.accepted(accepted, settings, now_us, effects),
            Event::Credit(id, octets) => {
                if let Some(name) = self.owner(id) {
                    self.neighbour(&name).credit(id, octets);
                }
            }
            Event::Denied(denied) => self.denied(&denied, settings, now_us, effects),
            Event::Stopping(stopping) => {
                self.stopping = Some(Stop::new(stopping, settings.graceful_shutdown_ms, now_us));
                self.neighbours.values_mut().for_each(|one| one.out.all_changed());
            }
            other => self.apply_to_neighbour(other, settings, now_us, effects),
        }
    }

    /// Passes an event about one stream, socket or offload to the neighbour that owns it.
    fn apply_to_neighbour(
        &mut self,
        event: Event,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::Opened(opened) => {
                let (id, known) = (opened.id, self.owner(opened.id));
                self.with(known, settings, now_us, effects, |neighbour, turn| match neighbour {
                    // A BFD socket, which was already in use from the moment it was requested.
                    Some(neighbour) if neighbour.watches(id) => {}
                    Some(neighbour) => neighbour.connected(opened, true, turn),
                    // The call was given up before the connection was established.
                    None => turn.close(id),
                });
            }
            Event::Data(bytes) => {
                let known = self.owner(bytes.id);
                self.with(known, settings, now_us, effects, |neighbour, turn| {
                    if let Some(neighbour) = neighbour {
                        neighbour.received(bytes.id, bytes.data, turn);
                    }
                });
            }
            Event::Closed(closed) => {
                let known = self.owner(closed.id);
                if known.is_none() {
                    return self.listener_closed(&closed, settings, now_us, effects);
                }
                self.with(known, settings, now_us, effects, |neighbour, turn| match neighbour {
                    Some(one) if one.watches(closed.id) => one.socketless(&closed, turn),
                    Some(one) => one.closed(closed.id, &closed.reason, turn),
                    None => {}
                });
            }
            Event::Expired(id) => {
                let known = self.owner(id);
                self.with(known, settings, now_us, effects, |neighbour, turn| {
                    if let Some(neighbour) = neighbour {
                        neighbour.expired(id, turn);
                    }
                });
            }
            Event::Datagram(datagram) => {
                let known = self.owner(datagram.socket);
                self.with(known, settings, now_us, effects, |neighbour, turn| {
                    if let Some(neighbour) = neighbour {
                        neighbour.datagram(&datagram, turn);
                    }
                });
            }
            Event::Ended(id) => {
                self.shown.ended(id);
                let known = self.owner(id);
                self.with(known, settings, now_us, effects, |neighbour, turn| {
                    // Offloads of a stream end with the stream; BFD's are requested again.
                    if let Some(neighbour) = neighbour.filter(|one| one.watches(id)) {
                        neighbour.unaided(id, turn);
                    }
                });
            }
            // All other events are irrelevant to BGP.
            _ => {}
        }
    }

    fn accepted(
        &mut self,
        accepted: Accepted,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Accepted { listener, opened } = accepted;
        let name = self.listeners.entry(listener).map(str::to_owned);
        let name = name.and_then(|entry| self.named(&entry, &opened, settings, now_us));
        self.with(name, settings, now_us, effects, |neighbour, turn| match neighbour {
            Some(neighbour) => neighbour.connected(opened, false, turn),
            None => refuse(opened, ErrorCode::CONNECTION_REJECTED, turn),
        });
    }

    /// Returns the name of the neighbour at the other end. For a prefix, creates a dynamic neighbour if there is none yet.
    fn named(
        &mut self,
        entry: &str,
        opened: &Opened,
        settings: &Settings,
        now_us: u64,
    ) -> Option<String> {
        let Some(Ok(terms)) = settings.peers.get(entry) else { return None };
        let PeerLocation::Prefix(prefix) = terms.place else {
            return self.neighbours.contains_key(entry).then(|| entry.to_owned());
        };
        let address = opened.remote.ip();
        let name = format!("{entry}/{address}");
        if self.neighbours.contains_key(&name) {
            return Some(name);
        }
        let siblings = self.neighbours.values().filter(|one| one.entry == entry).count();
        if !prefix.contains(&address) || siblings >= MOST_DYNAMIC {
            return None;
        }
        let terms =
            PeerSettings { place: PeerLocation::Address(address, String::new()), ..terms.clone() };
        let neighbour = Neighbour::new(name.clone(), entry.to_owned(), terms, now_us);
        self.neighbours.insert(name.clone(), neighbour);
        Some(name)
    }

    fn listener_closed(
        &mut self,
        closed: &outrigger_sdk::Closed,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        let mut listeners = std::mem::take(&mut self.listeners);
        let failed = self.turn(settings, now_us, effects, |_, turn| {
            listeners.closed(closed.id, &closed.reason, turn)
        });
        self.listeners = listeners;
        let Some((entry, why)) = failed else { return };
        for neighbour in self.neighbours.values_mut().filter(|one| one.entry == entry) {
            neighbour.last_error.clone_from(&why);
        }
    }

    /// Handles a route that the host cut out or withdrew, or an effect that it did not carry out. Other refusals arrive
    /// as the end of a stream.
    fn denied(
        &mut self,
        denied: &Denied,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(missing) = refusal::missing(denied) else { return };
        let known = match missing {
            Missing::Beacon(peer) => self.watcher(peer),
            Missing::Route(id, _) | Missing::Message(id) | Missing::Timer(id) => self.owner(id),
        };
        let Some(name) = known else { return };
        let reason = &denied.reason;
        match missing {
            Missing::Route(_, prefix) => {
                let neighbour = self.neighbour(&name);
                neighbour.out.not_told(&prefix);
                neighbour.doubt_after_many(now_us);
                self.refused.refused(name, prefix, reason.clone(), now_us);
                self.standings.changed(self.routes.tasks_under(&prefix));
            }
            Missing::Message(stream) => {
                self.with(Some(name), settings, now_us, effects, |neighbour, turn| {
                    neighbour.map(|one| one.not_written(stream, reason, turn))
                });
                self.standings.all_changed();
            }
            Missing::Timer(_) | Missing::Beacon(_) => {
                self.neighbour(&name).not_offloaded(reason, now_us);
            }
        }
    }

    /// Returns the name of the neighbour that has a BFD session with this peer.
    fn watcher(&self, peer: IpAddr) -> Option<String> {
        let watches = |one: &&Neighbour| {
            one.liveness.as_ref().is_some_and(|liveness| liveness.session.peer() == peer)
        };
        self.neighbours.values().find(watches).map(|one| one.name.clone())
    }

    fn owner(&self, number: u32) -> Option<String> {
        let owner = self.neighbours.values().find(|neighbour| neighbour.owns(number));
        owner.map(|neighbour| neighbour.name.clone())
    }

    fn neighbour(&mut self, name: &str) -> &mut Neighbour {
        self.neighbours.get_mut(name).expect("the name was looked up in this call")
    }

    /// Runs `act` on a neighbour, with the context of this call.
    fn with<R>(
        &mut self,
        name: Option<String>,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(Option<&mut Neighbour>, &mut CallContext<'_>) -> R,
    ) -> R {
        self.turn(settings, now_us, effects, |neighbours, turn| {
            act(name.and_then(|name| neighbours.get_mut(&name)), turn)
        })
    }

    fn turn<R>(
        &mut self,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut BTreeMap<String, Neighbour>, &mut CallContext<'_>) -> R,
    ) -> R {
        let mut turn = CallContext {
            now_us,
            settings,
            links: &self.links,
            numbers: &mut self.numbers,
            random: &mut self.random,
            effects,
        };
        act(&mut self.neighbours, &mut turn)
    }
}
