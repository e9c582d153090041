//! The daemon's configuration: defaults < file < `OUTRIGGER_*` < flags.
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Yaml};
use outrigger_kube::convert::{LOAD_BALANCER_CLASS, ServiceClasses};
use serde::{Deserialize, Serialize};

/// Settings that are read from the environment. Any other variable with the prefix belongs to something else: a Service
/// named `outrigger` makes Kubernetes set `OUTRIGGER_SERVICE_HOST`.
const FROM_ENVIRONMENT: [&str; 18] = [
    "manifests",
    "kubeconfig",
    "role",
    "http",
    "services__unclassed",
    "services__classes",
    "state",
    "cache",
    "node",
    "gossip__address",
    "gossip__port",
    "gossip__probe_interval_ms",
    "new_address_delay_ms",
    "compile_within_seconds",
    "hold_last_for_seconds",
    "stop_within_seconds",
    "log__format",
    "log__filter",
];

/// All settings: in a file as YAML with these names, in the environment as `OUTRIGGER_MANIFESTS` or
/// `OUTRIGGER_GOSSIP__PORT`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Config {
    /// Folder of Kubernetes manifests and plugins to serve; the Kubernetes API when absent.
    pub manifests: Option<PathBuf>,
    /// Kubeconfig file for the Kubernetes API; KUBECONFIG, ~/.kube/config, or else the pod's service account, when absent.
    pub kubeconfig: Option<PathBuf>,
    /// Role of this process in a cluster. A folder is always served in both roles.
    pub role: Role,
    /// Services of type LoadBalancer that Outrigger serves.
    pub services: Services,
    /// Address on which metrics, /healthz and /readyz are served; they are not served when absent.
    pub http: Option<SocketAddr>,
    /// Folder for Service status, NodeReports and the gossip key; `.state` in `manifests` when absent. Nodes that share
    /// `manifests` must share this too. In a cluster: folder for the node's persistent state, /var/lib/outrigger when
    /// absent.
    pub state: Option<PathBuf>,
    /// Folder for compiled plugins. It is a cache: nothing is lost when it is emptied.
    pub cache: PathBuf,
    /// Name of this node; the machine's host name when absent.
    pub node: Option<String>,
    /// Detection of live and dead nodes.
    pub gossip: GossipConfig,
    /// Time a new address waits in a cluster before it is announced, in milliseconds, so that kube-proxy has its rules
    /// by then.
    pub new_address_delay_ms: u64,
    /// Processor time that compiling a plugin from a folder may take, in seconds. In a cluster each delivery sets its
    /// own limit.
    pub compile_within_seconds: u64,
    /// Time for which announcements continue when no plugin can be started, in seconds.
    pub hold_last_for_seconds: u64,
    /// Time for which a stopping daemon waits for other nodes to take over, in seconds.
    pub stop_within_seconds: u64,
    /// Format and filter of log lines.
    pub log: Log,
}

/// Services of type LoadBalancer that Outrigger serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// True if Services without `spec.loadBalancerClass` are served.
    pub unclassed: bool,
    /// Values of `spec.loadBalancerClass` that are served.
    pub classes: BTreeSet<String>,
}

/// Roles of a process in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Announces addresses on the machine it runs on.
    Node,
    /// Allocates addresses, as soon as no other process does.
    Controller,
    /// Both roles.
    #[default]
    Both,
}

/// Settings of membership.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GossipConfig {
    /// Address to use; the first InternalIP of this node's Node object when absent.
    pub address: Option<IpAddr>,
    /// UDP port, the same on every node.
    pub port: u16,
    /// Milliseconds between two probes. A dead node is replaced after about four of them.
    pub probe_interval_ms: u64,
}

/// Settings of logging.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Format of log lines, "text" or "json".
    pub format: LogFormat,
    /// Log filter, as in `RUST_LOG`: "info", "outrigger=debug,plugin=trace".
    pub filter: String,
}

/// Formats of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            manifests: None,
            kubeconfig: None,
            role: Role::Both,
            services: Services {
                unclassed: true,
                classes: [LOAD_BALANCER_CLASS.to_owned()].into(),
            },
            http: None,
            state: None,
            cache: default_cache(),
            node: None,
            gossip: GossipConfig { address: None, port: 7953, probe_interval_ms: 60 },
            // kube-proxy applies changes once a second at most (its minSyncPeriod).
            new_address_delay_ms: 1_500,
            compile_within_seconds: 60,
            hold_last_for_seconds: 300,
            stop_within_seconds: 10,
            log: Log { format: LogFormat::Text, filter: "info".to_owned() },
        }
    }
}

impl Config {
    /// Merges the layers. `flags` holds only what was given on the command line.
    ///
    /// # Errors
    /// Returns an error that names the layer, the field and the expected value.
    pub fn load(file: Option<&Path>, flags: &impl Serialize) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            anyhow::ensure!(
                file.exists(),
                "configuration file {} does not exist: create it or drop --config",
                file.display()
            );
            figment = figment.merge(Yaml::file(file));
        }
        let environment = Env::prefixed("OUTRIGGER_").only(&FROM_ENVIRONMENT).split("__");
        figment
            .merge(environment)
            .merge(Serialized::defaults(flags))
            .extract()
            .context("the configuration is not valid")
    }

    /// Returns the folder of manifests.
    ///
    /// # Errors
    /// When no folder was named.
    pub fn manifests(&self) -> anyhow::Result<&Path> {
        self.manifests
            .as_deref()
            .context("no manifests folder: name one with --manifests DIR or OUTRIGGER_MANIFESTS")
    }

    /// Returns the state folder.
    pub fn state(&self) -> PathBuf {
        match (&self.state, &self.manifests) {
            (Some(state), _) => state.clone(),
            (None, Some(manifests)) => manifests.join(".state"),
            (None, None) => PathBuf::from("/var/lib/outrigger"),
        }
    }

    /// Returns the classes of Services that Outrigger serves.
    pub fn classes(&self) -> ServiceClasses {
        let Services { unclassed, classes } = self.services.clone();
        ServiceClasses { unclassed, classes }
    }

    /// Returns this node's name.
    ///
    /// # Errors
    /// When no name was given and the host name cannot be read.
    pub fn node(&self) -> anyhow::Result<String> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .context("this machine's host name cannot be read: name the node with --node NAME")?;
        Ok(name.trim().to_owned())
    }

    /// Returns the processor time that compiling a plugin may take.
    pub fn compile_within(&self) -> Duration {
        Duration::from_secs(self.compile_within_seconds)
    }

    /// Returns the time for which announcements continue without a plugin.
    pub fn hold_last_for(&self) -> Duration {
        Duration::from_secs(self.hold_last_for_seconds)
    }
}

/// Returns `/var/cache/outrigger` for root, otherwise a folder by the XDG base directory specification.
fn default_cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME") {
        return PathBuf::from(cache).join("outrigger");
    }
    match std::env::var_os("HOME") {
        Some(home) if home != "/root" => PathBuf::from(home).join(".cache/outrigger"),
        _ => PathBuf::from("/var/cache/outrigger"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::result_large_err, reason = "figment's test jail wants this type")]
    fn defaults_give_way_to_the_file_the_environment_and_flags_in_this_order() {
        figment::Jail::expect_with(|jail| {
            jail.create_file(
                "outrigger.yaml",
                "node: from-file\ncache: /from-file\nstate: /from-file\n",
            )?;
            jail.set_env("OUTRIGGER_CACHE", "/from-environment");
            jail.set_env("OUTRIGGER_STATE", "/from-environment");
            jail.set_env("OUTRIGGER_GOSSIP__PORT", "7000");
            jail.set_env("OUTRIGGER_SERVICE_HOST", "10.0.0.1");
            let flags = serde_json::json!({ "state": "/from-flags" });
            let config = Config::load(Some(Path::new("outrigger.yaml")), &flags).expect("valid");
            assert_eq!(config.node.as_deref(), Some("from-file"));
            assert_eq!(config.cache, PathBuf::from("/from-environment"));
            assert_eq!(config.state, Some(PathBuf::from("/from-flags")));
            assert_eq!((config.gossip.port, config.gossip.probe_interval_ms), (7000, 60));
            Ok(())
        });
    }

    #[test]
    #[expect(clippy::result_large_err, reason = "figment's test jail wants this type")]
    fn a_wrong_field_is_named() {
        figment::Jail::expect_with(|jail| {
            jail.create_file("outrigger.yaml", "gossip: { prot: 1 }\n")?;
            let error = Config::load(Some(Path::new("outrigger.yaml")), &serde_json::json!({}))
                .expect_err("typo");
            assert!(format!("{error:#}").contains("prot"), "{error:#}");
            Ok(())
        });
    }
}
