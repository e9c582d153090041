//! Requests to the API server, from its audit log: the user, the request, and the status code.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Lab;

/// Answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// User, such as `system:serviceaccount:outrigger-system:outrigger-node`.
    pub user: String,
    /// Pod of the request's token; empty for users that are no pod.
    pub pod: String,
    /// Verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Resource, such as `services` or `services/status`.
    pub resource: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name of the object; empty for lists.
    pub name: String,
    /// HTTP status.
    pub code: u64,
}

impl Request {
    /// Returns true if the request was to change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl Lab {
    /// Returns the current end of the audit log, as a mark for [`Lab::audit`].
    ///
    /// # Errors
    /// When there is no log.
    pub fn audit_mark(&self) -> Result<u64> {
        Ok(fs::metadata(self.folder().join("audit.log")).context("no audit log")?.len())
    }

    /// Returns the requests answered since a mark, 0 for all. A watch is included once it has begun.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit(&self, mark: u64) -> Result<Vec<Request>> {
        let mut file = File::open(self.folder().join("audit.log")).context("no audit log")?;
        file.seek(SeekFrom::Start(mark))?;
        let mut log = Vec::new();
        file.read_to_end(&mut log)?;
        // The last line may be incomplete.
        let end = log.iter().rposition(|octet| *octet == b'\n').unwrap_or_default();
        let mut requests = Vec::new();
        for line in log[..end].split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).context("a line of the audit log")?;
            requests.extend(request(&event));
        }
        Ok(requests)
    }
}

/// Counts the requests by user, verb and resource.
pub fn counts(requests: &[Request]) -> BTreeMap<(&str, &str, &str), usize> {
    let mut counts = BTreeMap::new();
    for Request { user, verb, resource, .. } in requests {
        *counts.entry((user.as_str(), verb.as_str(), resource.as_str())).or_default() += 1;
    }
    counts
}

/// Returns the request of an event; `None` for paths that are no resource, and for the second entry of a watch.
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
