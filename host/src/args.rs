//! The command line. No behaviour.
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
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// YAML file with any of the settings; OUTRIGGER_* and flags go before it.
    #[arg(long, global = true, env = "OUTRIGGER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Cli {
    /// The arguments of this process. As a program called `kubectl-outrigger`, kubectl finds it and runs it for
    /// `kubectl outrigger`: its help then shows what a person types.
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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the Services of a Kubernetes cluster, or of a folder of manifests: allocate, announce, swap plugins.
    Run(Run),
    /// Show, without any effect, what would be allocated and announced from a folder.
    Plan(Plan),
    /// Show pools, addresses, who answers for what, and plugins: of a cluster, or of a folder.
    Status(Asked),
    /// Say why a Service has its address and who answers for it, or why not, and what to change.
    Why(Why),
    /// Turn the configuration of another load balancer into ours. Prints it; applies nothing.
    Import {
        /// Whose.
        #[command(subcommand)]
        command: Import,
    },
    /// Say how BGP sessions are and what peers were told.
    Bgp(Bgp),
    /// Take out what Outrigger left in Services and pools of a cluster, before its manifests are deleted.
    Uninstall(Uninstall),
    /// Look at plugins.
    Plugin {
        /// What about them.
        #[command(subcommand)]
        command: Plugin,
    },
    /// Compile a component to native code. The daemon runs this as a child, so that it never compiles itself.
    Compile {
        /// The component.
        input: PathBuf,
        /// Where the native code goes.
        output: PathBuf,
    },
    /// Print the version of the program and of the plugin interface it speaks.
    Version {
        /// How to print it.
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
    /// Address for gossip with other nodes; the first InternalIP of this node's Node object when absent.
    #[arg(long, value_name = "IP")]
    #[serde(skip)]
    pub gossip_address: Option<IpAddr>,
    /// How to reach the Kubernetes API [default: the pod's service account, or KUBECONFIG].
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    /// What this process does in a cluster [default: both].
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// Where metrics, /healthz and /readyz are served [default: nowhere].
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
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    #[serde(skip)]
    pub output: Output,
}

/// What is asked, a cluster or a folder, and how the answer is printed.
#[derive(Debug, Args, Serialize)]
pub struct Asked {
    #[command(flatten)]
    #[serde(flatten)]
    folders: Folders,
    /// The API server.
    #[command(flatten)]
    #[serde(flatten)]
    pub api: Api,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    #[serde(skip)]
    pub output: Output,
}

/// Flags of `bgp`.
#[derive(Debug, Args, Serialize)]
pub struct Bgp {
    /// Whom.
    #[command(flatten)]
    #[serde(flatten)]
    pub asked: Asked,
    /// What about it.
    #[arg(value_enum)]
    #[serde(skip)]
    pub question: BgpQuestion,
    /// For `session`: the peer's name in the configuration, or its address.
    #[arg(required_if_eq("question", "session"))]
    #[serde(skip)]
    pub peer: Option<String>,
}

/// Questions that `bgp` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BgpQuestion {
    /// Every session and how it is.
    Peers,
    /// What each peer was told to reach here.
    Routes,
    /// One session in full.
    Session,
}

/// Flags of `why`.
#[derive(Debug, Args, Serialize)]
pub struct Why {
    /// A Service (NAMESPACE/NAME, or NAME), or an address.
    #[arg(value_name = "SERVICE|ADDRESS")]
    #[serde(skip)]
    pub subject: String,
    /// Namespace of a Service that is named without one [default: that of the context].
    #[arg(short, long, value_name = "NAME")]
    #[serde(skip)]
    pub namespace: Option<String>,
    /// Whom.
    #[command(flatten)]
    #[serde(flatten)]
    pub asked: Asked,
}

/// Whose configuration is imported.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// MetalLB's, as custom resources or as the ConfigMap of 0.9. Exit code 2: something has no counterpart, and a line on
    /// stderr says what was done instead.
    Metallb(ImportMetallb),
}

/// Flags of `import metallb`.
#[derive(Debug, Args, Serialize)]
pub struct ImportMetallb {
    /// Read files, folders, or the standard input (-) in place of a cluster.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Print what to apply to go back to MetalLB.
    #[arg(long)]
    #[serde(skip)]
    pub undo: bool,
    /// MetalLB's namespace [default: the one that has its objects].
    #[arg(short, long, value_name = "NAME")]
    #[serde(skip)]
    pub namespace: Option<String>,
    /// The API server.
    #[command(flatten)]
    #[serde(flatten)]
    pub api: Api,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    #[serde(skip)]
    pub output: Manifest,
}

/// The API server, for whoever asks.
#[derive(Debug, Args, Serialize)]
pub struct Api {
    /// How to reach the Kubernetes API [default: KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub context: Option<String>,
}

/// How to print objects.
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
    /// Leave the addresses in the status of Services, for whatever serves them next.
    #[arg(long)]
    #[serde(skip)]
    pub keep_addresses: bool,
    /// How to reach the Kubernetes API [default: the pod's service account, or KUBECONFIG].
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
}

/// Where things are. Only what is given goes before the other layers of the configuration.
#[derive(Debug, Args, Serialize)]
struct Folders {
    /// Folder of Kubernetes manifests and plugins, in place of the Kubernetes API.
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
    /// This node's name [default: the host name].
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// Subcommands of `plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Say what a component is, what it asks for, and whether this host can run it. Runs nothing.
    Inspect {
        /// The component.
        file: PathBuf,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// How to print.
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

    /// clap looks at this only in builds with debug assertions, which nobody makes here.
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
