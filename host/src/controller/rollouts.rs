//! Roll-outs while this process leads: deliveries are verified and copied, node reports show how the candidate
//! performs, `core::rollout` decides, and the Plugin objects publish the decision. Must not know how a node runs a
//! plugin.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use outrigger_core::facts::{Build, NodeName};
use outrigger_core::rollout::{Offer, Record, Rollout, Settings};
use outrigger_kube::api::{Delivered, Kind, PluginWriter, Told, WriteError, watch_deliveries};
use outrigger_kube::convert::{Delivery, record};
use outrigger_kube::crd::{NodeReportStatus, PluginStatus};
use outrigger_net::now;
use tokio::sync::{mpsc, watch};

use crate::plugins::Plugins;

mod artifacts;
mod members;
mod status_text;
mod validation;

pub use members::MEMBER;
use validation::{Checked, check};

/// Default time for which a node must run a candidate without failure, in seconds. A delivery may set another.
const SETTLE: u32 = 5;
/// Default limit on the time that compiling takes, in seconds. A delivery may set another.
const COMPILE_WITHIN: u32 = 60;
/// Limit on the time that everything else may take until a candidate runs, in seconds.
const PATIENCE: u32 = 30;
/// Delay before a write that the API server refused is retried.
const RETRY: Duration = Duration::from_secs(2);
/// Interval at which a policy that this process tries itself is checked.
const LOOK: Duration = Duration::from_millis(300);

/// True if the node is Ready, by name of the node.
pub type Nodes = BTreeMap<NodeName, bool>;

/// State of all plugins and roll-outs.
struct Rollouts {
    writer: PluginWriter,
    plugins: Arc<Plugins>,
    /// Kinds that must be listed before anything is decided (invariant 2); `None` stands for deliveries.
    unlisted: BTreeSet<Option<Kind>>,
    /// Deliveries by name of their ConfigMap.
    deliveries: BTreeMap<String, Arrived>,
    reports: BTreeMap<NodeName, Arc<NodeReportStatus>>,
    /// Roll-outs by name of the plugin.
    all: BTreeMap<String, One>,
    /// Builds whose copies were needed at the last sweep.
    swept: Option<BTreeSet<(String, String)>>,
}

/// A delivery that has been verified.
struct Arrived {
    delivery: Delivery,
    checked: Checked,
    /// True if the immutable copy was made.
    copied: bool,
}

/// State of one plugin.
struct One {
    rollout: Rollout,
    /// Version of the Plugin object; `None` while there is no object.
    version: Option<String>,
    written: Arc<PluginStatus>,
    world: String,
    compile_within: u32,
}

/// Runs until it is dropped. `told` delivers NodeReports and Plugins, beginning with all existing ones.
pub async fn run(
    client: Client,
    writer: PluginWriter,
    plugins: Arc<Plugins>,
    mut told: mpsc::UnboundedReceiver<Told>,
    mut nodes: watch::Receiver<Nodes>,
) {
    let mut delivered = watch_deliveries(&client);
    let mut rollouts = Rollouts {
        writer,
        plugins,
        unlisted: [Some(Kind::NodeReports), Some(Kind::Plugins), None].into(),
        deliveries: BTreeMap::new(),
        reports: BTreeMap::new(),
        all: BTreeMap::new(),
        swept: None,
    };
    let mut next = None;
    loop {
        tokio::select! {
            Some(said) = told.recv() => rollouts.hear(said),
            Some(said) = delivered.recv() => rollouts.take(said).await,
            changed = nodes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = crate::deadline::at(next) => {}
        };
        while let Ok(said) = told.try_recv() {
            rollouts.hear(said);
        }
        while let Ok(said) = delivered.try_recv() {
            rollouts.take(said).await;
        }
        if rollouts.unlisted.is_empty() {
            let nodes = nodes.borrow_and_update().clone();
            next = rollouts.turn(&nodes).await;
        }
    }
}

impl Rollouts {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Report(node, Some(report)) => drop(self.reports.insert(node, report)),
            Told::Report(node, None) => drop(self.reports.remove(&node)),
            Told::Plugin(name, Some((version, status))) => self.seen(name, version, status),
            // The state of a deleted Plugin object is dropped, so that the object is created again.
            Told::Plugin(name, None) => drop(self.all.remove(&name)),
            Told::Listed(kind) => drop(self.unlisted.remove(&Some(kind))),
        }
    }

    async fn take(&mut self, delivered: Delivered) {
        match delivered {
            Delivered::ConfigMap(name, Some(delivery)) => self.arrived(name, *delivery).await,
            Delivered::ConfigMap(name, None) => drop(self.deliveries.remove(&name)),
            Delivered::CopyGone(copy) => self.copy_gone(&copy),
            Delivered::Listed => drop(self.unlisted.remove(&None)),
        }
    }

    async fn arrived(&mut self, config_map: String, delivery: Delivery) {
        let known = self.deliveries.get(&config_map);
        if known
            .is_some_and(|it| it.delivery.id == delivery.id && it.delivery.name == delivery.name)
        {
            return;
        }
        let (delivery, checked) = check(delivery).await;
        if let Err(verdict) = &checked {
            let (plugin, reason) = (&delivery.name, verdict.reason);
            tracing::warn!(config_map, plugin, reason, "delivery refused: {}", verdict.message);
        }
        self.deliveries.insert(config_map, Arrived { delivery, checked, copied: false });
    }

    fn seen(&mut self, name: String, version: String, status: Arc<PluginStatus>) {
        let number = |version: &str| version.parse::<u64>().unwrap_or(0);
        match self.all.get_mut(&name) {
            Some(one) => {
                let known = one.version.as_deref().map_or(0, number);
                if number(&version) >= known {
                    (one.version, one.written) = (Some(version), status);
                }
            }
            None => {
                let mut kept = record(&status);
                if kept.active.is_none() && Plugins::is_embedded(&name) {
                    kept.active = Some(Build::Embedded);
                }
                let one = One::new(kept, Some(version), status);
                self.all.insert(name, one);
            }
        }
    }

    /// Decides about every plugin and writes what changed. Returns the latest time at which to do so again.
    async fn turn(&mut self, nodes: &Nodes) -> Option<u64> {
        let names: BTreeSet<String> = self
            .deliveries
            .values()
            .map(|arrived| arrived.delivery.name.clone())
            .chain(self.all.keys().cloned())
            .collect();
        let mut next: Option<u64> = None;
        let mut sooner = |at: Option<u64>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        };
        for name in names {
            match self.turn_one(&name, nodes).await {
                Ok(at) => sooner(at),
                Err(WriteError::NotLeading) => return None,
                Err(error) => {
                    tracing::warn!(plugin = name, "its Plugin could not be written: {error}");
                    sooner(Some(after(RETRY)));
                }
            }
        }
        if let Err(error) = self.sweep().await {
            tracing::warn!("unused copies could not be deleted: {error}");
            sooner(Some(after(RETRY)));
        }
        next
    }

    async fn turn_one(&mut self, name: &str, nodes: &Nodes) -> Result<Option<u64>, WriteError> {
        let maps: Vec<String> = self
            .deliveries
            .iter()
            .filter(|(_, arrived)| arrived.delivery.name == name)
            .map(|(config_map, _)| config_map.clone())
            .collect();
        if maps.is_empty() && !Plugins::is_embedded(name) {
            // No build is left to run under this name.
            self.writer.delete(name).await?;
            self.all.remove(name);
            return Ok(None);
        }
        let mut one = self.all.remove(name).unwrap_or_else(|| One::first(name));
        if one.world.is_empty() && one.rollout.record().active.is_some() {
            one.world = self.plugins.world(name).unwrap_or_default().to_owned();
        }
        let decided = self.decide(name, &maps, &mut one, nodes).await;
        let written = match decided {
            Ok((next, status)) if status == *one.written && one.version.is_some() => Ok(next),
            Ok((next, status)) => {
                let written = self.writer.write(name, one.version.clone(), &status).await;
                written.map(|version| {
                    (one.version, one.written) = (Some(version), Arc::new(status));
                    next
                })
            }
            Err(error) => Err(error),
        };
        if matches!(written, Err(WriteError::Gone)) {
            one.version = None;
        }
        self.all.insert(name.to_owned(), one);
        written
    }

    async fn decide(
        &mut self,
        name: &str,
        maps: &[String],
        one: &mut One,
        nodes: &Nodes,
    ) -> Result<(Option<u64>, PluginStatus), WriteError> {
        let mut problem = None;
        let (mut settle, mut compile_within) = (SETTLE, COMPILE_WITHIN);
        let offer = match maps {
            [] => Offer::Build { build: Build::Embedded, delivery: String::new() },
            [map] => match self.usable(name, map, one).await? {
                Ok(offer) => {
                    let delivery = &self.deliveries[map].delivery;
                    settle = delivery.settle_seconds.unwrap_or(settle);
                    compile_within = delivery.compile_within_seconds.unwrap_or(compile_within);
                    offer
                }
                Err((reason, message)) => {
                    problem = Some((reason, message));
                    Offer::Nothing
                }
            },
            several => {
                problem = Some(status_text::several(name, several));
                Offer::Keep
            }
        };
        if matches!(offer, Offer::Build { .. }) {
            one.compile_within = compile_within;
        }
        let seconds = |seconds: u32| u64::from(seconds) * 1_000_000;
        let settings = Settings {
            settle_us: seconds(settle),
            patience_us: seconds(settle + one.compile_within + PATIENCE),
        };
        let time = now();
        let before = one.rollout.record().clone();
        one.rollout.offer(time.monotonic_us, &offer, settings);
        let attempt = one.rollout.record().attempt;
        let members = match one.world.as_str() {
            // Reports are frequent, and without a candidate the members need not be examined.
            _ if one.rollout.record().candidate.is_none() => BTreeMap::new(),
            "allocator" => members::of_policy(&self.plugins, name, attempt),
            _ => members::of_nodes(&self.reports, nodes, name, attempt),
        };
        let mut next = one.rollout.advance(time.monotonic_us, &members);
        status_text::tell(name, &before, one.rollout.record());
        if one.world == "allocator" && one.rollout.record().candidate.is_some() {
            next = Some(next.map_or(after(LOOK), |next| next.min(after(LOOK))));
        }
        Ok((next, status_text::status(name, one, problem, &members, time)))
    }
}

impl One {
    fn new(kept: Record, version: Option<String>, written: Arc<PluginStatus>) -> Self {
        let settings = Settings { settle_us: 0, patience_us: 0 };
        Self {
            rollout: Rollout::new(kept, settings, now().monotonic_us),
            version,
            world: written.world.clone(),
            compile_within: written.candidate.as_ref().map_or(0, |it| it.compile_within_seconds),
            written,
        }
    }

    /// Creates the state of a plugin that was never delivered before.
    fn first(name: &str) -> Self {
        let active = Plugins::is_embedded(name).then_some(Build::Embedded);
        Self::new(Record { active, ..Record::default() }, None, Arc::default())
    }
}

fn after(duration: Duration) -> u64 {
    now().monotonic_us + u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
