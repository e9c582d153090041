//! What the API server was asked, from its audit log: who asked, for what, and what the answer's code was.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Lab;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `system:serviceaccount:outrigger-system:outrigger-node`.
    pub user: String,
    /// The pod whose token it came with; empty for who is none.
    pub pod: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// `services`, `services/status`.
    pub resource: String,
    /// The API group; empty for the core's.
    pub group: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// The HTTP status.
    pub code: u64,
}

impl Request {
    /// Whether it was to change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl Lab {
    /// A place in the audit log: where it ends now.
    ///
    /// # Errors
    /// When there is none.
    pub fn audit_mark(&self) -> Result<u64> {
        Ok(fs::metadata(self.folder().join("audit.log")).context("no audit log")?.len())
    }

    /// The requests answered since a place in the log, 0 for all. A watch is there once it has begun.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit(&self, mark: u64) -> Result<Vec<Request>> {
        let mut file = File::open(self.folder().join("audit.log")).context("no audit log")?;
        file.seek(SeekFrom::Start(mark))?;
        let mut log = Vec::new();
        file.read_to_end(&mut log)?;
        // The last line may still be being written.
        let end = log.iter().rposition(|octet| *octet == b'\n').unwrap_or_default();
        let mut requests = Vec::new();
        for line in log[..end].split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).context("a line of the audit log")?;
            requests.extend(request(&event));
        }
        Ok(requests)
    }
}

/// How many requests there were by user, verb and resource.
pub fn counts(requests: &[Request]) -> BTreeMap<(&str, &str, &str), usize> {
    let mut counts = BTreeMap::new();
    for Request { user, verb, resource, .. } in requests {
        *counts.entry((user.as_str(), verb.as_str(), resource.as_str())).or_default() += 1;
    }
    counts
}

/// Of an event; none for paths that are no resource, and for the second entry of a watch.
fn request(event: &Value) -> Option<Request> {
    let (object, text) =
        (event.get("objectRef")?, |value: &Value| value.as_str().map(str::to_owned));
    let verb = text(&event["verb"])?;
    let stage = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if event["stage"] != stage {
        return None;
    }
    let part = |field| object.get(field).and_then(text).unwrap_or_default();
    let (resource, below) = (part("resource"), part("subresource"));
    Some(Request {
        user: text(&event["user"]["username"])?,
        pod: text(&event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0])
            .unwrap_or_default(),
        verb,
        resource: if below.is_empty() { resource } else { format!("{resource}/{below}") },
        group: part("apiGroup"),
        namespace: part("namespace"),
        name: part("name"),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
    })
}
