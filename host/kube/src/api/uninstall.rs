//! Removes what Outrigger left in objects that it does not own, so that nothing waits for a controller that is gone. This
//! module must not know the reason for the removal.
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use outrigger_core::facts::ServiceKey;
use outrigger_sdk::Time;
use serde_json::json;

use super::services::{Observed, observe};
use super::{CONTROLLER, Lead, WriteError, Writer};
use crate::crd::{API_VERSION, AddressPool};

/// Number of objects in one page of a listing.
const PAGE: u32 = 500;

/// Removes Outrigger's condition and, unless `keep` is true, its addresses from every Service, and reports the name of each
/// Service and whether it was changed. `lead` keeps the controllers from writing them again.
///
/// # Errors
/// Returns an error if the API server refuses a request. Completed removals remain, and a second run does the rest.
pub async fn release_services(
    client: &Client,
    lead: &Lead,
    keep: bool,
    now: Time,
    mut tell: impl FnMut(&ServiceKey, bool),
) -> Result<(), WriteError> {
    let writer = Writer::new(client.clone(), lead.clone());
    let api: Api<Service> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await.map_err(|error| WriteError::Api(Box::new(error)))?;
        for service in &list.items {
            let key =
                ServiceKey::new(&service.namespace().unwrap_or_default(), &service.name_any());
            let Some(observed) = observe(service) else { continue };
            let Some(status) = observed.without_us(keep, now) else { continue };
            let done = write(&writer, &key, observed, status, keep, now).await?;
            tell(&key, done);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Writes a status, with one retry if another writer changed the Service meanwhile.
async fn write(
    writer: &Writer,
    key: &ServiceKey,
    observed: Observed,
    status: serde_json::Value,
    keep: bool,
    now: Time,
) -> Result<bool, WriteError> {
    match writer.write(key, &observed, status).await {
        Ok(_) => Ok(true),
        Err(WriteError::Gone) => Ok(false),
        Err(WriteError::Conflict) => {
            let Some(observed) = writer.read(key).await? else { return Ok(false) };
            let Some(status) = observed.without_us(keep, now) else { return Ok(true) };
            writer.write(key, &observed, status).await.map(|_| true)
        }
        Err(error) => Err(error),
    }
}

/// Removes Outrigger's finalizer from every AddressPool, and returns the names of these pools.
///
/// # Errors
/// Returns an error if the API server refuses the request or cannot be reached.
pub async fn release_pools(client: &Client) -> kube::Result<Vec<String>> {
    let api: Api<AddressPool> = Api::all(client.clone());
    let mut released = Vec::new();
    for pool in api.list(&ListParams::default()).await? {
        if pool.finalizers().is_empty() {
            continue;
        }
        let name = pool.name_any();
        let body = json!({
            "apiVersion": API_VERSION, "kind": "AddressPool",
            "metadata": { "name": name, "uid": pool.uid(), "finalizers": [] },
        });
        let parameters = PatchParams::apply(CONTROLLER).force();
        api.patch_metadata(&name, &parameters, &Patch::Apply(body)).await?;
        released.push(name);
    }
    Ok(released)
}
