//! Work after the events of a call: due timers, messages to send, reports, and the time of the next call.
use super::*;
use crate::address_status::StatusInputs;
use crate::adj_rib_out::Allowance;
use crate::policy::Policy;

/// Number of routes and addresses that one call examines. The rest follows immediately in the next call: a call has a
/// budget of 50 ms, and this amount takes about 10 ms on a busy machine.
const WORK: usize = 8_192;
/// Time after which a dynamic neighbour that has not reconnected is forgotten.
const FORGET_US: u64 = 600_000_000;

impl State {
    pub(super) fn settle(
        &mut self,
        settings: &Settings,
        now_us: u64,
        mut changed: Changed,
        before: Vec<Endpoint>,
        effects: &mut Vec<Effect>,
    ) -> Option<(u64, &'static str)> {
        let done = self.stopping.is_some_and(|stop| stop.stage == Stage::Done);
        // The index of a link-local peer's link is known only once the links are listed.
        if self.links.is_listed() && !done {
            let mut listeners = std::mem::take(&mut self.listeners);
            let mut shown = std::mem::take(&mut self.shown);
            self.turn(settings, now_us, effects, |neighbours, turn| {
                listeners.settle(settings, turn);
                shown.settle(settings, turn);
                neighbours.values_mut().for_each(|neighbour| neighbour.tick(turn));
            });
            (self.listeners, self.shown) = (listeners, shown);
        }
        self.forget_strangers(now_us, effects);
        self.note(settings, now_us, &mut changed);
        let mut work = WORK;
        // Unknown is not the same as empty: no route is advertised or withdrawn before the first full list is complete.
        self.stop(settings, now_us, &mut work, effects);
        if self.routes.is_listed() {
            self.flush(settings, now_us, &mut work, effects);
            if self.sessions() != before {
                self.standings.all_changed();
            }
            let scene = StatusInputs {
                neighbours: &self.neighbours,
                advertisements: &settings.advertisements,
                refused: &self.refused,
            };
            self.standings.settle(&mut self.routes, &scene, &mut work, effects);
        }
        for neighbour in self.neighbours.values_mut() {
            neighbour.summarize(now_us, &self.routes, effects);
        }
        self.due(now_us, work)
    }

    fn forget_strangers(&mut self, now_us: u64, effects: &mut Vec<Effect>) {
        self.neighbours.retain(|name, neighbour| {
            let keep = !is_passing(name, neighbour) || neighbour.since_us + FORGET_US > now_us;
            if !keep {
                neighbour.unwatch(effects);
            }
            keep
        });
    }

    /// Marks in every session the routes that must be examined again.
    fn note(&mut self, settings: &Settings, now_us: u64, changed: &mut Changed) {
        for (name, prefix) in self.refused.due(now_us) {
            if let Some(neighbour) = self.neighbours.get_mut(&name) {
                neighbour.out.look_again(prefix);
            }
        }
        self.standings.changed(std::mem::take(&mut changed.addresses));
        // With hundreds of peers, most calls carry a single KEEPALIVE.
        if changed.prefixes.is_empty() && !changed.listed && !changed.links {
            return;
        }
        for neighbour in self.neighbours.values_mut() {
            let Some(session) = neighbour.session() else { continue };
            let Some(agreed) = session.agreed() else { continue };
            let negotiated = agreed.negotiated.clone();
            let either = negotiated.ipv6_next_hop;
            let hops =
                self.links.hops(session.local, session.remote, either, &settings.node_addresses);
            if changed.listed || (self.links.is_listed() && hops != neighbour.out.hops) {
                neighbour.out.hops = hops;
                neighbour.out.all_changed();
            }
            neighbour.out.changed(&changed.prefixes, &negotiated);
        }
        if changed.listed {
            self.standings.all_changed();
        }
    }

    fn flush(
        &mut self,
        settings: &Settings,
        now_us: u64,
        work: &mut usize,
        effects: &mut Vec<Effect>,
    ) {
        let nothing = Routes::default();
        let stage = self.stopping.map(|stop| stop.stage);
        let routes = match stage {
            None | Some(Stage::LastChoice) => &self.routes,
            Some(Stage::Withdraw | Stage::Close) => &nothing,
            // The peers must keep the routes they know.
            Some(Stage::Pause | Stage::Done) => return,
        };
        let last_choice = stage == Some(Stage::LastChoice);
        for neighbour in self.neighbours.values_mut() {
            let Neighbour { connections, out, counts, entry, terms, .. } = neighbour;
            let session = connections.iter_mut().find(|one| one.is_established());
            let Some(session) = session else { continue };
            if out.is_quiet() {
                session.stuck_since_us = None;
                continue;
            }
            let Some(negotiated) = session.agreed().map(|agreed| agreed.negotiated.clone()) else {
                continue;
            };
            let who = (terms.local_asn, negotiated.is_internal());
            let offered = &settings.advertisements;
            let mut policy = Policy::new(routes, offered, entry, who, out.hops, last_choice);
            let mut allowance = Allowance { credit: &mut session.credit, work };
            let said = out.flush(routes, &mut policy, &negotiated, &mut allowance);
            // RFC 9687: from here on the peer is expected to read.
            let stuck = !out.is_quiet() && *work > 0;
            session.stuck_since_us = stuck.then(|| session.stuck_since_us.unwrap_or(now_us));
            for message in said.messages {
                counts.said(&message);
                let bytes = outrigger_sdk::StreamBytes { id: session.id, data: message };
                effects.push(Effect::Write(bytes));
            }
            for prefix in said.routes {
                self.standings.changed(self.routes.tasks_under(&prefix));
            }
        }
    }

    /// Advances through the shutdown stages as far as they are due.
    fn stop(
        &mut self,
        settings: &Settings,
        now_us: u64,
        work: &mut usize,
        effects: &mut Vec<Effect>,
    ) {
        loop {
            // The messages of a stage are sent before it is checked whether all of them have been sent.
            if self.stopping.is_some() && self.routes.is_listed() {
                self.flush(settings, now_us, work, effects);
            }
            let up = |one: &&Neighbour| one.session().is_some();
            let quiet = self.neighbours.values().filter(up).all(|one| one.out.is_quiet());
            let Some(next) = self.stopping.and_then(|stop| stop.next(quiet, now_us)) else {
                return;
            };
            let stage = self.stopping.map(|stop| stop.stage);
            self.stopping = Some(next);
            self.neighbours.values_mut().for_each(|one| one.out.all_changed());
            if !matches!(stage, Some(Stage::Close | Stage::Pause)) {
                continue;
            }
            let error = ErrorCode::ADMINISTRATIVE_SHUTDOWN;
            let pause = stage == Some(Stage::Pause);
            let mut listeners = std::mem::take(&mut self.listeners);
            let mut shown = std::mem::take(&mut self.shown);
            self.turn(settings, now_us, effects, |neighbours, turn| {
                listeners.close(turn);
                shown.close(turn);
                for neighbour in neighbours.values_mut() {
                    let message = &neighbour.terms.manner.shutdown_message;
                    let notification = Notification::with_communication(error, message);
                    if pause {
                        neighbour.pause(&notification, "the daemon of this node restarts", turn);
                    } else {
                        neighbour.halt(&notification, "this node stops announcing", turn);
                    }
                }
                turn.say(Level::Info, "all BGP sessions are closed");
            });
            effects.push(Effect::Drained);
        }
    }

    /// Returns when the next work is due, and the reason.
    fn due(&self, now_us: u64, work: usize) -> Option<(u64, &'static str)> {
        if work == 0 || (work < WORK && !self.standings.is_quiet()) {
            return Some((now_us, "send more routes"));
        }
        // No peer is dialled before the links are listed.
        let awake = self.links.is_listed();
        let neighbours = self.neighbours.values().filter(|_| awake).filter_map(Neighbour::due_us);
        let passing = self.neighbours.iter().filter(|(name, one)| is_passing(name, one));
        let forget = passing.map(|(_, one)| one.since_us + FORGET_US).min();
        let stop = self.stopping.map(|stop| stop.due_us).filter(|due_us| *due_us != u64::MAX);
        let listeners = self.listeners.due_us().filter(|_| awake);
        let others = [
            (stop, "stop"),
            (listeners, "listen"),
            (self.refused.due_us(), "retry"),
            (forget, "forget"),
        ];
        let others = others.into_iter().filter_map(|(due_us, reason)| Some((due_us?, reason)));
        neighbours.map(|due_us| (due_us, "neighbor")).chain(others).min()
    }
}

/// Returns true if this is a dynamic neighbour without a connection.
fn is_passing(name: &str, neighbour: &Neighbour) -> bool {
    name != neighbour.entry && neighbour.connections.is_empty()
}
