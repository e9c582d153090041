//! Opens more and more UDP ports of the host, without naming a peer.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event, OpenSocket, Protocol};

/// Number of sockets per call.
const EACH: u16 = 100;

struct Squat {
    port: u16,
}

impl Harm for Squat {
    fn start(_config: &str) -> Self {
        Self { port: 49_152 }
    }

    fn strike(&mut self, _events: Vec<Event>) -> Vec<Effect> {
        let ports = self.port..self.port.saturating_add(EACH);
        self.port = ports.end;
        let open = |port: u16| {
            Effect::OpenSocket(OpenSocket {
                id: port.into(),
                protocol: Protocol::Bfd,
                port,
                remotes: Vec::new(),
                options: Vec::new(),
            })
        };
        ports.map(open).collect()
    }
}

outrigger_sdk::announcer!(Hostile<Squat>);
