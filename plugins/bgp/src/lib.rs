//! BGP speaker that announces this node's addresses to routers, with equal cost beside other nodes (RFC 4271 and its
//! successors). It only originates routes and imports none.
//!
//! The host holds the sockets and sends the KEEPALIVEs, so that sessions outlive a plugin swap, a trap or a busy
//! moment. This plugin keeps each peer's Adj-RIB-Out equal to the desired state and sends the difference.
#![forbid(unsafe_code)]

use outrigger_sdk::{
    Announcer, Context, Effect, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
    Wake,
};

use crate::config::Config;
use crate::neighbour::Neighbour;
use crate::node::Node;
use crate::settings::Settings;
use crate::state::State;

mod address_status;
mod adj_rib_out;
pub mod bfd;
mod call_context;
pub mod config;
mod connection;
mod counts;
mod error_text;
mod fsm;
mod links;
mod listeners;
mod liveness;
mod neighbour;
mod node;
mod open;
mod path;
mod policy;
mod random;
mod refusal;
mod router_advertisement;
mod routes;
mod settings;
mod snapshot;
mod state;
mod stop;
mod summary;

#[cfg(any(test, feature = "scripts"))]
pub mod scripts;

/// One speaker instance: its state, all of which is in its snapshot, and its configuration as resolved on this node.
#[derive(Debug, Clone)]
pub struct Speaker {
    settings: Settings,
    state: State,
}

impl Announcer for Speaker {
    fn validate(config: &str) -> Result<(), Vec<FieldError>> {
        Config::parse(config).map(drop)
    }

    fn start(context: Context, origin: Origin) -> Result<Self, StartError> {
        let config = Config::parse(&context.config).map_err(StartError::InvalidConfig)?;
        let node = Node::new(&context);
        let settings = Settings::new(&config, &node).map_err(StartError::InvalidConfig)?;
        let state = match origin {
            Origin::Fresh => State::new(&context),
            Origin::Restored(saved) => {
                let mut state = snapshot::decode(&saved)?;
                state.under(&context);
                // Peer reports are repeated, because the host removes those that only the predecessor made.
                state.neighbours.values_mut().for_each(Neighbour::say_again);
                state
            }
        };
        Ok(Self { settings, state })
    }

    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply {
        let mut effects: Vec<Effect> = Vec::new();
        let wake = self.state.handle(&self.settings, now.monotonic_us, events, &mut effects);
        let wake = wake.map_or(Wake::Never, |(due_us, reason)| {
            let ms = due_us.saturating_sub(now.monotonic_us).div_ceil(1_000);
            let ms = u32::try_from(ms).unwrap_or(u32::MAX);
            Wake::After { ms, reason: reason.to_owned() }
        });
        Reply { effects, wake }
    }

    fn snapshot(&self) -> SavedState {
        snapshot::encode(&self.state)
    }
}

#[cfg(test)]
mod tests;
