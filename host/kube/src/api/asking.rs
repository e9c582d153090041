//! What is asked once, by a person's command: the reports of the nodes, their details, and objects of whatever kind. Must not
//! know what the answers are for.
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request};
use kube::{Client, ResourceExt as _};
use outrigger_core::facts::{NodeName, ServiceKey};
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::crd::NodeReport;

/// A node that takes longer is not asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pods of the DaemonSet, and the name of their port.
const NODES: &str = "app.kubernetes.io/component=node";
const PORT: &str = "http";

/// Kinds that say how MetalLB is configured, and what there is of ours.
const CONFIGURATION: [(&str, &str, &str); 13] = [
    ("", "v1", "Namespace"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Service"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "DaemonSet"),
    ("metallb.io", "v1beta1", "IPAddressPool"),
    ("metallb.io", "v1beta1", "L2Advertisement"),
    ("metallb.io", "v1beta1", "BGPAdvertisement"),
    ("metallb.io", "v1beta2", "BGPPeer"),
    ("metallb.io", "v1beta1", "BFDProfile"),
    ("metallb.io", "v1beta1", "Community"),
    ("frrk8s.metallb.io", "v1beta1", "FRRConfiguration"),
    ("outrigger.dev", "v1alpha1", "AddressPool"),
];

/// What every node said of itself last.
///
/// # Errors
/// The API server's words.
pub async fn reports(client: &Client) -> kube::Result<Vec<NodeReport>> {
    Ok(Api::<NodeReport>::all(client.clone()).list(&ListParams::default()).await?.items)
}

/// The details of every node that could be asked through the API server, which takes the right to get `pods/proxy`.
pub async fn details(client: &Client) -> BTreeMap<NodeName, Value> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let Ok(pods) = pods.list(&ListParams::default().labels(NODES)).await else {
        return BTreeMap::new();
    };
    let asked = pods.items.iter().map(|pod| async move {
        let spec = pod.spec.as_ref()?;
        let ports = spec.containers.iter().flat_map(|one| one.ports.iter().flatten());
        let port = ports.into_iter().find(|port| port.name.as_deref() == Some(PORT))?;
        let name = format!("{}:{}", pod.name_any(), port.container_port);
        let request = Request::new(format!("/api/v1/namespaces/{NAMESPACE}/pods"));
        let request = request.get_subresource("proxy/details", &name).ok()?;
        let answer =
            tokio::time::timeout(PATIENCE, client.request_text(request)).await.ok()?.ok()?;
        Some((spec.node_name.clone()?, serde_json::from_str(&answer).ok()?))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// One Service as it is, whosever it is.
///
/// # Errors
/// The API server's words.
pub async fn service(client: &Client, key: &ServiceKey) -> kube::Result<Option<Service>> {
    Api::<Service>::namespaced(client.clone(), &key.namespace).get_opt(&key.name).await
}

/// Everything that says how MetalLB is configured, and what there is of ours. A kind that is not served has no objects.
///
/// # Errors
/// The API server's words: half of a configuration is none.
pub async fn configuration(client: &Client) -> kube::Result<Vec<Value>> {
    let announcers = ("outrigger.dev", "v1alpha1", "Announcer");
    let mut objects = Vec::new();
    for (group, version, kind) in CONFIGURATION.into_iter().chain([announcers]) {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
        let list = match api.list(&ListParams::default()).await {
            Err(kube::Error::Api(error)) if error.code == 404 => continue,
            other => other?,
        };
        for object in list {
            let mut object = json!(object);
            // A list does not repeat for each item what it is a list of.
            object["apiVersion"] = json!(gvk.api_version());
            object["kind"] = json!(kind);
            objects.push(object);
        }
    }
    Ok(objects)
}
