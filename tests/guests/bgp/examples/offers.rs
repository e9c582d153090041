//! Offers in its first OPENs what the host cannot read or what would keep routes for long, and a correct one afterwards.
#![forbid(unsafe_code)]
use bgp_guest::{Fault, Guest};
use outrigger_sdk::wire::bgp::{
    self, Capability, Family, GracefulRestart, Message, Negotiated, Open,
};
use outrigger_sdk::{Effect, Event};

#[derive(Default)]
struct Offers {
    /// Number of OPENs so far.
    said: usize,
}

impl Fault for Offers {
    fn strike(&mut self, _age_us: u64, _events: &[Event]) -> Vec<Effect> {
        Vec::new()
    }

    fn rewrite(&mut self, effects: &mut [Effect]) {
        for effect in effects {
            let Effect::Write(bytes) = effect else { continue };
            let decoded = bgp::decode(&bytes.data, &Negotiated::default());
            let Ok(Message::Open(open)) = decoded else { continue };
            bytes.data = offer(open, self.said).encode();
            self.said += 1;
        }
    }
}

fn offer(mut open: Open, said: usize) -> Open {
    let restart = |it: &Capability| matches!(it, Capability::GracefulRestart(_));
    match said {
        // RFC 7911: routes with an identifier in front of them.
        0 => open.capabilities.push(Capability::AddPath(vec![(Family::IPV4_UNICAST, 3)])),
        // RFC 9494: IPv4 unicast, kept for 0xffffff seconds.
        1 => {
            let value = vec![0, 1, 1, 0x80, 0xff, 0xff, 0xff];
            open.capabilities.push(Capability::Unknown { code: 71, value });
        }
        // RFC 4724 section 3.
        2 => {
            open.capabilities.retain(|it| !restart(it));
            open.capabilities.push(Capability::GracefulRestart(GracefulRestart {
                restart_time: GracefulRestart::MAX_RESTART_TIME,
                ..GracefulRestart::default()
            }));
        }
        _ => {}
    }
    open
}

outrigger_sdk::announcer!(Guest<Offers>);
