//! A plugin that runs as plain Rust: the counterpart of the wasm build, with which it must agree. For tests and
//! simulations; a panic in it is a panic of the host.
use std::marker::PhantomData;

use outrigger_sdk::{
    Announcer, Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
};

use crate::plugin_instance::{Factory, Fault, PluginInstance};

/// Makes native instances of `A`.
pub struct Native<A> {
    digest: String,
    plugin: PhantomData<fn() -> A>,
}

impl<A> Native<A> {
    /// Creates a factory; `digest` stands in for the digest of a component.
    pub fn new(digest: impl Into<String>) -> Self {
        Self { digest: digest.into(), plugin: PhantomData }
    }
}

impl<A: Announcer + Send + 'static> Factory for Native<A> {
    fn instantiate(&self) -> Result<Box<dyn PluginInstance>, Fault> {
        Ok(Box::new(Instance::<A>(None)))
    }

    fn digest(&self) -> &str {
        &self.digest
    }
}

struct Instance<A>(Option<A>);

impl<A> Instance<A> {
    fn started(&mut self) -> Result<&mut A, Fault> {
        self.0.as_mut().ok_or_else(|| Fault::Trap { message: "called before start".into() })
    }
}

impl<A: Announcer + Send> PluginInstance for Instance<A> {
    fn validate(&mut self, config: &str) -> Result<Result<(), Vec<FieldError>>, Fault> {
        Ok(A::validate(config))
    }

    fn start(
        &mut self,
        context: &Context,
        origin: &Origin,
    ) -> Result<Result<(), StartError>, Fault> {
        Ok(A::start(context.clone(), origin.clone()).map(|started| self.0 = Some(started)))
    }

    fn handle(&mut self, now: Time, events: &[Event]) -> Result<Reply, Fault> {
        Ok(self.started()?.handle(now, events.to_vec()))
    }

    fn snapshot(&mut self) -> Result<SavedState, Fault> {
        Ok(self.started()?.snapshot())
    }
}
