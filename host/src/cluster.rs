//! The parts of the node role that exist only in a cluster: it waits for the gossip key, starts from remembered facts
//! while the API server is unavailable, and sends its report.
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use outrigger_core::facts::Change;
use outrigger_kube::State;
use outrigger_kube::api::{Reader, Reports, Watches, read_gossip_key};
use outrigger_kube::convert::ServiceClasses;
use outrigger_kube::crd::{DesiredReport, NodeReport, NodeReportStatus};
use outrigger_net::now;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{Config, Role};
use crate::controller::MEMBER;
use crate::delivery::Deliveries;
use crate::http::{Health, Question};
use crate::metrics::Page;
use crate::plugins::Plugins;
use crate::source::Source;

/// Delay between two attempts to read what the node cannot run without.
const RETRY: Duration = Duration::from_millis(500);
/// Delay before a report that could not be written is retried.
const REPORT_RETRY: Duration = Duration::from_secs(2);
/// Shortest time between two reports that differ only in what is desired.
const UNSETTLED: Duration = Duration::from_secs(2);
/// Time for which a stopping node waits for its last report to be written.
const LAST_REPORT: Duration = Duration::from_millis(500);
/// Time for which a node with remembered facts waits for the API server when it starts.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest age of remembered facts. Older ones may have become wrong, so the node waits for the API server instead.
const OLDEST_MEMORY: Duration = Duration::from_secs(24 * 3600);
/// Delay from a change to the write to disk.
const MEMORY_DELAY: Duration = Duration::from_secs(2);

/// Watches everything that the node role needs to know.
pub fn watch(client: &Client, classes: &ServiceClasses) -> Source {
    Source::Cluster(Box::new(Watches::start(client, classes, Reader::Node)))
}

/// Follows the plugins that are published for this node, and policies too if it also allocates. Sends the name of each
/// plugin that changed to `loaded`.
pub fn follow(
    config: &Config,
    node: &str,
    plugins: &Arc<Plugins>,
    client: &Client,
    loaded: &mpsc::UnboundedSender<String>,
) -> Deliveries {
    let mut names = vec![node.to_owned()];
    if config.role == Role::Both {
        names.push(MEMBER.to_owned());
    }
    let loaded = loaded.clone();
    // The send fails only when the daemon has ended.
    let changed = move |name: &str| drop(loaded.send(name.to_owned()));
    Deliveries::new(plugins.clone(), client.clone(), names, changed)
}

/// Returns the key that seals gossip: the Secret's, or the one that this node used before while the API server is
/// unavailable.
///
/// Answers health and metrics requests while it waits.
///
/// # Errors
/// When the state folder cannot be written.
pub async fn gossip_key(
    client: &Client,
    state: &State,
    questions: &mut mpsc::Receiver<Question>,
) -> anyhow::Result<[u8; 32]> {
    let mut waiting = false;
    loop {
        match tokio::time::timeout(RETRY * 4, read_gossip_key(client)).await {
            Ok(Ok(Some(key))) => {
                state.keep_gossip_key(key)?;
                return Ok(key);
            }
            Ok(Ok(None)) if !waiting => {
                waiting = true;
                tracing::info!(
                    "waiting for Secret outrigger-system/outrigger-gossip, which the controller creates"
                );
            }
            Ok(Ok(None)) => {}
            failed => {
                if let Some(key) = state.kept_gossip_key() {
                    tracing::warn!(
                        "the API server does not answer: continuing with the stored gossip key"
                    );
                    return Ok(key);
                }
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer".to_owned(),
                };
                tracing::warn!("the gossip key cannot be read: {error}");
            }
        }
        let next = tokio::time::sleep(RETRY);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(question) = questions.recv() => {
                    let missing = vec!["secret outrigger-gossip".to_owned()];
                    // The send fails if the connection that asked has closed.
                    let metrics = Page::default().text();
                    let _ = question.answer.send(Health { missing, metrics, details: None });
                }
            }
        }
    }
}

/// Waits for the API server to list everything if this node has remembered facts, for `PATIENCE` at most: then it
/// returns these (invariant 1), and later lists correct them. Without usable facts it returns at once.
pub async fn listed(watches: &mut Watches, state: &State) -> Vec<Change> {
    let Some(memory) = state.remembered() else { return Vec::new() };
    let age = Duration::from_micros(now().utc_us.saturating_sub(memory.utc_us));
    if age > OLDEST_MEMORY {
        tracing::warn!(
            "the stored state of this node is {} hours old and is not used",
            age.as_secs() / 3600
        );
        return Vec::new();
    }
    let mut changes = Vec::new();
    let all = async {
        while !watches.complete() {
            watches.changed().await;
            changes.extend(watches.read());
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        tracing::warn!(
            "the API server does not answer: serving the state of {} s ago",
            age.as_secs()
        );
        changes.extend(watches.remember(memory.facts));
    }
    changes
}

/// Persists the node's facts on disk.
#[derive(Default)]
pub struct Memory {
    /// Time at which the disk is to be written, in monotonic microseconds; `None` if nothing changed since the last
    /// write.
    pub due: Option<u64>,
    facts_changed: bool,
}

impl Memory {
    /// Notes that facts changed.
    pub fn changed(&mut self) {
        self.facts_changed = true;
        self.reported();
    }

    /// Notes that the node's report changed.
    pub fn reported(&mut self) {
        self.due.get_or_insert(now().monotonic_us + MEMORY_DELAY.as_micros() as u64);
    }

    /// Writes the facts to disk if they changed, unless some of them are still the remembered ones.
    pub fn write(&mut self, source: &Source, state: &State) {
        self.due = None;
        let Source::Cluster(watches) = source else { return };
        if !watches.complete() || !std::mem::take(&mut self.facts_changed) {
            return;
        }
        if let Err(error) = state.remember(watches.facts(), now()) {
            tracing::warn!("the state of this node cannot be stored: {error}");
        }
    }
}

type Latest = watch::Receiver<Option<NodeReport>>;

/// Sends the node's report to the API server.
pub struct Sent {
    latest: watch::Sender<Option<NodeReport>>,
    task: JoinHandle<()>,
}

impl Sent {
    /// Starts a task that writes the report of the node of this name.
    pub fn start(client: &Client, node: &str) -> Self {
        let (latest, reports) = watch::channel(None);
        let task = tokio::spawn(send(Reports::new(client.clone(), node), reports));
        Self { latest, task }
    }

    /// Replaces the report to be sent. An earlier one that is not written yet is never written.
    pub fn report(&self, report: NodeReport) {
        self.latest.send_replace(Some(report));
    }

    /// Waits briefly for the last report to be written.
    pub async fn end(self) {
        drop(self.latest);
        let _ = tokio::time::timeout(LAST_REPORT, self.task).await;
    }
}

async fn send(mut reports: Reports, mut latest: Latest) {
    let mut written: Option<(NodeReport, Instant)> = None;
    let mut open = true;
    while open {
        open = latest.changed().await.is_ok();
        if let Some((before, at)) = written.as_ref().filter(|_| open) {
            hold_back(before, *at + UNSETTLED, &mut latest).await;
        }
        let report = latest.borrow_and_update().clone();
        let Some(report) = report else { continue };
        match reports.write(&report).await {
            Ok(()) => written = Some((report, Instant::now())),
            Err(error) => {
                tracing::warn!("the NodeReport could not be written: {error}");
                if open {
                    tokio::time::sleep(REPORT_RETRY).await;
                    latest.mark_changed();
                }
            }
        }
    }
}

/// Holds back a report that differs from the previous one only in what is desired, until `due`: while many addresses
/// come or go, such a report is soon outdated. Any other report is not held back.
async fn hold_back(before: &NodeReport, due: Instant, latest: &mut Latest) {
    let rest = |report: &NodeReport| {
        let mut status = report.status.clone().unwrap_or_default();
        for plugin in &mut status.plugins {
            (plugin.wanted, plugin.announced) = (0, 0);
        }
        NodeReportStatus { desired: DesiredReport::default(), ..status }
    };
    let before = rest(before);
    let same = |latest: &mut Latest| {
        latest.borrow_and_update().as_ref().is_some_and(|report| rest(report) == before)
    };
    while same(latest) {
        match tokio::time::timeout_at(due, latest.changed()).await {
            Ok(Ok(())) => {}
            // The report is due, or the node stops.
            _ => return,
        }
    }
}
