//! Reads the contents of one Secret by name when they are needed, without caching them. This module must not know what a
//! key is used for.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde::Deserialize as _;

use crate::api::NAMESPACE;

/// The `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// Reads the data of a Secret in Outrigger's namespace. `None` if the Secret does not exist.
///
/// # Errors
/// Returns an error if the API server refuses the request or does not answer in time.
pub async fn read_secret(
    client: &Client,
    name: &str,
    within: Duration,
) -> Result<Option<SecretData>, String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    match tokio::time::timeout(within, secrets.get_opt(name)).await {
        Ok(Ok(secret)) => Ok(secret.map(data)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

/// Reads the data of a Secret from the manifests of a folder: from any file directly in it, if the Secret is in Outrigger's
/// namespace or names none.
pub fn secret_in_folder(folder: &Path, name: &str) -> Option<SecretData> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|path| is_manifest(path)).collect();
    files.sort();
    files.iter().find_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        let documents = text.split("\n---").filter_map(secret);
        let mut named = documents.filter(|secret| is_named(secret, name));
        named.next().map(data)
    })
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Parses a document as a Secret; `None` if it is anything else. Other readers parse the other documents of the file and
/// report their errors.
fn secret(document: &str) -> Option<Secret> {
    let document = document.trim_start_matches("---");
    let value: serde_json::Value = serde_saphyr::from_str(document).ok()?;
    (value["kind"] == "Secret").then_some(())?;
    Secret::deserialize(value).ok()
}

fn is_named(secret: &Secret, name: &str) -> bool {
    let meta = &secret.metadata;
    meta.name.as_deref() == Some(name)
        && meta.namespace.as_deref().is_none_or(|namespace| namespace == NAMESPACE)
}

fn data(secret: Secret) -> SecretData {
    let plain = secret.string_data.unwrap_or_default();
    let encoded = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    // `stringData` overrides `data`, as in the API server.
    encoded.chain(plain.into_iter().map(|(key, value)| (key, value.into_bytes()))).collect()
}

#[cfg(test)]
mod tests {
    use super::secret_in_folder;

    #[test]
    fn a_secret_is_found_by_name_among_other_manifests_and_in_either_form() {
        let folder = tempfile::tempdir().unwrap();
        let text = "kind: Node\napiVersion: v1\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\n\
                    metadata: {name: router, namespace: outrigger-system}\nstringData: {password: hush}\n---\n\
                    apiVersion: v1\nkind: Secret\nmetadata: {name: other}\ndata: {password: c2VjcmV0}\n";
        std::fs::write(folder.path().join("all.yaml"), text).unwrap();
        let find = |name| secret_in_folder(folder.path(), name);
        assert_eq!(find("router").unwrap()["password"], b"hush");
        assert_eq!(find("other").unwrap()["password"], b"secret");
        assert_eq!(find("absent"), None);
    }
}
