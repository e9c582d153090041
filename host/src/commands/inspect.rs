//! `outrigger plugin inspect`: describes a component without running it, and checks whether a ConfigMap can carry it.
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use outrigger_kube::convert::{LARGEST_CONFIG_MAP, PLUGIN_KEYS};
use outrigger_runtime::Sizes;
use serde_json::{Value, json};

use crate::args::Output;

/// Advice for a component that is too large in every encoding. The API server refuses such a ConfigMap before Outrigger
/// sees it.
const TOO_LARGE: &str = "it does not fit into a ConfigMap: strip debug information and build for size; compress it with zstd -19 and inspect that file; a plugin that is still larger needs an OCI registry, as data.image of the ConfigMap (<reference>@sha256:...), which this version does not support yet (docs/plugins.md)";

/// Inspects one file and prints the result.
pub fn inspect(file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let bytes =
        std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = outrigger_runtime::unpack(&bytes)
        .and_then(|component| outrigger_runtime::inspect(&component))
        .with_context(|| format!("{} is not a plugin", file.display()))?;
    let sizes = outrigger_runtime::sizes(&bytes)?;
    match output {
        Output::Json => {
            let value = json!({
                "file": file, "digest": found.digest, "size": bytes.len(), "world": found.world.to_string(),
                "interface": found.version, "imports": found.imports, "exports": found.exports,
                "configMap": config_map(sizes),
            });
            println!("{value}");
        }
        Output::Table => {
            println!("file       {}", file.display());
            println!("digest     {}", found.digest);
            println!("size       {} bytes", bytes.len());
            println!("world      {}", found.world);
            println!("interface  {}", found.version);
            println!("imports    {}", or_none(&found.imports));
            println!("exports    {}", or_none(&found.exports));
            let mut title = "ConfigMap";
            for (key, size) in by_key(sizes) {
                let fits = match size <= LARGEST_CONFIG_MAP {
                    true => "fits".to_owned(),
                    false => format!("too large: a ConfigMap holds {LARGEST_CONFIG_MAP} at most"),
                };
                println!("{title:9}  {key:15}  {size:>9} bytes  {fits}");
                title = "";
            }
            if fitting(sizes).next().is_none() {
                println!("           {TOO_LARGE}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Returns each size with the ConfigMap key under which that encoding is delivered.
fn by_key(sizes: Sizes) -> impl Iterator<Item = (&'static str, usize)> {
    PLUGIN_KEYS.into_iter().zip([sizes.plain, sizes.gzip, sizes.zstd])
}

fn fitting(sizes: Sizes) -> impl Iterator<Item = &'static str> {
    by_key(sizes).filter(|(_, size)| *size <= LARGEST_CONFIG_MAP).map(|(key, _)| key)
}

fn config_map(sizes: Sizes) -> Value {
    let fits: Vec<_> = fitting(sizes).collect();
    let message = if fits.is_empty() { TOO_LARGE } else { "" };
    json!({
        "limit": LARGEST_CONFIG_MAP,
        "sizes": by_key(sizes).map(|(key, size)| (key.to_owned(), json!(size))).collect::<Value>(),
        "fits": fits,
        "message": message,
    })
}
