//! What the host tells peers in a plugin's stead: that a route is gone, and that a session ends. Knows nothing of why.
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use outrigger_core::guard::{Ended, Grant, Reason, Withdrawal};
use outrigger_sdk::{Denied, Event};

use super::{Desk, Inner};

impl Desk {
    /// Takes in the owner's grant. Peers that are not allowed any more lose what they were told, then their sessions.
    pub fn allow(&self, grant: Grant, secrets: BTreeMap<String, String>) {
        let mut inner = self.lock();
        inner.secrets = secrets;
        let ended = inner.guard.allow(grant);
        self.end(&mut inner, ended);
    }

    /// Withdraws what peers were told and that is no longer desired, when the plugin has not in time. When to come back.
    pub fn withdraw_overdue(&self, now_us: u64) -> Option<u64> {
        let mut inner = self.lock();
        let (withdrawals, next) = inner.guard.overdue(now_us);
        self.withdraw(&mut inner, withdrawals);
        next
    }

    /// The same for everything, at once: the instance ends.
    pub fn withdraw_all(&self, now_us: u64) {
        let mut inner = self.lock();
        let withdrawals = inner.guard.withdraw_now(now_us);
        self.withdraw(&mut inner, withdrawals);
    }

    /// Ends all sessions, since nobody speaks for the instance any more: its peers lose what they were told, then their sessions.
    pub fn end_sessions(&self) {
        let mut inner = self.lock();
        let ended = inner.guard.end_all();
        self.end(&mut inner, ended);
    }

    /// Ends what the guard says. Guard and plugin hear of it as `closed` and `ended`.
    fn end(&self, inner: &mut Inner, Ended { messages, close, hides }: Ended) {
        if hides {
            // They speak for no address.
            self.end_offloads(inner, Ipv6Addr::UNSPECIFIED.into());
            self.work.notify_one();
        }
        for (stream, message) in messages {
            // A stream that is gone has withdrawn everything.
            let _ = self.streams.write_on_behalf(self.owner, stream, &message);
        }
        for endpoint in close {
            self.streams.close(self.owner, endpoint);
        }
    }

    fn withdraw(&self, inner: &mut Inner, withdrawals: Vec<Withdrawal>) {
        for Withdrawal { stream, messages, prefixes } in withdrawals {
            for message in messages {
                // A stream that is gone has withdrawn everything.
                let _ = self.streams.write_on_behalf(self.owner, stream, &message);
            }
            for prefix in prefixes {
                inner.outbox.push(Event::Denied(Denied {
                    effect: "write".to_owned(),
                    subject: format!("{stream} {prefix}"),
                    reason: Reason::NotDesiredWithdrawn.name().to_owned(),
                }));
            }
            self.work.notify_one();
        }
    }
}
