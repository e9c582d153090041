//! Takeover by another instance, or a configuration change: open endpoints are kept as far as they still fit.
use outrigger_sdk::{CloseReason, PeerHealth, PeerReport, Report, Resumed};

use super::*;

impl State {
    /// Takes over the endpoints that are still open. The full lists arrive again; until then no route is advertised or
    /// withdrawn.
    pub(super) fn resumed(
        &mut self,
        resumed: Resumed,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.links.forget();
        self.routes.forget();
        self.stopping = None;
        let open: BTreeMap<Endpoint, &Opened> =
            resumed.open.iter().map(|one| (one.opened.id, &one.opened)).collect();
        let ids: Vec<Endpoint> = open.keys().copied().collect();
        self.numbers.skip(ids.iter().chain(&resumed.offloads).copied());
        self.listeners.resumed(&ids);
        self.shown.resumed(&resumed.offloads);
        self.turn(settings, now_us, effects, |neighbours, turn| {
            for neighbour in neighbours.values_mut() {
                neighbour.reunite(&open, &resumed, turn);
            }
        });
        // Endpoints that a previous instance opened after our snapshot was taken are closed.
        let known = |id: &Endpoint| {
            self.listeners.entry(*id).is_some()
                || self.shown.owns(*id)
                || self.neighbours.values().any(|one| one.owns(*id))
        };
        let in_force =
            resumed.open.iter().map(|one| one.opened.id).chain(resumed.offloads.iter().copied());
        let strange: Vec<Endpoint> = in_force.filter(|id| !known(id)).collect();
        effects.extend(strange.into_iter().map(Effect::Close));
        self.reconcile(settings, now_us, effects);
    }

    /// Makes the set of neighbours match the configuration.
    pub(super) fn reconcile(
        &mut self,
        settings: &Settings,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.reconciled = true;
        let names: Vec<String> = self.neighbours.keys().cloned().collect();
        for name in names {
            let wanted = self.wanted(&name, settings);
            let gone = wanted.is_none();
            self.with(Some(name.clone()), settings, now_us, effects, |neighbour, turn| {
                let Some(neighbour) = neighbour else { return };
                match wanted {
                    Some(terms) => neighbour.under(terms, turn),
                    None => {
                        let notification = Notification::new(ErrorCode::PEER_DECONFIGURED);
                        neighbour.halt(&notification, "no longer configured", turn);
                    }
                }
            });
            if gone {
                self.neighbours.remove(&name);
                effects.push(not_here(&name, "no longer configured on this node"));
            }
        }
        for (name, terms) in &settings.peers {
            match terms {
                Ok(terms) if matches!(terms.place, PeerLocation::Prefix(_)) => {}
                Ok(terms) => {
                    self.neighbours.entry(name.clone()).or_insert_with(|| {
                        Neighbour::new(name.clone(), name.clone(), terms.clone(), now_us)
                    });
                }
                Err(why) => effects.push(not_here(name, why)),
            }
        }
    }

    /// Returns the terms that a neighbour must have, or `None` if it must not exist any more.
    fn wanted(&self, name: &str, settings: &Settings) -> Option<PeerSettings> {
        let neighbour = self.neighbours.get(name)?;
        let terms = settings.peers.get(&neighbour.entry)?.as_ref().ok()?;
        match (&terms.place, &neighbour.terms.place) {
            (PeerLocation::Prefix(prefix), PeerLocation::Address(address, _)) => prefix
                .contains(address)
                .then(|| PeerSettings { place: neighbour.terms.place.clone(), ..terms.clone() }),
            _ => (name == neighbour.entry).then(|| terms.clone()),
        }
    }
}

impl Neighbour {
    /// Keeps the connections that are still open, and requests again the offloads that the host no longer runs for them.
    fn reunite(
        &mut self,
        open: &BTreeMap<Endpoint, &Opened>,
        resumed: &Resumed,
        turn: &mut CallContext<'_>,
    ) {
        let offloads = &resumed.offloads;
        if let Some(liveness) = &mut self.liveness {
            liveness.session.resumed(resumed, turn.effects);
        }
        let lost = |id: Endpoint| !open.contains_key(&id);
        let connections: Vec<Endpoint> = self.connections.iter().map(|one| one.id).collect();
        for id in connections.into_iter().filter(|id| lost(*id)) {
            let why = "the connection was lost when the plugin was replaced".to_owned();
            self.closed(id, &CloseReason::Other(why), turn);
        }
        for connection in &mut self.connections {
            connection.credit = open.get(&connection.id).map_or(0, |opened| opened.credit);
            if !connection.offloads_wanted().iter().all(|offload| offloads.contains(offload)) {
                connection.offloads(&self.terms, turn);
            }
        }
        if let crate::neighbour::Dial::Calling(id) = self.dial
            && lost(id)
        {
            self.dial = crate::neighbour::Dial::At(turn.now_us);
        }
    }

    /// Continues under these terms: with the same session if they permit it, otherwise with a new one.
    fn under(&mut self, terms: PeerSettings, turn: &mut CallContext<'_>) {
        let same = self.terms.hold_under(&terms);
        self.terms = terms;
        self.out.all_changed();
        if self.terms.manner.shutdown {
            let error = ErrorCode::ADMINISTRATIVE_SHUTDOWN;
            let message = &self.terms.manner.shutdown_message;
            let notification = Notification::with_communication(error, message);
            return self.halt(&notification, "shut down by the configuration", turn);
        }
        if !same {
            let notification = Notification::new(ErrorCode::CONFIGURATION_CHANGE);
            self.halt(&notification, "its configuration changed", turn);
        }
        self.watch(turn);
        self.resume(turn);
    }
}

/// Reports a configured peer that has no session on this node.
fn not_here(name: &str, why: &str) -> Effect {
    Effect::Report(Report::Peer(PeerReport {
        peer: name.to_owned(),
        protocol: "bgp".to_owned(),
        health: PeerHealth::Down,
        state: "Idle".to_owned(),
        last_error: why.to_owned(),
        ..PeerReport::default()
    }))
}
