//! NodeReports on their way to the API server: one object per node, written when it differs. Must not know what is in it.
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::NODE;
use crate::crd::{API_VERSION, NodeReport};

/// Writes the report of one node.
pub struct Reports {
    api: Api<NodeReport>,
    node: String,
    /// What the API server has.
    written: Option<serde_json::Value>,
}

impl Reports {
    /// For the node of this name.
    pub fn new(client: Client, node: &str) -> Self {
        Self { api: Api::all(client), node: node.to_owned(), written: None }
    }

    /// Writes the status of a report unless the API server has it.
    ///
    /// # Errors
    /// The API server's words.
    pub async fn write(&mut self, report: &NodeReport) -> Result<(), kube::Error> {
        let status = json!(report.status);
        if self.written.as_ref() == Some(&status) {
            return Ok(());
        }
        self.written = None;
        let head = |rest: serde_json::Value| {
            let mut body = json!({
                "apiVersion": API_VERSION, "kind": "NodeReport", "metadata": { "name": self.node },
            });
            if let (Some(body), serde_json::Value::Object(rest)) = (body.as_object_mut(), rest) {
                body.extend(rest);
            }
            Patch::Apply(body)
        };
        let parameters = PatchParams::apply(NODE).force();
        let body = head(json!({ "status": status }));
        match self.api.patch_status(&self.node, &parameters, &body).await {
            Err(kube::Error::Api(error)) if error.code == 404 => {
                let empty = head(json!({ "spec": {} }));
                self.api.patch(&self.node, &parameters, &empty).await?;
                self.api.patch_status(&self.node, &parameters, &body).await?;
            }
            other => drop(other?),
        }
        self.written = Some(status);
        Ok(())
    }
}
