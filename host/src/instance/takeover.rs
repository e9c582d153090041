//! Takeover by another plugin, build or configuration, and the end of a trial.
use std::sync::Arc;

use outrigger_net::now;
use outrigger_runtime::{Delivered, Factory, Phase, Supervisor};
use outrigger_sdk::{Context, Event};

use super::Worker;
use super::effects::KeysOf;
use crate::mailbox::Swap;
use crate::trial::{self, Trial, TrialFailure};

impl Worker {
    pub(super) fn swap(&mut self, Swap { factory, config, ext, on_trial }: Swap) {
        let digest = factory.digest().to_owned();
        let same = self.machine.as_ref().is_some_and(|it| it.digest() == digest)
            && (&self.context.config, &self.context.ext) == (&config, &ext);
        if same && !on_trial && !self.has_failed() {
            if self.trial.is_some() {
                return self.proven();
            }
            if self.machine.as_ref().is_some_and(|it| it.state().phase == Phase::Running) {
                // A candidate that never started is dropped; the running plugin continues.
                return;
            }
        }
        let (waiting, lists) = self.mailbox.full();
        self.deliver(waiting);
        let context = Context { config, ext, ..self.context.clone() };
        let before = std::mem::replace(&mut self.context, context.clone());
        let swapped = match &mut self.machine {
            Some(machine) => {
                let catch_up = [self.mailbox.resumed()].into_iter().chain(lists).collect();
                match self.trial {
                    Some(_) if !on_trial => machine.go_back(now(), factory, context, catch_up),
                    _ => machine.swap(now(), factory, context, catch_up),
                }
            }
            None => self.first(factory, lists),
        };
        match swapped {
            Ok(delivered) => {
                tracing::debug!(digest, "plugin active");
                let mut inner = self.mailbox.lock();
                inner.standing.last_fault.clear();
                inner.standing.refused.clear();
                self.trial = on_trial.then(|| Trial::new(&digest, &inner.guard));
                inner.guard.begin(now().monotonic_us);
                drop(inner);
                self.carry_out(delivered);
            }
            Err(error) => {
                if on_trial {
                    // The candidate never started: the running plugin continues with its configuration.
                    self.context = before;
                    self.failed(&digest, trial::of_swap(&error));
                }
                let message = error.to_string();
                tracing::warn!(digest, "plugin not replaced: {message}");
                let mut inner = self.mailbox.lock();
                inner.standing.last_fault = format!("{digest:.12}: {message}");
                inner.standing.refused = message.to_string();
                drop(inner);
                self.publish();
            }
        }
    }

    /// Ends a successful trial: the candidate has proved itself everywhere, so the withdrawals that were held back
    /// happen now.
    fn proven(&mut self) {
        let released = self.trial.take().map(Trial::release).unwrap_or_default();
        let mailbox = self.mailbox.clone();
        self.act_all(&mut mailbox.lock(), released, &KeysOf::new());
        self.publish();
    }

    /// Records that a candidate failed. The host then has another build take over.
    pub(super) fn failed(&self, digest: &str, verdict: TrialFailure) {
        let TrialFailure { reason, message } = &verdict;
        tracing::warn!(digest, reason, "the candidate failed: {message}");
        self.mailbox.lock().standing.failed_trial = Some((digest.to_owned(), verdict));
    }

    fn first(
        &mut self,
        factory: Arc<dyn Factory>,
        lists: Vec<Event>,
    ) -> Result<Delivered, outrigger_runtime::SwapError> {
        let mut machine = Supervisor::start(factory, self.context.clone())?;
        let delivered = machine.deliver(now(), lists);
        self.machine = Some(machine);
        Ok(delivered)
    }
}
