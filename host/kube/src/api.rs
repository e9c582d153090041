//! The client side of the API server: watches for input, writers for status. This module must not know what is decided from
//! the objects.
use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

mod events;
mod gossip_key;
mod lease;
mod objects;
mod plugins;
mod query;
mod reports;
mod services;
mod uninstall;
mod watcher;
mod watches;

pub use events::Events;
pub use gossip_key::{create_gossip_key, read_gossip_key};
pub use lease::{Lead, Lease};
pub use objects::{ObjectCondition, ObjectStatus, Objects};
pub use plugins::{CopyError, Delivered, PluginWriter, read_copy, ready, watch_deliveries};
pub use query::{Silent, configuration, details, reports, service};
pub use reports::Reports;
pub use services::{Observed, Wanted, WriteError, Writer};
pub use uninstall::{release_pools, release_services};
pub use watches::{Failure, Kind, Reader, Reported, Told, Watches};

/// Outrigger's own namespace.
pub const NAMESPACE: &str = "outrigger-system";
/// The field manager of everything that the controller role writes.
pub const CONTROLLER: &str = "outrigger-controller";
/// The field manager of everything that a node writes.
pub const NODE: &str = "outrigger-node";

/// Reason why no client for the API server can be created.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The process neither runs in a pod nor has a usable kubeconfig.
    #[error(
        "no Kubernetes API is configured ({0}): run in a pod with a service account, set KUBECONFIG, or serve a folder with --manifests DIR"
    )]
    Unknown(String),
    /// The configuration was found but cannot be used.
    #[error("the configuration for the Kubernetes API cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// Returns a client for the API server that this process belongs to: from a kubeconfig file if one is given, else from the
/// kubeconfig that `KUBECONFIG` names (`~/.kube/config` by default), else from the service account of a pod. It opens no
/// connection yet.
///
/// # Errors
/// Returns an error if there is no configuration, or if it is invalid.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    Ok(connect_as(kubeconfig, None).await?.0)
}

/// Returns the client for a command that a user runs, in this context of the kubeconfig, and the default namespace of the context.
///
/// # Errors
/// Returns the same errors as [`connect`].
pub async fn connect_as(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<(Client, String), ConnectError> {
    let unknown = |error: &dyn std::fmt::Display| ConnectError::Unknown(error.to_string());
    let options =
        KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| unknown(&error))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unknown(&error))?
        }
        None if context.is_some() => {
            Config::from_kubeconfig(&options).await.map_err(|error| unknown(&error))?
        }
        None => Config::infer().await.map_err(|error| unknown(&error))?,
    };
    // A watch that receives nothing for longer than this is reopened; bookmarks arrive about once a minute.
    config.read_timeout = Some(std::time::Duration::from_secs(295));
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config)?, namespace))
}
