//! Effects that a plugin requests: judged by the guard, reviewed while the plugin is on trial, then carried out.
use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::guard::{Granted, Reason, Refusal};
use outrigger_net::{Keys, now};
use outrigger_runtime::Delivered;
use outrigger_sdk::{CloseReason, Closed, Denied, Effect, Endpoint, Report};

use super::endpoints::opens;
use super::{Ports, Worker};
use crate::mailbox::Inner;
use crate::trial::{self, Trial};

/// Shortest delay of a wake event, in microseconds, so that a plugin that asks for zero each time does not spin.
const SHORTEST_WAKE_US: u64 = 1_000;

/// Keys that sign connections, by the endpoint that a reply opens.
pub(super) type KeysOf = BTreeMap<Endpoint, Keys>;

impl Worker {
    pub(super) fn carry_out(&mut self, delivered: Delivered) {
        let now = now().monotonic_us;
        self.wake = delivered.wake.map(|(at, reason)| (at.max(now + SHORTEST_WAKE_US), reason));
        for incident in &delivered.incidents {
            self.say(incident);
        }
        if let Some(trial) = &mut self.trial {
            trial.incidents(&delivered.incidents);
        }
        match self.trial {
            None => self.carry_out_each(now, delivered.effects),
            Some(_) if self.has_failed() || delivered.effects.is_empty() => {}
            Some(_) => self.carry_out_whole(now, delivered.effects),
        }
        if let Some((digest, verdict)) = self.trial.as_ref().and_then(Trial::failed) {
            self.failed(digest, verdict.clone());
        }
        self.publish();
    }

    /// Carries out effects one at a time, so that the streams' thread waits for the mailbox no longer than one of them
    /// takes.
    fn carry_out_each(&mut self, now: u64, effects: Vec<Effect>) {
        let mailbox = self.mailbox.clone();
        for effect in effects {
            let keys = self.keys_of(std::slice::from_ref(&effect));
            let mut inner = mailbox.lock();
            let granted = self.judge(&mut inner, now, effect);
            self.act_all(&mut inner, granted, &keys);
        }
    }

    /// Carries out the reply of a candidate, which is judged completely before any effect happens.
    fn carry_out_whole(&mut self, now: u64, effects: Vec<Effect>) {
        let keys = self.keys_of(&effects);
        let opens_or_tells =
            |effect: &Effect| opens(effect).is_some() || matches!(effect, Effect::Write(_));
        let mailbox = self.mailbox.clone();
        let mut inner = mailbox.lock();
        let known = effects.iter().any(opens_or_tells).then(|| inner.guard.endpoints().clone());
        let offloads = inner.guard.offloads().clone();
        let mut granted = Vec::new();
        for effect in effects {
            granted.extend(self.judge(&mut inner, now, effect));
        }
        if let Some(trial) = &mut self.trial {
            // An offload that ended without the plugin's doing must not count as withdrawn by it.
            let in_force: BTreeSet<_> =
                self.ports.responder.offloads(self.owner).into_iter().collect();
            self.answers.retain(|id, _| in_force.contains(id));
            granted = trial.review(granted, &self.answers, &inner.guard);
            if trial.failed().is_some() {
                inner.guard.undo_offloads(offloads);
                known.into_iter().for_each(|known| inner.guard.undo(known));
            }
        }
        self.act_all(&mut inner, granted, &keys);
    }

    /// Looks keys up without the mailbox's lock, because the streams' thread waits for that lock.
    fn keys_of(&self, effects: &[Effect]) -> KeysOf {
        effects.iter().filter_map(|effect| Some((opens(effect)?, self.keys(effect)))).collect()
    }

    fn judge(&self, inner: &mut Inner, now: u64, effect: Effect) -> Vec<Granted> {
        let opens = opens(&effect);
        inner.guard.check(now, effect).unwrap_or_else(|refusal| {
            self.refused(inner, opens, &refusal);
            Vec::new()
        })
    }

    fn refused(&self, inner: &mut Inner, opens: Option<Endpoint>, refusal: &Refusal) {
        tracing::debug!("{refusal}");
        match opens {
            Some(id) if !matches!(refusal.reason, Reason::NumberInUse | Reason::NumberReserved) => {
                let reason = CloseReason::Denied(refusal.reason.name().to_owned());
                inner.not_opened(Closed { id, reason });
            }
            _ => inner.deny(refusal.to_event()),
        }
    }

    pub(super) fn act_all(&mut self, inner: &mut Inner, granted: Vec<Granted>, keys: &KeysOf) {
        for granted in granted {
            trial::account(&mut self.answers, &granted);
            self.act(inner, granted, keys);
        }
    }

    /// Carries out one effect that the guard has granted.
    fn act(&self, inner: &mut Inner, granted: Granted, keys: &KeysOf) {
        let Ports { responder, groups, .. } = &self.ports;
        match granted {
            Granted::Watch(link, topic) => {
                let watched = responder.watch(self.owner, link, topic);
                failed(inner, "watch-frames", topic.address(), watched);
            }
            Granted::Unwatch(link, topic) => responder.unwatch(self.owner, link, topic),
            Granted::Send(frame) => failed(inner, "send-frame", frame.link, responder.send(&frame)),
            Granted::Join(link, group) => {
                failed(inner, "join-group", group, groups.join(self.owner, link, group))
            }
            Granted::Leave(link, group) => groups.leave(self.owner, link, group),
            Granted::Answer { id, link, address } => {
                let set = responder.answer(self.owner, id, link, address);
                inner.offloaded(id, &set);
                failed(inner, "offload", address, set);
            }
            Granted::Beacon { id, address, beacon } => {
                let set = responder.beacon(self.owner, id, address, beacon);
                inner.offloaded(id, &set);
                failed(inner, "offload", address, set);
            }
            Granted::Close(id) => {
                let _ = responder.close(self.owner, id) || self.ports.streams.close(self.owner, id);
            }
            Granted::Abort(id) => {
                let _ = responder.close(self.owner, id) || self.ports.streams.abort(self.owner, id);
            }
            Granted::Connect(_)
            | Granted::Listen(_)
            | Granted::OpenSocket(_)
            | Granted::Write(_)
            | Granted::Hold(..)
            | Granted::Datagram(_)
            | Granted::Work { .. } => self.act_on_endpoint(inner, granted, keys),
            Granted::Refused(refusal) => inner.deny(refusal.to_event()),
            Granted::Report(Report::Address(report)) => inner.report(report),
            Granted::Report(report) => {
                if let Err(reason) = inner.guard.keep(report, now()) {
                    inner.refuse("report", String::new(), reason);
                }
            }
            Granted::Drained => inner.standing.drained = true,
        }
    }
}

/// Reports an effect that was granted but failed to the plugin, in the same way as a refused one.
pub(super) fn failed<E: std::fmt::Display>(
    inner: &mut Inner,
    effect: &str,
    subject: impl ToString,
    done: Result<(), E>,
) {
    if let Err(error) = done {
        inner.deny(Denied {
            effect: effect.to_owned(),
            subject: subject.to_string(),
            reason: error.to_string(),
        });
    }
}
