//! Checks an archive's consistency: once by reading it again, once with an independent program.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::archive::digest;
use crate::run;

/// Follows every reference in the archive, from the index to the layer's content.
pub fn read_again(archive: &[u8], expected: &str) -> Result<()> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(path, content);
    }
    let file = |path: &str| files.get(path).with_context(|| format!("the archive has no {path}"));
    let blob = |descriptor: &Value| {
        let named = text(descriptor, "/digest")?;
        let content = file(&named.replace("sha256:", "blobs/sha256/"))?;
        ensure!(digest(content) == named, "the content of {named} does not match its digest");
        ensure!(descriptor["size"] == content.len(), "{named} has a different size");
        Ok(content)
    };
    let layout: Value = serde_json::from_slice(file("oci-layout")?)?;
    ensure!(layout["imageLayoutVersion"] == "1.0.0", "unsupported layout: {layout}");
    let index: Value = serde_json::from_slice(file("index.json")?)?;
    ensure!(text(&index, "/manifests/0/digest")? == expected, "unexpected image: {index}");
    let manifest: Value = serde_json::from_slice(blob(&index["manifests"][0])?)?;
    let config: Value = serde_json::from_slice(blob(&manifest["config"])?)?;
    let mut layer = Vec::new();
    GzDecoder::new(blob(&manifest["layers"][0])?.as_slice()).read_to_end(&mut layer)?;
    ensure!(
        digest(&layer) == text(&config, "/rootfs/diff_ids/0")?,
        "the layer does not match its digest"
    );
    Ok(())
}

fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str> {
    value.pointer(path).and_then(Value::as_str).with_context(|| format!("no {path} in {value}"))
}

/// Checks the archive with skopeo, where it is installed.
pub fn ask_skopeo(path: &Path, expected: &str) -> Result<()> {
    if !run::succeeds(Command::new("skopeo").arg("--version")) {
        println!("skopeo is not installed: the archive was only checked by reading it again");
        return Ok(());
    }
    let source = format!("oci-archive:{}", path.display());
    let output = Command::new("skopeo").args(["inspect", &source]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "skopeo inspect {source} failed: {}", said.trim());
    let image: Value =
        serde_json::from_slice(&output.stdout).context("the output of skopeo is not JSON")?;
    ensure!(text(&image, "/Digest")? == expected, "skopeo reads a different image: {image}");
    println!("skopeo reads the same image");
    Ok(())
}
