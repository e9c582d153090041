//! Failure detection: the SWIM state machine of foca with its timers on a virtual clock. Must not know claims or keys.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{
    Foca, NoCustomBroadcast, Notification, OwnedNotification, PeriodicParams, PostcardCodec,
    Runtime, Timer,
};
use rand::rngs::ChaCha12Rng;

use super::MembershipConfig;
use super::identity::Identity;
use super::seal::MAX_PLAINTEXT;

/// Bytes that the message around foca's data takes.
const ENVELOPE: usize = 4;
/// Number of random members that receive news at once, and that are asked to probe on our behalf.
const FANOUT: NonZeroUsize = NonZeroUsize::new(3).expect("not zero");
/// Number of times that one piece of news is repeated; 10 reach every member in clusters of a thousand.
const REPEATS: NonZeroU8 = NonZeroU8::new(10).expect("not zero");
/// Time for which a generation that ended is remembered, so that late gossip does not revive it.
const REMEMBER_DOWN: Duration = Duration::from_secs(600);

pub(super) struct Swim {
    foca: Foca<Identity, PostcardCodec, ChaCha12Rng, NoCustomBroadcast>,
    /// Timers by deadline, then in the order in which they were set.
    timers: BTreeMap<(u64, u64), Timer<Identity>>,
    set: u64,
}

/// The results of one call to foca.
#[derive(Default)]
pub(super) struct SwimOutput {
    pub sends: Vec<(SocketAddr, Vec<u8>)>,
    pub notices: Vec<OwnedNotification<Identity>>,
    pub refused: bool,
    timers: Vec<(Duration, Timer<Identity>)>,
}

impl Runtime<Identity> for SwimOutput {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.notices.push(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to.address, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((after, event));
    }
}

impl Swim {
    pub fn new(config: &MembershipConfig, me: Identity, rng: ChaCha12Rng) -> Self {
        let foca = Foca::new(me, foca_config(config), rng, PostcardCodec);
        Self { foca, timers: BTreeMap::new(), set: 0 }
    }

    pub fn me(&self) -> &Identity {
        self.foca.identity()
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    pub fn handle_data(&mut self, now_us: u64, data: &[u8]) -> SwimOutput {
        self.turn(now_us, |foca, turn| foca.handle_data(data, turn))
    }

    /// Runs the timer that is due first, if any is due.
    pub fn handle_timeout(&mut self, now_us: u64) -> Option<SwimOutput> {
        let entry = self.timers.first_entry()?;
        if entry.key().0 > now_us {
            return None;
        }
        let timer = entry.remove();
        Some(self.turn(now_us, |foca, turn| foca.handle_timer(timer, turn)))
    }

    /// Asks a peer to be let in. The peer accepts the request in any generation, because foca compares only names in an
    /// announcement.
    pub fn announce(&mut self, now_us: u64, peer: &str, address: SocketAddr) -> SwimOutput {
        let peer = Identity::new(peer, address, 0);
        self.turn(now_us, |foca, turn| foca.announce(peer, turn))
    }

    /// Sends news to a few members now instead of with the next probe.
    pub fn spread(&mut self, now_us: u64) -> SwimOutput {
        self.turn(now_us, |foca, turn| foca.gossip(turn))
    }

    pub fn leave(&mut self, now_us: u64) -> SwimOutput {
        let turn = self.turn(now_us, |foca, turn| foca.leave_cluster(turn));
        self.timers.clear();
        turn
    }

    fn turn(
        &mut self,
        now_us: u64,
        call: impl FnOnce(
            &mut Foca<Identity, PostcardCodec, ChaCha12Rng, NoCustomBroadcast>,
            &mut SwimOutput,
        ) -> Result<(), foca::Error>,
    ) -> SwimOutput {
        let mut turn = SwimOutput::default();
        turn.refused = call(&mut self.foca, &mut turn).is_err();
        for (after, timer) in turn.timers.drain(..) {
            self.set += 1;
            self.timers.insert((now_us.saturating_add(micros(after)), self.set), timer);
        }
        turn
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn foca_config(config: &MembershipConfig) -> foca::Config {
    let period = config.probe_interval_us.max(2);
    let every = |frequency| Some(PeriodicParams { frequency, num_members: FANOUT });
    foca::Config {
        probe_period: Duration::from_micros(period),
        probe_rtt: Duration::from_micros(config.probe_rtt_us.clamp(1, period - 1)),
        num_indirect_probes: FANOUT,
        max_transmissions: REPEATS,
        suspect_to_down_after: Duration::from_micros(config.suspect_us.max(1)),
        remove_down_after: Some(REMEMBER_DOWN),
        max_packet_size: NonZeroUsize::new(MAX_PLAINTEXT - ENVELOPE).expect("far above zero"),
        notify_down_members: true,
        periodic_announce: every(Duration::from_secs(30)),
        // Configured peers are announced to anyway, whether dead or alive.
        periodic_announce_to_down_members: None,
        periodic_gossip: every(Duration::from_micros(period)),
    }
}
