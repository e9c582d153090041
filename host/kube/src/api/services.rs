//! The status of Services: its current and intended content, and the single write that applies the difference. It uses
//! server-side apply, bound to the version that the decision was based on; what other managers wrote is kept. This module
//! must not know the reasons for a status.
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time as Timestamp};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use outrigger_core::facts::ServiceKey;
use outrigger_sdk::Time;
use serde_json::{Value, json};

use super::{CONTROLLER, Lead};
use crate::convert::{ALLOCATED, ingress_of};
use crate::state::{Allocated, timestamp};

/// The status of a Service in the API server.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// `metadata.resourceVersion`, an increasing integer (KEP-5504); 0 if it is not an integer.
    pub version: u64,
    uid: String,
    generation: Option<i64>,
    ingress: Vec<LoadBalancerIngress>,
    /// True if Outrigger's server-side applies own `ingress`, so that no other manager wrote it last.
    ours: bool,
    condition: Option<Condition>,
}

/// The intended status of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The addresses in the order in which they are written.
    pub addresses: Vec<IpAddr>,
    /// False if the ingress belongs to another controller and must not be changed.
    pub writes_ingress: bool,
    /// The condition.
    pub allocated: Allocated,
}

/// Reason why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another writer changed the object first: the decision must be repeated on the new version.
    #[error("another client changed it")]
    Conflict,
    /// The object does not exist any more.
    #[error("it was deleted")]
    Gone,
    /// This process is no longer the leader.
    #[error("this process is no longer the leader")]
    NotLeading,
    /// The API server returned an error.
    #[error("{0}")]
    Api(Box<kube::Error>),
}

/// Returns the status that has to be tracked: that of a Service of type LoadBalancer, or one that still contains
/// Outrigger's condition.
pub(super) fn observe(service: &Service) -> Option<Observed> {
    let spec = service.spec.as_ref();
    let balanced = spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let status = service.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let condition =
        conditions.and_then(|all| all.iter().find(|one| one.type_ == ALLOCATED)).cloned();
    if !balanced && condition.is_none() {
        return None;
    }
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    Some(Observed {
        version: service.resource_version().and_then(|text| text.parse().ok()).unwrap_or(0),
        uid: service.uid().unwrap_or_default(),
        generation: service.metadata.generation,
        ingress: balancer.and_then(|balancer| balancer.ingress.clone()).unwrap_or_default(),
        ours: owns_ingress(service),
        condition,
    })
}

fn owns_ingress(service: &Service) -> bool {
    service.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(CONTROLLER)
            && entry.fields_v1.as_ref().is_some_and(|fields| {
                fields.0.pointer("/f:status/f:loadBalancer/f:ingress").is_some()
            })
    })
}

impl Observed {
    /// Returns `metadata.uid`.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Returns Outrigger's condition and the time of its last change of status, in microseconds since 1970.
    pub fn said(&self) -> Option<(Allocated, u64)> {
        let condition = self.condition.as_ref()?;
        let allocated = Allocated {
            status: condition.status == "True",
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        };
        let since = condition.last_transition_time.0.as_microsecond();
        Some((allocated, u64::try_from(since).unwrap_or(0)))
    }

    /// Returns true if Outrigger's condition already has this reason and message.
    pub fn says(&self, reason: &str, message: &str) -> bool {
        self.condition
            .as_ref()
            .is_some_and(|condition| condition.reason == reason && condition.message == message)
    }

    /// Returns the status to apply, or `None` if nothing differs. If `wanted` is `None`, Outrigger no longer serves the
    /// Service, and its entries are removed.
    pub fn status(&self, wanted: Option<&Wanted>, now: Time) -> Option<Value> {
        let Some(wanted) = wanted else {
            let left = self.condition.is_some() || self.ours && !self.ingress.is_empty();
            return left.then(|| json!({}));
        };
        let condition = self.condition(&wanted.allocated, now);
        let same = self.condition.as_ref().is_some_and(|known| same(known, &condition));
        let conditions = json!([condition]);
        if !wanted.writes_ingress {
            return (!same).then(|| json!({ "conditions": conditions }));
        }
        let ingress = ingress_of(&self.ingress, &wanted.addresses);
        (!same || ingress != self.ingress)
            .then(|| json!({ "loadBalancer": { "ingress": ingress }, "conditions": conditions }))
    }

    /// Returns the status without Outrigger's entries, except for the addresses if `keep` is true; `None` if it has no such
    /// entries.
    pub(super) fn without_us(&self, keep: bool, now: Time) -> Option<Value> {
        let status = self.status(None, now)?;
        Some(if keep { json!({ "loadBalancer": { "ingress": self.ingress } }) } else { status })
    }

    fn condition(&self, allocated: &Allocated, now: Time) -> Condition {
        let status = if allocated.status { "True" } else { "False" };
        let since = self.condition.as_ref().filter(|known| known.status == status);
        Condition {
            type_: ALLOCATED.to_owned(),
            status: status.to_owned(),
            reason: allocated.reason.clone(),
            message: allocated.message.clone(),
            observed_generation: self.generation,
            last_transition_time: match since {
                Some(known) => known.last_transition_time.clone(),
                None => whole_seconds(timestamp(now.utc_us)),
            },
        }
    }
}

/// Returns true if two conditions are equal except for the generation: a change of the spec that changes no decision is not
/// worth a write.
fn same(known: &Condition, new: &Condition) -> bool {
    (&known.status, &known.reason, &known.message) == (&new.status, &new.reason, &new.message)
}

/// Truncates a time to whole seconds, because `metav1.Time` has no fractions.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    let seconds = time.0.as_second();
    Timestamp(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap_or(time.0))
}

/// Writes status while this process is the leader.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    lead: Lead,
}

impl Writer {
    /// Creates a writer for a leader.
    pub fn new(client: Client, lead: Lead) -> Self {
        Self { client, lead }
    }

    /// Returns the current status of a Service in the API server.
    pub(super) async fn read(&self, key: &ServiceKey) -> Result<Option<Observed>, WriteError> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), key.namespace());
        // A list of one object: what is watched may be listed, and needs no right to get.
        let one = ListParams::default().fields(&format!("metadata.name={}", key.name()));
        let list = api.list(&one).await.map_err(|error| WriteError::Api(Box::new(error)))?;
        Ok(list.items.first().and_then(observe))
    }

    /// Applies a status that was decided on `observed`, and returns the resulting status in the API server.
    ///
    /// # Errors
    /// Returns an error if the Service has changed or is gone, if this process is no longer the leader, or if the API
    /// server refuses.
    pub async fn write(
        &self,
        key: &ServiceKey,
        observed: &Observed,
        status: Value,
    ) -> Result<Option<Observed>, WriteError> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), key.namespace());
        let body = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "namespace": key.namespace(),
                "name": key.name(),
                "uid": observed.uid,
                "resourceVersion": observed.version.to_string(),
            },
            "status": status,
        });
        // `force`: an ingress list that others have added to has several owners, and is kept whole by what is applied. Its
        // shape is always the same: the API server need not read it a second time in search of unknown fields.
        let parameters = PatchParams::apply(CONTROLLER).force().validation_ignore();
        if !self.lead.holds() {
            return Err(WriteError::NotLeading);
        }
        match api.patch_status(key.name(), &parameters, &Patch::Apply(body)).await {
            Ok(service) => Ok(observe(&service)),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(WriteError::Conflict),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(WriteError::Gone),
            Err(error) => Err(WriteError::Api(Box::new(error))),
        }
    }
}

#[cfg(test)]
mod tests;
