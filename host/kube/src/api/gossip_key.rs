//! The Secret with the key that gossip is sealed with: the controller creates it, nodes read it. This module must not know gossip.
use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};

use super::NAMESPACE;

const NAME: &str = "outrigger-gossip";
const KEY: &str = "key";

/// Creates the Secret from these random bytes unless it exists.
///
/// # Errors
/// Returns an error if the API server refuses the request or cannot be reached.
pub async fn create_gossip_key(client: &Client, random: [u8; 32]) -> Result<(), kube::Error> {
    let secret = Secret {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        immutable: Some(true),
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(random.to_vec()))])),
        ..Secret::default()
    };
    match api(client).create(&PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

/// Returns the key; `None` if the Secret does not exist or is damaged.
///
/// # Errors
/// Returns an error if the API server refuses the request or cannot be reached.
pub async fn read_gossip_key(client: &Client) -> Result<Option<[u8; 32]>, kube::Error> {
    let secret = api(client).get_opt(NAME).await?;
    let octets = secret.and_then(|secret| secret.data?.remove(KEY));
    Ok(octets.and_then(|octets| octets.0.try_into().ok()))
}

fn api(client: &Client) -> Api<Secret> {
    Api::namespaced(client.clone(), NAMESPACE)
}
