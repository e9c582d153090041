//! Single requests of a user's commands: the reports of the nodes, their details, and objects of various kinds. This module
//! must not know what the answers are used for.
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

/// Timeout for the answer of a node.
const PATIENCE: Duration = Duration::from_secs(2);
/// Label selector of the pods of the DaemonSet.
const NODES: &str = "app.kubernetes.io/component=node";
const PORT: &str = "http";

/// Kinds that contain MetalLB's configuration, and Outrigger's pools.
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

/// Returns the last report of every node.
///
/// # Errors
/// Returns an error if the API server refuses the request or cannot be reached.
pub async fn reports(client: &Client) -> kube::Result<Vec<NodeReport>> {
    Ok(Api::<NodeReport>::all(client.clone()).list(&ListParams::default()).await?.items)
}

/// Reason why a node could not be queried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Silent {
    /// The user lacks the permission.
    #[error("your user is not allowed to {0} in namespace {NAMESPACE}")]
    Forbidden(&'static str),
    /// No pod of the DaemonSet runs on the node.
    #[error("no pod of Outrigger runs on {0}")]
    NoPod(NodeName),
    /// The pod gave no answer, or no usable one.
    #[error("pod {NAMESPACE}/{0} did not answer: {1}")]
    Pod(String, String),
    /// The API server returned an error.
    #[error("the pods of Outrigger cannot be listed: {0}")]
    Api(String),
}

impl Silent {
    /// Returns how to fix the problem.
    pub fn fix(&self) -> String {
        match self {
            Self::Forbidden(right) => format!(
                "ask an administrator for a Role with {right} in namespace {NAMESPACE} (to check: kubectl auth can-i {right} -n {NAMESPACE}); until then, to see which addresses are not in the desired state: kubectl get nodereports -o yaml, status.exceptions"
            ),
            Self::NoPod(_) | Self::Api(_) => format!(
                "check whether Outrigger runs: kubectl -n {NAMESPACE} get daemonset,pods -l {NODES} -o wide"
            ),
            Self::Pod(pod, _) => {
                format!("check its log: kubectl -n {NAMESPACE} logs {pod}")
            }
        }
    }
}

/// Returns the details of every node. Each node is queried through the API server, which requires the right to get `pods/proxy`.
///
/// # Errors
/// Returns an error if the pods cannot be listed.
pub async fn details(client: &Client) -> Result<BTreeMap<NodeName, Result<Value, Silent>>, Silent> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let pods = match pods.list(&ListParams::default().labels(NODES)).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(Silent::Forbidden("list pods"));
        }
        other => other.map_err(|error| Silent::Api(error.to_string()))?,
    };
    let asked = pods.items.iter().map(|pod| async move {
        let node = pod.spec.as_ref()?.node_name.clone()?;
        Some((node, ask(client, pod).await))
    });
    Ok(join_all(asked).await.into_iter().flatten().collect())
}

async fn ask(client: &Client, pod: &Pod) -> Result<Value, Silent> {
    let name = pod.name_any();
    let silent = |why: String| Silent::Pod(name.clone(), why);
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|one| one.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(PORT));
    let port = port.ok_or_else(|| silent(format!("it has no port {PORT}")))?.container_port;
    let request = Request::new(format!("/api/v1/namespaces/{NAMESPACE}/pods"));
    let request = request
        .get_subresource("proxy/details", &format!("{name}:{port}"))
        .map_err(|error| silent(error.to_string()))?;
    let answer = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
    let answer = match answer.map_err(|_| silent(format!("not within {PATIENCE:?}")))? {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(Silent::Forbidden("get pods/proxy"));
        }
        Err(kube::Error::Api(status)) => return Err(silent(status.message)),
        other => other.map_err(|error| silent(error.to_string()))?,
    };
    serde_json::from_str(&answer).map_err(|error| silent(error.to_string()))
}

/// Returns one Service, whether or not Outrigger serves it; `None` if it does not exist.
///
/// # Errors
/// Returns an error if the API server refuses the request or cannot be reached.
pub async fn service(client: &Client, key: &ServiceKey) -> kube::Result<Option<Service>> {
    Api::<Service>::namespaced(client.clone(), key.namespace()).get_opt(key.name()).await
}

/// Returns all objects that contain MetalLB's configuration, and Outrigger's pools and announcers. A kind that is not
/// served has no objects.
///
/// # Errors
/// Returns an error if any request fails, because a partial configuration is useless.
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
            // A list does not repeat the type of its items in each item.
            object["apiVersion"] = json!(gvk.api_version());
            object["kind"] = json!(kind);
            objects.push(object);
        }
    }
    Ok(objects)
}
