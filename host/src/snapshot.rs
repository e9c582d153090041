//! A snapshot of the current state for a user's query: from a folder and its state, or from a cluster. Must not know
//! the query.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use outrigger_core::allocation::Condition;
use outrigger_core::facts::{Change, Cluster, NodeName, ServiceKey};
use outrigger_core::plan::Unreachable;
use outrigger_core::why::{Inputs, PublishedCondition};
use outrigger_kube::api::{self, Reader, Watches};
use outrigger_kube::{Allocated, Folder, Problem, State, utc};
use outrigger_net::now;
use serde_json::Value;

use crate::config::Config;

mod observations;
mod parted;

pub use parted::{PARTED, UNHEARD};

use observations::Reports;

/// Timeout for listing everything. A large cluster takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A snapshot of the state.
pub struct ClusterSnapshot {
    /// Facts, conditions and reports.
    pub inputs: Inputs,
    /// Report of each node.
    pub reports: Reports,
    /// Nodes that are known to run.
    pub running: BTreeSet<NodeName>,
    /// Details of the nodes that could be asked.
    pub details: BTreeMap<NodeName, Value>,
    /// Problems of objects that cannot be read.
    pub problems: Vec<Problem>,
    /// True for a cluster, false for a folder.
    pub is_cluster: bool,
    /// Namespace of a Service that is named without one.
    pub namespace: String,
}

/// Source of a picture.
pub enum SnapshotSource {
    /// A folder of manifests, or only its state.
    Folder,
    /// A cluster.
    Cluster,
}

/// Reports and details of the nodes, as they were read.
#[derive(Default)]
struct NodeAnswers {
    reports: Reports,
    running: BTreeSet<NodeName>,
    details: BTreeMap<NodeName, Value>,
    /// Reason why each other node could not be asked.
    silent: BTreeMap<NodeName, Unreachable>,
}

impl SnapshotSource {
    /// Returns a folder if one is named or a node has left its state, otherwise a cluster.
    pub fn of(config: &Config) -> Self {
        let has_state = || {
            let state = config.state.as_deref().and_then(State::existing);
            state.is_some_and(|state| !state.reports().is_empty())
        };
        match config.manifests.is_some() || (config.kubeconfig.is_none() && has_state()) {
            true => Self::Folder,
            false => Self::Cluster,
        }
    }
}

impl ClusterSnapshot {
    /// Takes a picture of the folder or the cluster that the configuration selects.
    ///
    /// # Errors
    /// When the folder or the cluster cannot be read.
    pub fn take(config: &Config, context: Option<&str>) -> anyhow::Result<Self> {
        match SnapshotSource::of(config) {
            SnapshotSource::Folder => Self::of_folder(config),
            SnapshotSource::Cluster => Self::of_cluster(config, context)
                .with_context(|| "to query a folder instead, set --manifests DIR or --state DIR"),
        }
    }

    fn of_folder(config: &Config) -> anyhow::Result<Self> {
        let dir = config.state();
        let state = State::existing(&dir);
        let mut problems = Vec::new();
        let mut cluster = Cluster::default();
        if config.manifests.is_some() {
            let folder = Folder::open(config.manifests()?, state.as_ref())?;
            let mut folder = folder.with_classes(config.classes());
            folder.read().into_iter().for_each(|change| _ = cluster.apply(change));
            problems = folder.problems();
        } else {
            // The state folder of a node in a cluster: its remembered facts are used.
            let memory = state.as_ref().and_then(State::remembered);
            let facts = memory.into_iter().flat_map(|memory| memory.facts);
            facts.for_each(|fact| _ = cluster.apply(Change::Upsert(fact)));
            cluster.apply(Change::Synced);
        }
        let (mut conditions, mut words) = (BTreeMap::new(), NodeAnswers::default());
        match state {
            Some(state) => {
                for (key, status) in state.services()? {
                    match status {
                        Ok(status) => {
                            let said =
                                status.allocated.map(|allocated| said(allocated, status.since_us));
                            conditions.extend(said.map(|said| (key, said)));
                        }
                        Err(problem) => problems.push(problem),
                    }
                }
                words = NodeAnswers::in_folder(&dir, &state);
            }
            None => {
                anyhow::ensure!(
                    config.manifests.is_some(),
                    "{} is not a state folder",
                    dir.display()
                );
                let message = "does not exist: nothing has been served; start `outrigger run` with the same folder";
                let (file, message) = (dir.display().to_string(), message.to_owned());
                problems.push(Problem { file, object: None, message });
            }
        }
        Ok(Self::assembled(cluster, conditions, words, problems))
    }

    fn of_cluster(config: &Config, context: Option<&str>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (client, namespace) =
                api::connect_as(config.kubeconfig.as_deref(), context).await?;
            let mut watches = Watches::start(&client, &config.classes(), Reader::Person);
            let cluster = listed(&mut watches).await?;
            let (reports, asked) = tokio::join!(api::reports(&client), api::details(&client));
            let reports: Reports = reports
                .context("the NodeReports cannot be read")?
                .into_iter()
                .filter_map(|report| Some((report.metadata.name?, report.status?)))
                .collect();
            let conditions = cluster.services.keys().filter_map(|key| {
                let (allocated, since_us) = watches.observed(key)?.said()?;
                Some((key.clone(), said(allocated, since_us)))
            });
            let conditions = conditions.collect();
            let (details, silent) = observations::answered(reports.keys(), asked);
            let running = observations::running(&reports, &details);
            let words = NodeAnswers { reports, running, details, silent };
            let picture = Self::assembled(cluster, conditions, words, watches.problems());
            Ok(Self { is_cluster: true, namespace, ..picture })
        })
    }

    fn assembled(
        cluster: Cluster,
        conditions: BTreeMap<ServiceKey, PublishedCondition>,
        words: NodeAnswers,
        mut problems: Vec<Problem>,
    ) -> Self {
        let NodeAnswers { reports, running, details, silent } = words;
        problems.extend(parted::parted(&cluster, &reports, &running));
        let heard = observations::hear(&reports, &running, &details, &silent);
        Self {
            inputs: Inputs::new(cluster, heard, conditions, now()),
            reports,
            running,
            details,
            problems,
            is_cluster: false,
            namespace: "default".to_owned(),
        }
    }
}

impl NodeAnswers {
    fn in_folder(dir: &Path, state: &State) -> Self {
        let reports: Reports = state
            .reports()
            .into_iter()
            .filter_map(|(node, report)| Some((node, report.status?)))
            .collect();
        let running: BTreeSet<NodeName> =
            reports.keys().filter(|node| state.is_running(node)).cloned().collect();
        let silent =
            running.iter().map(|node| (node.clone(), observations::silent_in(dir))).collect();
        Self { reports, running, details: state.details(), silent }
    }
}

/// Returns every fact once all are listed.
async fn listed(watches: &mut Watches) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::default();
    let all = async {
        while !watches.complete() {
            watches.changed().await;
            watches.read().into_iter().for_each(|change| _ = cluster.apply(change));
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        let missing: Vec<_> = watches.missing().map(api::Kind::plural).collect();
        let problems: Vec<_> = watches.problems().iter().map(ToString::to_string).collect();
        anyhow::bail!(
            "{} cannot be listed ({}): check that Outrigger is installed there and that your user may list them",
            missing.join(", "),
            problems.join("; ")
        );
    }
    Ok(cluster)
}

fn said(allocated: Allocated, since_us: u64) -> PublishedCondition {
    let Allocated { status, reason, message } = allocated;
    PublishedCondition { condition: Condition { status, reason, message }, since: utc(since_us) }
}
