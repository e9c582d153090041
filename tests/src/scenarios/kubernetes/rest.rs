//! In the steady state, a node does no work that grows with the number of Services.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{LIMIT, NODE, Stage, pods_of};
use crate::kubernetes::Lab;
use crate::wait;

/// Observed time: each kubelet reports its node's unchanged state three times in it, and it is twice the time in which a node
/// writes a change.
const REST: Duration = Duration::from_secs(7);

/// Checks that no node with an announced Service writes into its state folder once everything is reported. The regular reports
/// of kubelets change nothing.
///
/// # Errors
/// When a node keeps writing, or has never written.
pub fn writes_nothing(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "rest", 110)?;
    for address in stage.service("web", &json!({}))? {
        stage.answer(address, |_| true)?;
    }
    let folders = pods_of(lab, NODE)?;
    let folders = folders.iter().map(|pod| {
        let text = |pointer| pod.pointer(pointer).and_then(serde_json::Value::as_str);
        let node = text("/spec/nodeName").context("a pod without a node")?;
        let pod = text("/metadata/uid").context("a pod without a uid")?;
        let pods = lab.folder().join(node).join("var/lib/kubelet/pods");
        Ok(pods.join(pod).join("volumes/kubernetes.io~empty-dir/state"))
    });
    let folders = folders.collect::<Result<Vec<PathBuf>>>()?;
    let all = || folders.iter().map(|folder| last_written(folder)).collect::<Result<Vec<_>>>();
    let mut before = all()?;
    wait::until(&format!("for {REST:?} no node writes anything"), LIMIT, || {
        std::thread::sleep(REST);
        let after = all()?;
        ensure!(after.iter().all(Option::is_some), "a node has written nothing: {folders:?}");
        let rests = after == before;
        before = after;
        Ok(rests.then_some(()))
    })
}

/// Returns the time of the last write in a folder; `None` for one without files.
fn last_written(folder: &Path) -> Result<Option<SystemTime>> {
    let mut last = None;
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        let written = match fs::metadata(&path) {
            Ok(it) if it.is_dir() => last_written(&path)?,
            Ok(it) => Some(it.modified()?),
            // Renamed meanwhile: the replacement is newer.
            Err(_) => continue,
        };
        last = last.max(written);
    }
    Ok(last)
}
