//! The wasm side of the SDK: bindings of both worlds, and the shell that calls a trait through them. Types are
//! converted in `guest/*`. This module must not decide anything: a plugin behaves the same here and natively.
use std::marker::PhantomData;
use std::sync::Once;

use crate::log::Level;
use crate::{Announcer, Policy, Reply, StartError};

mod effects;
mod endpoints;
mod events;
mod policy;
mod service;

/// Bindings of the world `announcer`.
#[allow(missing_docs)]
pub mod announcer {
    wit_bindgen::generate!({
        path: "../wit",
        world: "announcer",
        pub_export_macro: true,
        default_bindings_module: "outrigger_sdk::guest::announcer",
        generate_all,
    });
}

/// Bindings of the world `allocator`; types that both worlds use are those of `announcer`.
#[allow(missing_docs)]
pub mod allocator {
    wit_bindgen::generate!({
        path: "../wit",
        world: "allocator",
        pub_export_macro: true,
        default_bindings_module: "outrigger_sdk::guest::allocator",
        with: {
            "outrigger:plugin/types@0.1.0": super::announcer::outrigger::plugin::types,
            "outrigger:plugin/log@0.1.0": super::announcer::outrigger::plugin::log,
            "outrigger:plugin/http@0.1.0": super::announcer::outrigger::plugin::http,
            "outrigger:plugin/pool@0.1.0": generate,
        },
    });
}

use allocator::exports::outrigger::plugin::policy as wit_policy;
use announcer::exports::outrigger::plugin::machine;
use announcer::outrigger::plugin::{
    effects as wit_effects, events as wit_events, http as wit_http, log as wit_log, types as wit,
};

/// Storage for the one running machine of a component, implemented by the `announcer!` macro.
pub trait Slot {
    /// The plugin type.
    type Machine: Announcer;
    /// Gives access to the machine, `None` before `start`. Calls never nest.
    fn with<R>(f: impl FnOnce(&mut Option<Self::Machine>) -> R) -> R;
}

/// Implements a world's exports for a [`Slot`] or a [`Policy`].
pub struct Shell<T>(PhantomData<T>);

impl<S: Slot> machine::Guest for Shell<S> {
    fn validate(config: String) -> Result<(), Vec<wit::FieldError>> {
        say_panics();
        S::Machine::validate(&config).map_err(events::field_errors)
    }

    fn start(
        context: machine::Context,
        origin: machine::Origin,
    ) -> Result<(), machine::StartError> {
        say_panics();
        match S::Machine::start(events::context(context), events::origin(origin)) {
            Ok(machine) => S::with(|slot| {
                *slot = Some(machine);
                Ok(())
            }),
            Err(StartError::InvalidConfig(errors)) => {
                Err(machine::StartError::InvalidConfig(events::field_errors(errors)))
            }
            Err(StartError::UnknownSnapshot(why)) => Err(machine::StartError::UnknownSnapshot(why)),
            Err(StartError::Other(why)) => Err(machine::StartError::Other(why)),
        }
    }

    fn handle(now: wit::Time, events: Vec<wit_events::Event>) -> wit_effects::Reply {
        let now = crate::Time { monotonic_us: now.monotonic_us, utc_us: now.utc_us };
        let events = events.into_iter().map(events::event).collect();
        // Before `start` there is no machine. The host never calls `handle` then, and an empty reply is harmless.
        let reply = S::with(|slot| match slot {
            Some(machine) => machine.handle(now, events),
            None => Reply::default(),
        });
        effects::reply(reply)
    }

    fn snapshot() -> machine::SavedState {
        let saved = S::with(|slot| slot.as_ref().map(Announcer::snapshot)).unwrap_or_default();
        machine::SavedState { format: saved.format, data: saved.data }
    }
}

impl<P: Policy> wit_policy::Guest for Shell<P> {
    fn allocate(
        request: wit_policy::Request,
        // The SDK's policies request nothing, so there are never any answers.
        _answers: Vec<wit_http::HttpResponse>,
    ) -> wit_policy::Outcome {
        say_panics();
        policy::outcome(P::allocate(&policy::request(request), &policy::HostPool))
    }
}

/// Sends one log line to the host.
pub fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    let level = match level {
        Level::Error => wit_log::Level::Error,
        Level::Warn => wit_log::Level::Warn,
        Level::Info => wit_log::Level::Info,
        Level::Debug => wit_log::Level::Debug,
        Level::Trace => wit_log::Level::Trace,
    };
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    wit_log::log(level, message, &fields);
}

/// Logs panics: a panic becomes a trap, which carries no text, so the message is logged first and the host can show
/// it.
fn say_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string(), &[])));
    });
}
