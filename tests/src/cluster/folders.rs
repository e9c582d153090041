//! The two folders of a cluster: manifests as input, Service status as output.
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Cluster, LIMIT};
use crate::wait;

impl Cluster {
    /// Writes a file to the folder of manifests atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        let whole = self.lab.folder().join("whole");
        fs::write(&whole, content).with_context(|| format!("cannot write {}", whole.display()))?;
        fs::rename(&whole, self.manifest(name)).with_context(|| format!("cannot write {name}"))
    }

    /// Writes a plugin to the folder of manifests under a name. Returns its digest as `status` shows it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn put_plugin(&self, name: &str, component: &Path) -> Result<String> {
        let bytes =
            fs::read(component).with_context(|| format!("no plugin {}", component.display()))?;
        self.put(&format!("{name}.wasm"), &bytes)?;
        Ok(digest(&bytes))
    }

    /// Removes a file from the folder of manifests.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.manifest(name)).with_context(|| format!("cannot remove {name}"))
    }

    /// Returns the path of a file in the folder of manifests.
    pub fn manifest(&self, name: &str) -> PathBuf {
        self.manifests.join(name)
    }

    /// Creates a Service `default/<name>`, and waits for its address.
    ///
    /// # Errors
    /// When it gets none in time.
    pub fn create_service(&self, name: &str) -> Result<IpAddr> {
        self.put(&format!("service-{name}.yaml"), service(name, "").as_bytes())?;
        self.await_address("default", name)
    }

    /// Waits for the address of a Service.
    ///
    /// # Errors
    /// When it gets none in time.
    pub fn await_address(&self, namespace: &str, name: &str) -> Result<IpAddr> {
        let what = format!("an address for Service {namespace}/{name}");
        wait::until(&what, LIMIT, || Ok(self.addresses(namespace, name)?.first().copied()))
    }

    /// Returns the path of the key that encrypts the nodes' gossip.
    pub fn gossip_key_file(&self) -> PathBuf {
        self.state.join("gossip.key")
    }

    /// Returns the path of a Service's status.
    pub fn status_file(&self, namespace: &str, name: &str) -> PathBuf {
        self.state.join("services").join(namespace).join(format!("{name}.yaml"))
    }

    /// Returns the addresses in the status of a Service; none if there is no status.
    ///
    /// # Errors
    /// When the status cannot be read as one.
    pub fn addresses(&self, namespace: &str, name: &str) -> Result<Vec<IpAddr>> {
        let path = self.status_file(namespace, name);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
        let status: Value = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is not YAML", path.display()))?;
        let ingress = status.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
        let addresses = ingress.into_iter().flatten().filter_map(|entry| entry["ip"].as_str());
        addresses
            .map(|address| {
                address.parse().with_context(|| format!("{address} is not an IP address"))
            })
            .collect()
    }

    /// Returns true if the status of any Service holds this address.
    ///
    /// # Errors
    /// When the state folder cannot be read.
    pub fn any_address(&self, address: IpAddr) -> Result<bool> {
        let Ok(namespaces) = fs::read_dir(self.state.join("services")) else { return Ok(false) };
        for namespace in namespaces {
            for file in fs::read_dir(namespace?.path())? {
                let path = file?.path();
                let (Some(namespace), Some(name)) =
                    (path.parent().and_then(Path::file_name), path.file_stem())
                else {
                    continue;
                };
                if self
                    .addresses(&namespace.to_string_lossy(), &name.to_string_lossy())?
                    .contains(&address)
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Returns a Service `default/<name>` of type LoadBalancer, with more lines for its `spec`.
pub fn service(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  namespace: default\n  name: {name}\nspec:\n  type: LoadBalancer\n{spec}  \
         ports:\n  - port: 80\n"
    )
}

/// Returns the SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|octet| format!("{octet:02x}")).collect()
}
