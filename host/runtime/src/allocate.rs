//! The decisions of an allocator: one call in a fresh instance, so that no state is kept and nothing leaks. Knows
//! nothing of ledgers; the answer is checked elsewhere.
use std::sync::Arc;

use outrigger_sdk::{FieldError, Outcome, Pool, Request};

use crate::limits::{Call, Limits};
use crate::plugin::{Exports, Plugin};
use crate::plugin_instance::Fault;

impl Plugin {
    /// Asks for one decision.
    ///
    /// # Errors
    /// Returns the instance's fault, or [`Fault::Garbage`] if this plugin is an announcer.
    pub fn allocate(
        &self,
        request: &Request,
        pool: Arc<dyn Pool + Send + Sync>,
        limits: &Limits,
    ) -> Result<Outcome, Fault> {
        let Exports::Allocator { policy, .. } = self.exports() else {
            return Err(self.wrong_world("an allocator"));
        };
        let mut guest = self.guest(limits)?;
        guest.store.data_mut().pool = Some(pool);
        let _running = Call::Allocate.arm(&mut guest.store);
        let outcome = policy
            .load(&mut guest.store, &guest.instance)
            .and_then(|policy| policy.call_allocate(&mut guest.store, &request.into(), &[]));
        outcome.map(Into::into).map_err(|error| guest.fault(Call::Allocate, &error))
    }

    /// Validates a configuration. An allocator without hooks accepts every configuration.
    ///
    /// # Errors
    /// Returns the instance's fault as the outer error, and the errors of the configuration as the inner one.
    pub fn validate_config(&self, config: &str) -> Result<Result<(), Vec<FieldError>>, Fault> {
        let limits = Limits::default();
        let Exports::Allocator { hooks, .. } = self.exports() else {
            return self.machine(&limits)?.validate(config);
        };
        let Some(hooks) = hooks else { return Ok(Ok(())) };
        let mut guest = self.guest(&limits)?;
        let _running = Call::Start.arm(&mut guest.store);
        let answer = hooks
            .load(&mut guest.store, &guest.instance)
            .and_then(|hooks| hooks.call_validate(&mut guest.store, config));
        let answer = answer.map_err(|error| guest.fault(Call::Start, &error))?;
        Ok(answer.map_err(|errors| errors.into_iter().map(Into::into).collect()))
    }
}
