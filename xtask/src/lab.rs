//! `cargo xtask lab`: runs a Kubernetes laboratory by hand. The laboratory itself is in outrigger-tests.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use outrigger_tests::clock;
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::kubernetes::binaries;
use outrigger_tests::kubernetes::images::Image;
use outrigger_tests::kubernetes::segment::{Member, Segment};

use crate::{run, setup};

/// Operation on a laboratory.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Start the laboratory.
    Up {
        /// Number of nodes; 0 for an API server and etcd alone.
        #[arg(default_value_t = 3)]
        nodes: u8,
    },
    /// Remove the laboratory, or the remains of one that crashed.
    Down,
    /// Show nodes and pods.
    Status,
    /// Run kubectl as the cluster's administrator.
    Kubectl {
        /// Arguments of kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run a command in the network of cp, client, n1, n2 and so on.
    On {
        /// Member whose network is used: cp, client, n1, n2 and so on.
        member: String,
        /// Command to run.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Unplug a node's cables: the carrier goes down.
    Cut {
        /// Member to cut: n1, n2 and so on, or client.
        member: String,
        /// Cut only this interface: eth0 or eth1.
        interface: Option<String>,
    },
    /// Drop a node's frames while the carrier stays up, as behind a dead switch.
    Hole {
        /// Member to silence: n1, n2 and so on, or client.
        member: String,
        /// Silence only this interface: eth0 or eth1.
        interface: Option<String>,
    },
    /// Undo cut and hole.
    Mend {
        /// Member to repair: n1, n2 and so on, or client.
        member: String,
    },
    /// Build an image of static files and load it on every node.
    Image {
        /// Name of the image, such as docker.io/local/web:1.
        image: String,
        /// Entrypoint of the container: a path, or a JSON list of words.
        entrypoint: String,
        /// Files, each with its path here and in the image, such as web:/web.
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// Load an image archive on every node.
    Load {
        /// Archive as written by `docker save` or `cargo xtask image`.
        archive: PathBuf,
    },
}

/// Runs the operation.
pub fn lab(name: &str, what: &LabCommand) -> Result<()> {
    match what {
        LabCommand::Up { nodes } => up(name, *nodes),
        LabCommand::Down => Lab::find(name)?.down(),
        LabCommand::Status => {
            let lab = Lab::find(name)?;
            print!("{}", lab.kubectl(&["get", "nodes", "--output", "wide"])?);
            print!("{}", lab.kubectl(&["get", "pods", "--all-namespaces", "--output", "wide"])?);
            Ok(())
        }
        LabCommand::Kubectl { arguments } => {
            let lab = Lab::find(name)?;
            pass(lab.kubectl_command(&lab.kubeconfig()).args(arguments))
        }
        LabCommand::On { member, command } => {
            let namespace = Lab::find(name)?.namespace(member)?;
            let (program, arguments) = command.split_first().context("no command")?;
            pass(namespace.command(program).args(arguments))
        }
        LabCommand::Cut { member, interface: None } => Lab::find(name)?.cut(member),
        LabCommand::Hole { member, interface: None } => Lab::find(name)?.hole(member),
        LabCommand::Cut { member, interface: Some(interface) } => {
            Lab::find(name)?.network().cut(Member::named(member)?, Segment::named(interface)?)
        }
        LabCommand::Hole { member, interface: Some(interface) } => {
            Lab::find(name)?.network().hole(Member::named(member)?, Segment::named(interface)?)
        }
        LabCommand::Mend { member } => Lab::find(name)?.mend(member),
        LabCommand::Image { image, entrypoint, files } => {
            Lab::find(name)?.image(&self::image(image, entrypoint, files)?)
        }
        LabCommand::Load { archive } => Lab::find(name)?.load(archive),
    }
}

fn up(name: &str, nodes: u8) -> Result<()> {
    setup::kubernetes(if nodes == 0 { binaries::API } else { binaries::ALL })?;
    let start = clock::now();
    let mut lab = Lab::up(name, nodes)?;
    let time = clock::since(start);
    lab.keep()?;
    println!("laboratory {name} is up after {}", run::readable(time));
    if nodes > 0 {
        print!("{}", lab.kubectl(&["get", "nodes", "--output", "wide"])?);
    }
    println!(
        "\nlogs and kubeconfig: {}\nkubectl:             cargo xtask lab --name {name} kubectl get nodes\n\
         as the client:       cargo xtask lab --name {name} on client curl http://…\nremove it:           cargo xtask lab --name {name} down",
        lab.folder().display()
    );
    Ok(())
}

fn image(name: &str, entrypoint: &str, files: &[String]) -> Result<Image> {
    let entrypoint = if entrypoint.starts_with('[') {
        serde_json::from_str(entrypoint).context("the entry point is not a JSON list of strings")?
    } else {
        vec![entrypoint.to_owned()]
    };
    let pair = |file: &String| {
        let pair = file.split_once(':').map(|(here, there)| (here.into(), there.to_owned()));
        pair.with_context(|| format!("{file} is not of the form SOURCE:TARGET"))
    };
    let files = files.iter().map(pair).collect::<Result<_>>()?;
    Ok(Image { name: name.to_owned(), entrypoint, files })
}

/// Runs a command on this terminal and exits with its status.
fn pass(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => std::process::exit(code),
        None => bail!("{program} ended by {status}"),
    }
}
