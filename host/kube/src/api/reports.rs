//! Writes NodeReports to the API server: one object per node, written only if it differs. This module must not know their content.
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::NODE;
use crate::crd::{API_VERSION, NodeReport};

/// Writes the report of one node.
pub struct Reports {
    api: Api<NodeReport>,
    nodes: Client,
    node: String,
    /// The status that the API server has.
    written: Option<Value>,
}

impl Reports {
    /// Creates a writer for the node of this name.
    pub fn new(client: Client, node: &str) -> Self {
        Self { api: Api::all(client.clone()), nodes: client, node: node.to_owned(), written: None }
    }

    /// Writes the status of a report unless the API server already has it.
    ///
    /// # Errors
    /// Returns an error if the API server refuses the request or cannot be reached.
    pub async fn write(&mut self, report: &NodeReport) -> Result<(), kube::Error> {
        let status = json!(report.status);
        if self.written.as_ref() == Some(&status) {
            return Ok(());
        }
        self.written = None;
        let head = |mut metadata: Value, part: &str, content: &Value| {
            metadata["name"] = json!(self.node);
            Patch::Apply(json!({
                "apiVersion": API_VERSION, "kind": "NodeReport", "metadata": metadata, part: content,
            }))
        };
        let parameters = PatchParams::apply(NODE).force();
        let body = head(json!({}), "status", &status);
        match self.api.patch_status(&self.node, &parameters, &body).await {
            Err(kube::Error::Api(error)) if error.code == 404 => {
                let empty = head(self.owner().await?, "spec", &json!({}));
                self.api.patch(&self.node, &parameters, &empty).await?;
                self.api.patch_status(&self.node, &parameters, &body).await?;
            }
            other => drop(other?),
        }
        self.written = Some(status);
        Ok(())
    }

    /// Returns the owner reference to the Node, so that the report is deleted together with its Node.
    async fn owner(&self) -> Result<Value, kube::Error> {
        let node = Api::<Node>::all(self.nodes.clone()).get(&self.node).await?;
        let owner =
            json!({ "apiVersion": "v1", "kind": "Node", "name": self.node, "uid": node.uid() });
        Ok(json!({ "ownerReferences": [owner] }))
    }
}
