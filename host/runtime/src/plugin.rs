//! A loaded component: linked, instantiated once, able to make instances. Knows nothing of supervision.
use std::sync::Arc;

use outrigger_sdk::{Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time};
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Store, Trap, WasmBacktrace};

use crate::abi::Host;
use crate::abi::v0_1::allocator::exports::outrigger::plugin::{policy, policy_hooks};
use crate::abi::v0_1::announcer::exports::outrigger::plugin::machine;
use crate::deadlines::Deadlines;
use crate::engine::Engine;
use crate::inspect::{Inspection, LoadError, World};
use crate::limits::{self, Call, Limits};
use crate::plugin_instance::{Factory, Fault, PluginInstance};

/// Number of functions of a guest's call stack that a message names.
const FRAMES: usize = 4;

/// A component that was compiled, linked, and instantiated once.
pub struct Plugin {
    inspection: Inspection,
    component: InstancePre<Host>,
    exports: Exports,
    deadlines: Arc<Deadlines>,
}

/// The functions of a component's world. The component model's linker matches 0.1.x names, so 0.1 needs one set.
pub(crate) enum Exports {
    Allocator { policy: policy::GuestIndices, hooks: Option<policy_hooks::GuestIndices> },
    Announcer(machine::GuestIndices),
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("inspection", &self.inspection).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Links and instantiates once, because the types of exports are not compared earlier.
    pub(crate) fn new(
        engine: &Engine,
        component: &Component,
        inspection: Inspection,
    ) -> Result<Self, LoadError> {
        let world = inspection.world;
        let misfit =
            |error: wasmtime::Error| LoadError::Misfit { world, reason: format!("{error:#}") };
        let linker = match world {
            World::Allocator { .. } => engine.allocators(),
            World::Announcer => engine.announcers(),
        };
        let component = linker.instantiate_pre(component).map_err(misfit)?;
        let exports = match world {
            World::Allocator { hooks } => Exports::Allocator {
                policy: policy::GuestIndices::new(&component).map_err(misfit)?,
                hooks: if hooks {
                    Some(policy_hooks::GuestIndices::new(&component).map_err(misfit)?)
                } else {
                    None
                },
            },
            World::Announcer => {
                Exports::Announcer(machine::GuestIndices::new(&component).map_err(misfit)?)
            }
        };
        let deadlines = Arc::clone(engine.deadlines());
        let plugin = Self { inspection, component, exports, deadlines };
        plugin.try_once(misfit)?;
        Ok(plugin)
    }

    fn try_once(&self, misfit: impl Fn(wasmtime::Error) -> LoadError) -> Result<(), LoadError> {
        let mut guest = self.guest(&Limits::default()).map_err(LoadError::Instantiate)?;
        match &self.exports {
            Exports::Allocator { policy, hooks } => {
                policy.load(&mut guest.store, &guest.instance).map_err(&misfit)?;
                if let Some(hooks) = hooks {
                    hooks.load(&mut guest.store, &guest.instance).map_err(&misfit)?;
                }
            }
            Exports::Announcer(machine) => {
                machine.load(&mut guest.store, &guest.instance).map_err(&misfit)?;
            }
        }
        Ok(())
    }

    /// Returns the result of inspecting its bytes.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Creates an instance of an announcer under these limits; [`Factory::instantiate`] does the same under the default
    /// ones.
    ///
    /// # Errors
    /// Returns the instance's fault, or [`Fault::Garbage`] if this plugin is an allocator.
    pub fn machine(&self, limits: &Limits) -> Result<Box<dyn PluginInstance>, Fault> {
        let Exports::Announcer(machine) = &self.exports else {
            return Err(self.wrong_world("an announcer"));
        };
        let mut guest = self.guest(limits)?;
        let machine = machine.load(&mut guest.store, &guest.instance);
        let machine = machine.map_err(|error| guest.fault(Call::Start, &error))?;
        Ok(Box::new(Running { guest, machine }))
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    pub(crate) fn wrong_world(&self, wanted: &str) -> Fault {
        Fault::Garbage(format!(
            "{} is not {wanted}: it exports the world {}",
            self.inspection.digest, self.inspection.world
        ))
    }

    pub(crate) fn guest(&self, limits: &Limits) -> Result<Guest, Fault> {
        let host = Host::new(&self.inspection.digest[..12], limits, &self.deadlines);
        let mut store = limits::store(self.component.engine(), host);
        let _running = Call::Start.arm(&mut store);
        match self.component.instantiate(&mut store) {
            Ok(instance) => Ok(Guest { store, instance }),
            Err(error) => Err(fault(&store, Call::Start, &error)),
        }
    }
}

impl Factory for Plugin {
    fn instantiate(&self) -> Result<Box<dyn PluginInstance>, Fault> {
        self.machine(&Limits::default())
    }

    fn digest(&self) -> &str {
        &self.inspection.digest
    }
}

/// An instance in its own Store.
pub(crate) struct Guest {
    pub(crate) store: Store<Host>,
    pub(crate) instance: wasmtime::component::Instance,
}

impl Guest {
    pub(crate) fn fault(&self, call: Call, error: &wasmtime::Error) -> Fault {
        fault(&self.store, call, error)
    }
}

/// An announcer's instance.
struct Running {
    guest: Guest,
    machine: machine::Guest,
}

impl Running {
    fn call<T>(
        &mut self,
        call: Call,
        run: impl FnOnce(&machine::Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let _running = call.arm(&mut self.guest.store);
        run(&self.machine, &mut self.guest.store).map_err(|error| self.guest.fault(call, &error))
    }
}

impl PluginInstance for Running {
    fn validate(&mut self, config: &str) -> Result<Result<(), Vec<FieldError>>, Fault> {
        let answer =
            self.call(Call::Start, |machine, store| machine.call_validate(store, config))?;
        Ok(answer.map_err(|errors| errors.into_iter().map(Into::into).collect()))
    }

    fn start(
        &mut self,
        context: &Context,
        origin: &Origin,
    ) -> Result<Result<(), StartError>, Fault> {
        let answer = self.call(Call::Start, |machine, store| {
            machine.call_start(store, &context.into(), &origin.into())
        })?;
        Ok(answer.map_err(Into::into))
    }

    fn handle(&mut self, now: Time, events: &[Event]) -> Result<Reply, Fault> {
        self.guest.store.data_mut().log.refill(now.monotonic_us);
        let events: Vec<_> = events.iter().map(Into::into).collect();
        let reply = self
            .call(Call::Handle, |machine, store| machine.call_handle(store, now.into(), &events))?;
        Ok(reply.into())
    }

    fn snapshot(&mut self) -> Result<SavedState, Fault> {
        self.call(Call::Snapshot, |machine, store| machine.call_snapshot(store)).map(Into::into)
    }
}

/// Converts wasmtime's error to a fault: the error, its location, and the last error that the guest logged.
fn fault(store: &Store<Host>, call: Call, error: &wasmtime::Error) -> Fault {
    let host = store.data();
    if host.meter.refused {
        return Fault::Memory { limit_mib: host.limits.memory >> 20 };
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        let after = call.deadline(&host.limits).as_millis();
        return Fault::Deadline { after_ms: u64::try_from(after).unwrap_or(u64::MAX) };
    }
    // wasmtime has no type for this one; the text is what its error says when an answer outgrows `set_hostcall_fuel`.
    if trap.is_none() && error.root_cause().to_string().contains("fuel allocated for hostcalls") {
        let most = call.answer() >> 20;
        return Fault::Garbage(format!("more than {most} MiB in one reply"));
    }
    let mut message = trap.map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    for (number, frame) in frames.iter().take(FRAMES).enumerate() {
        let name = frame.func_name().unwrap_or("(nameless function)");
        message.push_str(if number == 0 { " in " } else { " < " });
        message.push_str(&format!("{:#}", rustc_demangle::demangle(name)));
    }
    if !host.log.last_error().is_empty() {
        // The author's own message is more useful than the location in the code.
        message = format!("it logged: {}; {message}", host.log.last_error());
    }
    Fault::Trap { message }
}
