//! Kernel routes of a namespace: their current state, and every change with its time.
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::namespace::Namespace;
use crate::{clock, wait};

/// Returns the next hops of a prefix in the kernel's main table; empty if the prefix is not there.
///
/// # Errors
/// When `ip` fails.
pub fn next_hops(namespace: &Namespace, prefix: &str) -> Result<Vec<String>> {
    let routes = routes(namespace, prefix)?;
    let hops = routes.iter().flat_map(|route| match route["nexthops"].as_array() {
        Some(hops) => hops.iter().collect(),
        None => vec![route],
    });
    let gateway = |hop: &Value| {
        let via = hop["gateway"].as_str().or_else(|| hop["via"]["host"].as_str());
        via.or_else(|| hop["dev"].as_str()).map(str::to_owned)
    };
    Ok(hops.filter_map(gateway).collect())
}

/// Waits until a prefix has this number of next hops in the kernel.
///
/// # Errors
/// When that does not happen in time.
pub fn await_next_hops(namespace: &Namespace, prefix: &str, count: usize) -> Result<Vec<String>> {
    let what = format!("{prefix} by {count} next hops in the kernel");
    wait::until(&what, super::router::LIMIT, || {
        let hops = next_hops(namespace, prefix)?;
        Ok((hops.len() == count).then_some(hops))
    })
}

fn routes(namespace: &Namespace, prefix: &str) -> Result<Vec<Value>> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let output = namespace
        .command("ip")
        .args([family, "-json", "route", "show", "exact", prefix])
        .output()
        .context("cannot run ip")?;
    ensure!(output.status.success(), "ip failed: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&output.stdout).context("the output of ip is not JSON")
}

/// Change of the kernel's routes.
#[derive(Debug, Clone)]
pub struct Change {
    /// Time at which this process read the change.
    pub at: Instant,
    /// The change as printed by `ip monitor`.
    pub text: String,
}

/// Records every change of a namespace's routes until dropped.
#[derive(Debug)]
pub struct Monitor {
    child: Child,
    reader: Option<JoinHandle<()>>,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl Monitor {
    /// Starts the monitor; every change after this call is recorded.
    ///
    /// # Errors
    /// When `ip` cannot be run.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let mut child = namespace
            .mortal_command("ip")
            // With a pipe for its output it would buffer the lines.
            .args(["-oneline", "monitor", "route"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run ip")?;
        let output = child.stdout.take().context("a pipe was asked for")?;
        let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
        let kept = Arc::clone(&changes);
        let reader = std::thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                lock(&kept).push(Change { at: clock::now(), text });
            }
        });
        let monitor = Self { child, reader: Some(reader), changes };
        monitor.await_hearing(namespace)?;
        Ok(monitor)
    }

    /// Returns the changes that name this prefix (without `/32` and `/128`, as `ip` prints them).
    pub fn about(&self, prefix: &str) -> Vec<Change> {
        let name = prefix.trim_end_matches("/32").trim_end_matches("/128");
        let named = |change: &&Change| change.text.split_whitespace().any(|word| word == name);
        lock(&self.changes).iter().filter(named).cloned().collect()
    }

    /// Waits for the first change of a prefix after a moment, and returns how long it took.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn await_change(&self, prefix: &str, after: Instant, limit: Duration) -> Result<Duration> {
        wait::until(&format!("a change of {prefix} in the kernel"), limit, || {
            let change = self.about(prefix).into_iter().find(|change| change.at >= after);
            Ok(change.map(|change| change.at.duration_since(after)))
        })
    }

    /// Waits until the monitor receives changes, which it does only once its socket is open: adds and removes a test route
    /// until it is reported.
    fn await_hearing(&self, namespace: &Namespace) -> Result<()> {
        wait::until("ip monitor listens", Duration::from_secs(10), || {
            namespace
                .ip("route replace blackhole 240.0.0.1/32\nroute del blackhole 240.0.0.1/32\n")?;
            std::thread::sleep(Duration::from_millis(10));
            Ok((!lock(&self.changes).is_empty()).then_some(()))
        })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn lock(changes: &Mutex<Vec<Change>>) -> MutexGuard<'_, Vec<Change>> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}
