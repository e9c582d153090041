//! Overlays the Service status of the state folder over the status in manifests. This module must not know manifests.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_core::facts::{Fact, Service, ServiceKey};
use smallvec::SmallVec;

use super::watch::{Statuses, Watch};
use crate::diff::FactState;
use crate::problem::Problem;
use crate::state::{ServiceStatus, State, StateError};

/// The last known statuses of the state folder.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    statuses: BTreeMap<ServiceKey, Result<Laid, Box<Problem>>>,
    /// The problem if the state folder could not be listed. The previous statuses are kept.
    failed: Option<Problem>,
}

/// The status that is laid over a Service.
#[derive(Debug, PartialEq, Eq)]
struct Laid {
    addresses: SmallVec<[IpAddr; 1]>,
    /// True if the addresses were allocated by Outrigger.
    ours: bool,
}

impl Laid {
    fn of(status: Result<ServiceStatus, Problem>) -> Result<Self, Box<Problem>> {
        let ServiceStatus { addresses, allocated, .. } = status?;
        // Only Outrigger writes to the state folder; the condition shows whether the addresses were allocated or left alone.
        let ours = allocated.is_some_and(|allocated| allocated.status);
        Ok(Self { addresses: addresses.as_slice().into(), ours })
    }
}

impl Overlay {
    /// Returns true if [`Self::refresh`] reads more than the changed statuses.
    pub fn is_listed_again(&self, state: &State, changed: &Statuses) -> bool {
        changed.everything || self.failed.is_some() || !state.services_dir().is_dir()
    }

    /// Reads the changed statuses. `own` returns the caller's copy of a key, so that equal keys share one allocation.
    pub fn refresh(
        &mut self,
        state: &State,
        changed: &Statuses,
        watch: &mut Watch,
        own: impl Fn(ServiceKey) -> ServiceKey,
    ) {
        match self.is_listed_again(state, changed) {
            true => self.list(state, watch, own),
            false => self.look(state, &changed.keys, own),
        }
    }

    /// Returns the fact with the status of the state folder in place of its own.
    pub fn apply(&self, fact: &Fact) -> FactState {
        let Fact::Service(service) = fact else { return FactState::Known(fact.clone()) };
        match self.statuses.get(&service.key) {
            Some(Err(_)) => FactState::Unknown,
            Some(Ok(Laid { addresses, ours })) => {
                let spec = service.spec.clone();
                FactState::Known(Service { spec, ingress: addresses.clone(), ours: *ours }.into())
            }
            None => FactState::Known(fact.clone()),
        }
    }

    /// Returns true if the last listing succeeded.
    pub fn listed(&self) -> bool {
        self.failed.is_none()
    }

    /// Returns the statuses that could not be read.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let broken = self.statuses.values().filter_map(|status| status.as_ref().err());
        broken.map(Box::as_ref).chain(&self.failed).cloned()
    }

    fn list(&mut self, state: &State, watch: &mut Watch, own: impl Fn(ServiceKey) -> ServiceKey) {
        self.failed = None;
        match follow(state, watch).and_then(|()| state.services()) {
            Ok(statuses) => {
                let laid = statuses.into_iter().map(|(key, status)| (own(key), Laid::of(status)));
                self.statuses = laid.collect();
            }
            Err(error) => {
                let message = format!("{error}; until then every status stays unchanged");
                let file = state.dir().display().to_string();
                self.failed = Some(Problem { file, object: None, message });
            }
        }
    }

    fn look(
        &mut self,
        state: &State,
        changed: &BTreeSet<ServiceKey>,
        own: impl Fn(ServiceKey) -> ServiceKey,
    ) {
        for key in changed {
            match state.service(key) {
                Some(status) => drop(self.statuses.insert(own(key.clone()), Laid::of(status))),
                None => drop(self.statuses.remove(key)),
            }
        }
    }
}

/// Watches directories before they are listed, so that what appears in between causes an event.
fn follow(state: &State, watch: &mut Watch) -> Result<(), StateError> {
    let services = state.services_dir();
    let refused = |path: &std::path::Path| {
        let path = path.to_owned();
        |cause| StateError::Io { path, cause }
    };
    watch.namespaces(state.dir()).map_err(refused(state.dir()))?;
    watch.namespaces(&services).map_err(refused(&services))?;
    for namespace in state.namespaces()? {
        let dir = services.join(&namespace);
        watch.services(&dir, &namespace).map_err(refused(&dir))?;
    }
    Ok(())
}
