//! `outrigger import metallb`: converts MetalLB's configuration to Outrigger's, and back. Prints everything or nothing;
//! applies nothing.
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use outrigger_kube::api;
use outrigger_kube::import::{self, Imported, Original};
use serde_json::{Value, json};

use crate::args::{ImportMetallb, Manifest};
use crate::config::Config;

/// Exit code when something has no counterpart, so that a pipeline can detect it.
const LEFT_OUT: u8 = 2;

/// Converts the configuration and prints it.
pub fn import_metallb(config: &Config, flags: &ImportMetallb) -> anyhow::Result<ExitCode> {
    let originals = match flags.files.as_slice() {
        [] => from_cluster(config, flags.api.context.as_deref())?,
        files => from_files(files)?,
    };
    let namespace = flags.namespace.as_deref();
    let Imported { objects, left_out } = match flags.undo {
        true => import::undo(&originals, namespace),
        false => import::metallb(&originals, namespace),
    };
    for line in &left_out {
        eprintln!("{line}");
    }
    anyhow::ensure!(
        !objects.is_empty(),
        "there is nothing to {} in {}",
        if flags.undo { "undo" } else { "import" },
        if flags.files.is_empty() { "the cluster" } else { "these files" },
    );
    print!("{}", manifest(&objects, flags.output)?);
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LEFT_OUT) })
}

fn from_cluster(config: &Config, context: Option<&str>) -> anyhow::Result<Vec<Original>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, _) = api::connect_as(config.kubeconfig.as_deref(), context).await?;
        let objects = api::configuration(&client).await;
        let objects = objects.context(
            "the cluster's configuration cannot be read completely, so nothing is printed",
        )?;
        Ok(import::read_values("", objects))
    })
}

/// Reads files; for a folder, reads the manifests in it.
fn from_files(files: &[PathBuf]) -> anyhow::Result<Vec<Original>> {
    let mut originals = Vec::new();
    for file in files {
        let name = file.display().to_string();
        if name == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("the standard input cannot be read")?;
            originals.extend(import::read("standard input", &text).map_err(anyhow::Error::msg)?);
        } else if file.is_dir() {
            originals.extend(from_files(&manifests_of(file)?)?);
        } else {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
            originals.extend(import::read(&name, &text).map_err(anyhow::Error::msg)?);
        }
    }
    Ok(originals)
}

fn manifests_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("{} cannot be listed", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Serializes objects as kubectl accepts them: YAML documents, or one JSON list.
fn manifest(objects: &[Value], output: Manifest) -> anyhow::Result<String> {
    if output == Manifest::Json {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        return Ok(serde_json::to_string_pretty(&list)? + "\n");
    }
    Ok(import::yaml(objects))
}
