//! Keys that plugins name and never see: looked up in the Secrets of the source when a socket needs one. What could be read
//! once is used while the source is silent.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use kube::Client;
use outrigger_kube::secrets::{SecretData, read_secret, secret_in_folder};
use outrigger_net::{SecretKey, now};
use tokio::runtime::Handle;

/// How long a socket waits for the API server.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was read counts as new: a peer that refuses our key is tried again and again.
const FRESH_US: u64 = 5_000_000;

/// Where Secrets are read from.
pub enum Keyring {
    /// A folder of manifests.
    Folder(PathBuf),
    /// The API server, the runtime that speaks with it, and what was read when.
    Cluster(Client, Handle, Mutex<BTreeMap<String, (u64, SecretData)>>),
}

impl Keyring {
    /// From the API server.
    pub fn of_cluster(client: &Client) -> Self {
        Self::Cluster(client.clone(), Handle::current(), Mutex::default())
    }

    /// One key of a Secret. Blocks for a moment: not for threads that others wait for.
    pub fn key(&self, secret: &str, key: &str) -> Option<SecretKey> {
        let value = match self {
            Self::Folder(folder) => secret_in_folder(folder, secret)?.remove(key),
            Self::Cluster(client, runtime, known) => {
                let fresh = |known: &BTreeMap<String, (u64, SecretData)>| {
                    let (read, data) = known.get(secret)?;
                    (now().monotonic_us - read < FRESH_US).then(|| data.clone())
                };
                let lock = || known.lock().expect("nothing panics while it holds the keys");
                let data = fresh(&lock());
                let data = data.or_else(|| fetch(client, runtime, secret));
                if let Some(data) = &data {
                    lock().insert(secret.to_owned(), (now().monotonic_us, data.clone()));
                }
                let data = data.or_else(|| Some(lock().get(secret)?.1.clone()));
                data?.remove(key)
            }
        };
        // An editor's line end is part of no key.
        let mut value = value?;
        while value.last() == Some(&b'\n') {
            value.pop();
        }
        (!value.is_empty()).then_some(SecretKey(value))
    }
}

/// On the runtime's own thread, since this one has none.
fn fetch(client: &Client, runtime: &Handle, secret: &str) -> Option<SecretData> {
    let (done, answer) = mpsc::channel();
    let (client, name) = (client.clone(), secret.to_owned());
    runtime.spawn(async move {
        // Whoever asked may have given up.
        let _ = done.send(read_secret(&client, &name, PATIENCE).await);
    });
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(data)) => data,
        Ok(Err(error)) => {
            tracing::warn!(secret, "a Secret cannot be read: {error}");
            None
        }
        Err(_) => None,
    }
}
