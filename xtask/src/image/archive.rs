//! The archive: an OCI image layout (image-spec v1.1, image-layout.md) in a tar. Must not know the content of the layer.
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType};

use super::date::rfc3339;
use super::layer::{Layer, append};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// OCI archive of one image.
pub struct Archive {
    /// The tar file.
    pub bytes: Vec<u8>,
    /// Digest of the manifest, which identifies the image.
    pub digest: String,
}

struct Blob<'a> {
    kind: &'static str,
    content: &'a [u8],
}

impl Blob<'_> {
    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": digest(self.content), "size": self.content.len() })
    }
}

/// Returns the digest as "sha256:…".
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// Puts the layer into an archive of one image.
pub fn archive(name: &str, layer: &Layer, date: u64) -> Result<Archive> {
    let config = config(layer, date)?.to_string();
    let config = Blob { kind: CONFIG, content: config.as_bytes() };
    let layer = Blob { kind: LAYER, content: &layer.gzip };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
        "annotations": { "org.opencontainers.image.created": rfc3339(date) },
    })
    .to_string();
    let manifest = Blob { kind: MANIFEST, content: manifest.as_bytes() };
    let mut entry = manifest.descriptor();
    entry["platform"] = json!({ "os": "linux", "architecture": architecture()? });
    // The first annotation is for containerd, the second for podman, skopeo and older containerd.
    entry["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string();
    let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();

    let mut files = vec![
        ("oci-layout".to_owned(), layout.as_bytes()),
        ("index.json".to_owned(), index.as_bytes()),
    ];
    let mut blobs: Vec<_> = [&config, &layer, &manifest]
        .map(|blob| (digest(blob.content).replace("sha256:", "blobs/sha256/"), blob.content))
        .into();
    blobs.sort();
    files.extend(blobs);
    let mut builder = Builder::new(Vec::new());
    for folder in ["blobs/", "blobs/sha256/"] {
        append(&mut builder, folder, (EntryType::Directory, 0o755), &[], date)?;
    }
    for (path, content) in files {
        append(&mut builder, &path, (EntryType::Regular, 0o644), content, date)?;
    }
    Ok(Archive { bytes: builder.into_inner()?, digest: digest(manifest.content) })
}

/// Returns the image configuration. It sets no user: the pods set it, and a node's must be 0 to keep its capability.
fn config(layer: &Layer, date: u64) -> Result<Value> {
    Ok(json!({
        "created": rfc3339(date),
        "architecture": architecture()?,
        "os": "linux",
        "config": {
            "Entrypoint": ["/outrigger"],
            "Env": ["PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "outrigger",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer.tar)] },
        "history": [{ "created": rfc3339(date), "created_by": "cargo xtask image" }],
    }))
}

/// Returns the architecture in Go's terms, which OCI uses. The binary is built for this machine.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
    .with_context(|| format!("no image for {}: build it on x86-64", std::env::consts::ARCH))
}
