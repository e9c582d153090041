//! Messages that the host sends to peers on behalf of a plugin: withdrawals of routes and ends of sessions. Must not
//! know the reasons.
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use outrigger_core::guard::{Ended, Grant, Reason, Withdrawal};
use outrigger_sdk::{Denied, Event};

use super::{Inner, Mailbox};

impl Mailbox {
    /// Applies the grant of the owner. Peers that are no longer allowed have their routes withdrawn, then their
    /// sessions ended.
    pub fn allow(&self, grant: Grant, secrets: BTreeMap<String, String>) {
        let mut inner = self.lock();
        inner.secrets = secrets;
        let ended = inner.guard.allow(grant);
        self.end(&mut inner, ended);
    }

    /// Withdraws routes that are no longer desired and that the plugin has not withdrawn in time. Returns the time of
    /// the next check.
    pub fn withdraw_overdue(&self, now_us: u64) -> Option<u64> {
        let mut inner = self.lock();
        let (withdrawals, next) = inner.guard.overdue(now_us);
        self.withdraw(&mut inner, withdrawals);
        next
    }

    /// Withdraws all routes at once, because the instance ends.
    pub fn withdraw_all(&self, now_us: u64) {
        let mut inner = self.lock();
        let withdrawals = inner.guard.withdraw_now(now_us);
        self.withdraw(&mut inner, withdrawals);
    }

    /// Ends all sessions, because no plugin speaks for the instance any more: routes are withdrawn first, then the
    /// sessions end.
    pub fn end_sessions(&self) {
        let mut inner = self.lock();
        let ended = inner.guard.end_all();
        self.end(&mut inner, ended);
    }

    /// Ends the sessions that the guard lists. Guard and plugin are notified with `closed` and `ended`.
    fn end(&self, inner: &mut Inner, Ended { messages, close, hides }: Ended) {
        if hides {
            // These offloads belong to no address.
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
