//! Keys that plugins refer to by name and never see: read from the Secrets of the source when a socket needs one. A
//! Secret that was read once is used while the source is unavailable.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use kube::Client;
use outrigger_kube::secrets::{SecretData, read_secret, secret_in_folder};
use outrigger_net::{SecretKey, now};
use tokio::runtime::Handle;

/// Time for which a socket waits for the API server.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time for which a Secret counts as fresh: a peer that refuses the key is retried again and again.
const FRESH_US: u64 = 5_000_000;

/// Source of Secrets.
pub enum SecretStore {
    /// A folder of manifests.
    Folder(PathBuf),
    /// The API server: its client, the runtime of the client, and each Secret with the time at which it was read.
    Cluster(Client, Handle, Mutex<BTreeMap<String, (u64, SecretData)>>),
}

impl SecretStore {
    /// Creates a secret store that reads from the API server.
    pub fn of_cluster(client: &Client) -> Self {
        Self::Cluster(client.clone(), Handle::current(), Mutex::default())
    }

    /// Returns one key of a Secret. Blocks for a moment, so it must not be called on threads that others wait for.
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
        // The line end that an editor appends is not part of the key.
        let mut value = value?;
        while value.last() == Some(&b'\n') {
            value.pop();
        }
        (!value.is_empty()).then_some(SecretKey(value))
    }
}

/// Reads a Secret on the client's runtime, because the current thread has none.
fn fetch(client: &Client, runtime: &Handle, secret: &str) -> Option<SecretData> {
    let (done, answer) = mpsc::channel();
    let (client, name) = (client.clone(), secret.to_owned());
    runtime.spawn(async move {
        // The send fails if the caller has given up.
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
