//! Queries of a laboratory's API server with kubectl, as a user would run it.
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Lab;
use super::segment::{FIRST, Member};
use crate::namespace::feed;

impl Lab {
    /// Runs kubectl as the administrator and returns its output.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        feed(self.kubectl_command(&self.kubeconfig()).args(arguments), b"")
    }

    /// Runs kubectl with this token.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn kubectl_as(&self, token: &str, arguments: &[&str]) -> Result<String> {
        let kubeconfig = self.folder.join("certificates/anonymous.kubeconfig");
        let mut command = self.kubectl_command(&kubeconfig);
        feed(command.args(["--token", token]).args(arguments), b"")
    }

    /// Returns a kubectl command with this kubeconfig.
    pub fn kubectl_command(&self, kubeconfig: &Path) -> Command {
        let mut command =
            self.network().of(Member::ControlPlane).command(self.binaries.path("kubectl"));
        command.arg("--kubeconfig").arg(kubeconfig);
        command
    }

    /// Returns a curl command as the administrator, beside the API server: for requests that kubectl is too slow for.
    pub fn curl(&self) -> Command {
        let mut command = self.network().of(Member::ControlPlane).command("curl");
        command.args(["--silent", "--show-error", "--fail"]);
        for (flag, file) in
            [("--cacert", "ca.crt"), ("--cert", "admin.crt"), ("--key", "admin.key")]
        {
            command.arg(flag).arg(self.folder.join("certificates").join(file));
        }
        command
    }

    /// Returns the URL of a path of the API, such as `/api/v1/services`, for curl.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:6443{path}", Member::ControlPlane.addresses(FIRST).0)
    }

    /// Applies manifests, server-side.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        let mut command = self.kubectl_command(&self.kubeconfig());
        command.args(["apply", "--server-side", "--force-conflicts", "--filename", "-"]);
        feed(&mut command, yaml.as_bytes()).map(drop)
    }

    /// Runs `kubectl get … --output json`.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn get_json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "--output", "json"], arguments].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("unexpected output of kubectl get {arguments:?}: {text:?}"))
    }

    /// Creates a token of a service account.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn token(&self, account: &str, namespace: &str) -> Result<String> {
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace])?;
        Ok(token.trim().to_owned())
    }

    /// Creates a token of a service account as a pod on a node has it: it names the pod and its node.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn token_of_pod(&self, account: &str, namespace: &str, pod: &str) -> Result<String> {
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", pod];
        let create = ["create", "token", account, "--namespace", namespace];
        Ok(self.kubectl(&[&create[..], &bound].concat())?.trim().to_owned())
    }
}
