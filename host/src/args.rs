//! The command line: arguments and their help texts, without behaviour.
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::config::Role;

/// Addresses for Services of type LoadBalancer on bare metal, decided by WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, propagate_version = true)]
pub struct Cli {
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
    /// YAML file with any of the settings; OUTRIGGER_* variables and flags take precedence over it.
    #[arg(long, global = true, env = "OUTRIGGER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Cli {
    /// Parses the arguments of this process. A program named `kubectl-outrigger` is run by kubectl for `kubectl
    /// outrigger`, so its help then shows that name.
    pub fn of_process() -> Self {
        let mut command = Self::command();
        if is_kubectl_plugin(std::env::args_os().next().as_deref()) {
            command = command.name("kubectl-outrigger").bin_name("kubectl outrigger");
        }
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

fn is_kubectl_plugin(program: Option<&OsStr>) -> bool {
    let stem = program.map(Path::new).and_then(Path::file_stem);
    stem.is_some_and(|stem| stem == "kubectl-outrigger")
}

/// Commands of `outrigger`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the Services of a Kubernetes cluster or of a folder of manifests: allocate, announce, swap plugins.
    Run(Run),
    /// Show what would be allocated and announced from a folder, without any effect.
    Plan(Plan),
    /// Show pools, addresses, the nodes that answer for them, and plugins, of a cluster or of a folder.
    Status(Query),
    /// Explain why a Service has its address and which node answers for it, or why not, and what to change.
    Why(Why),
    /// Convert the configuration of another load balancer to Outrigger's. Prints it; applies nothing.
    Import {
        /// Load balancer to import from.
        #[command(subcommand)]
        command: Import,
    },
    /// Show the state of BGP sessions and the routes that peers were sent.
    Bgp(Bgp),
    /// Remove what Outrigger left in Services and pools of a cluster, before its manifests are deleted.
    Uninstall(Uninstall),
    /// Examine plugins.
    Plugin {
        /// Command to run on a plugin.
        #[command(subcommand)]
        command: Plugin,
    },
    /// Compile a component to native code. The daemon runs this as a child, so that it never compiles itself.
    Compile {
        /// Component to compile.
        input: PathBuf,
        /// File to write the native code to.
        output: PathBuf,
    },
    /// Print the version of the program and of the plugin interface it implements.
    Version {
        /// Output format.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// Flags of `run`.
#[derive(Debug, Args, Serialize)]
pub struct Run {
    #[command(flatten)]
    #[serde(flatten)]
    folders: Folders,
    /// Address for gossip with other nodes [default: the first InternalIP of this node's Node object].
    #[arg(long, value_name = "IP")]
    #[serde(skip)]
    pub gossip_address: Option<IpAddr>,
    /// Kubeconfig file for the Kubernetes API [default: KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    /// Role of this process in a cluster [default: both].
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// Address to serve metrics, /healthz and /readyz on [default: none, they are not served].
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<SocketAddr>,
}

/// Flags of `plan`.
#[derive(Debug, Args, Serialize)]
pub struct Plan {
    #[command(flatten)]
    #[serde(flatten)]
    folders: Folders,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    #[serde(skip)]
    pub output: Output,
}

/// Flags that select a cluster or a folder to query, and the output format.
#[derive(Debug, Args, Serialize)]
pub struct Query {
    #[command(flatten)]
    #[serde(flatten)]
    folders: Folders,
    /// Access to the API server.
    #[command(flatten)]
    #[serde(flatten)]
    pub api: Api,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    #[serde(skip)]
    pub output: Output,
}

/// Flags of `bgp`.
#[derive(Debug, Args, Serialize)]
pub struct Bgp {
    /// Cluster or folder to query, and output format.
    #[command(flatten)]
    #[serde(flatten)]
    pub asked: Query,
    /// Information to show.
    #[arg(value_enum)]
    #[serde(skip)]
    pub question: BgpQuestion,
    /// For `session`: the peer's name in the configuration, or its address.
    #[arg(required_if_eq("question", "session"))]
    #[serde(skip)]
    pub peer: Option<String>,
}

/// Information that `bgp` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BgpQuestion {
    /// Every session and its state.
    Peers,
    /// Routes that each peer was sent.
    Routes,
    /// Every detail of one session.
    Session,
}

/// Flags of `why`.
#[derive(Debug, Args, Serialize)]
pub struct Why {
    /// A Service (NAMESPACE/NAME, or NAME), or an address.
    #[arg(value_name = "SERVICE|ADDRESS")]
    #[serde(skip)]
    pub subject: String,
    /// Namespace of a Service that is named without one [default: the context's].
    #[arg(short, long, value_name = "NAME")]
    #[serde(skip)]
    pub namespace: Option<String>,
    /// Cluster or folder to query, and output format.
    #[command(flatten)]
    #[serde(flatten)]
    pub asked: Query,
}

/// Load balancers whose configuration can be imported.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Import MetalLB's configuration, as custom resources or as the ConfigMap of 0.9. Exit code 2: something has no
    /// counterpart, and a line on stderr says what was done instead.
    Metallb(ImportMetallb),
}

/// Flags of `import metallb`.
#[derive(Debug, Args, Serialize)]
pub struct ImportMetallb {
    /// Read files, folders, or the standard input (-) instead of a cluster.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Print the manifests to apply to go back to MetalLB.
    #[arg(long)]
    #[serde(skip)]
    pub undo: bool,
    /// MetalLB's namespace [default: the one that has its objects].
    #[arg(short, long, value_name = "NAME")]
    #[serde(skip)]
    pub namespace: Option<String>,
    /// Access to the API server.
    #[command(flatten)]
    #[serde(flatten)]
    pub api: Api,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    #[serde(skip)]
    pub output: Manifest,
}

/// Access to the API server, for commands that query it.
#[derive(Debug, Args, Serialize)]
pub struct Api {
    /// Kubeconfig file for the Kubernetes API [default: KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub context: Option<String>,
}

/// Output formats for Kubernetes objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Manifest {
    /// YAML documents.
    #[default]
    Yaml,
    /// One JSON list.
    Json,
}

/// Flags of `uninstall`.
#[derive(Debug, Args, Serialize)]
pub struct Uninstall {
    /// Leave the addresses in the status of Services, for the load balancer that serves them next.
    #[arg(long)]
    #[serde(skip)]
    pub keep_addresses: bool,
    /// Kubeconfig file for the Kubernetes API [default: KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
}

/// Folders and the node's name. Only the flags that are given override the other layers of the configuration.
#[derive(Debug, Args, Serialize)]
struct Folders {
    /// Folder of Kubernetes manifests and plugins to serve instead of the Kubernetes API.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<PathBuf>,
    /// Folder for Service status and reports [default: DIR/.state].
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<PathBuf>,
    /// Folder for compiled plugins.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<PathBuf>,
    /// Name of this node [default: the host name].
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// Subcommands of `plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Show what a component is, what it requests, and whether this host can run it. Runs nothing.
    Inspect {
        /// Component to inspect.
        file: PathBuf,
        /// Output format.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// A table for people.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Checks what clap checks only in builds with debug assertions, which are never made here.
    fn check(command: &clap::Command) {
        let (mut names, mut flags) = (BTreeSet::new(), BTreeSet::new());
        for argument in command.get_arguments() {
            let (id, command) = (argument.get_id(), command.get_name());
            assert!(names.insert(id), "{command} has two arguments {id}");
            let long = argument.get_long().map(str::to_owned);
            let short = argument.get_short().map(String::from);
            for flag in long.into_iter().chain(short) {
                assert!(flags.insert(flag.clone()), "{command} has {flag} twice");
            }
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn no_command_has_a_flag_twice() {
        let mut all = Cli::command();
        all.build();
        check(&all);
    }
}
