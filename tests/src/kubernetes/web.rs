//! Workload of the scenarios: a web server that answers with its node's name (`tests/kubernetes/web.c`), its Deployment, and a
//! Service in front of it.
use anyhow::Result;
use serde_json::{Value, json};

use super::Lab;

/// Image of the web server, which every node of a laboratory has.
pub const IMAGE: &str = "docker.io/local/web:1";
/// Port of the Services.
pub const PORT: u16 = 80;

/// Creates a namespace with a Deployment `web` of this number of pods, spread over the nodes, and waits for them.
///
/// # Errors
/// When the pods do not come up.
pub fn deploy(lab: &Lab, namespace: &str, replicas: u8) -> Result<()> {
    let labels = json!({ "app": "web" });
    let node =
        json!({ "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } });
    let container = json!({
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "env": [node],
        "ports": [{ "containerPort": 8080 }],
        // Without this it is the last to get a busy processor, and answers late.
        "resources": { "requests": { "cpu": "200m" } },
        "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
    });
    let spread = json!({
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": labels },
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 10,
                    "topologySpreadConstraints": [spread],
                    "containers": [container],
                },
            },
        },
    });
    let own = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    lab.apply(&format!("{own}\n---\n{deployment}\n"))?;
    let rollout = ["rollout", "status", "deployment/web", "--timeout", "60s", "--namespace"];
    lab.kubectl(&[&rollout[..], &[namespace]].concat()).map(drop)
}

/// Returns a dual-stack Service in front of the Deployment `web` of its namespace. `spec` is merged into its `spec`.
pub fn service(namespace: &str, name: &str, spec: &Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": { "app": "web" },
            "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{ "port": PORT, "targetPort": 8080 }],
        },
    });
    if let (Some(own), Some(more)) = (service["spec"].as_object_mut(), spec.as_object()) {
        own.extend(more.clone());
    }
    service
}
