//! The daemon's main loop: a closed set of events that can wake it, and one place that waits for them.
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use outrigger_core::facts::{self, Change};
use outrigger_core::membership::ViewChange;
use outrigger_core::plan::Planner;
use outrigger_kube::{Folder, Occupied, State};
use outrigger_net::{Excludes, Groups, Links, Responder, Streams, now};
use outrigger_sdk::StopReason;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};

use crate::cluster::{self, Memory, Sent};
use crate::config::Config;
use crate::controller::{ChangeSubscriber, ControllerStatus, Problems};
use crate::deadline::at;
use crate::delivery::Deliveries;
use crate::http::{Health, Question};
use crate::instance::Ports;
use crate::node::{Announcers, EventDispatcher, Gossip, Node, ToDo, Wire};
use crate::plugins::Plugins;
use crate::report;
use crate::source::Source;

mod observability;
mod setup;

use setup::Setup;

/// Shortest time between two NodeReports.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// Delay from a change to the NodeReport that contains it: the work that the change causes comes first, and a new
/// Service gets its address in the meantime.
const REPORT_DELAY: Duration = Duration::from_millis(100);

/// The running daemon.
pub struct Daemon {
    config: Config,
    source: Source,
    state: Arc<State>,
    shared: Shared,
    node: Node,
    links: watch::Receiver<Arc<Links>>,
    /// Keeps the responder's thread alive.
    responder: Responder,
    /// Keeps the streams' thread alive.
    streams: Streams,
    groups: Arc<Groups>,
    gossip_key: [u8; 32],
    /// Reserves the node's name for this process.
    _occupied: Occupied,
    reports: Arc<Notify>,
    /// Sends the report to the API server; `None` over a folder.
    sent: Option<Sent>,
    memory: Memory,
    loaded: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
    /// Follows what the controller publishes; `None` over a folder, where deliveries are loaded at once.
    deliveries: Option<Deliveries>,
    /// Receives every change that is read from the folder.
    follower: Option<ChangeSubscriber>,
    terminate: Signal,
    interrupt: Signal,
    /// Monotonic microseconds at which the NodeReport is due, if something changed since the last one.
    report_due: Option<u64>,
    reported_us: u64,
}

/// State that the node role shares with the rest of the process.
pub struct Shared {
    /// Active plugins.
    pub plugins: Arc<Plugins>,
    /// Notified when another plugin becomes active.
    pub plugins_changed: Arc<Notify>,
    /// Problems of pools that are not applied as written, from a controller role in this process.
    pub pool_problems: Problems,
    /// Standing of a controller role in this process, over the API server.
    pub controller: Option<watch::Receiver<ControllerStatus>>,
    /// Requests of a controller role in this process to follow the folder, once it leads.
    pub followers: Option<mpsc::UnboundedReceiver<ChangeSubscriber>>,
    /// Requests for metrics or health.
    pub questions: mpsc::Receiver<Question>,
}

/// Events that wake the loop.
enum Wake {
    Facts,
    /// The controller role asks to follow the facts.
    ChangeSubscriber(ChangeSubscriber),
    Links,
    /// The membership view changed. `None` if the membership thread has ended.
    Gossip(Option<ViewChange>),
    Reports,
    /// A plugin of this name was delivered or withdrawn.
    Loaded(String),
    ReportDue,
    Stop(&'static str),
    StopDeadline,
    MemoryDue,
    /// The delay of a new address has passed.
    PlanDue,
    /// A plugin has not withdrawn a route in time.
    Overdue,
    /// Metrics, health or details were requested.
    Asked(Question),
}

/// Receives the next message; never completes without a receiver.
async fn next<T>(from: &mut Option<mpsc::UnboundedReceiver<T>>) -> Option<T> {
    match from {
        Some(from) => from.recv().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// Opens everything. Nothing is announced before [`Daemon::serve`]. Without a client, a folder is served.
    pub async fn start(
        config: &Config,
        mut shared: Shared,
        client: Option<&Client>,
    ) -> anyhow::Result<Self> {
        let name = config.node()?;
        let state = Arc::new(State::open(&config.state())?);
        let occupied = state.occupy(&name)?;
        let Setup { source, gossip_key, sent, secret_store } =
            Setup::open(config, &name, &state, &mut shared, client).await?;
        let links = outrigger_net::watch(Excludes::default()).await?;
        let dispatcher = Arc::new(EventDispatcher::default());
        let responder = Responder::start(dispatcher.clone())?;
        let streams = Streams::start(dispatcher.clone())?;
        let reports = Arc::new(Notify::new());
        let groups = Arc::new(Groups::default());
        let ports = Ports {
            responder: responder.handle(),
            streams: streams.handle(),
            groups: groups.clone(),
            secret_store: Arc::new(secret_store),
            hold_last_for: config.hold_last_for(),
        };
        let plugins = shared.plugins.clone();
        let wire = Wire::new(responder.handle(), dispatcher.answers.clone());
        let mut announcers =
            Announcers::new(name.clone(), ports, dispatcher, plugins, reports.clone());
        announcers.set_restarted(state.take_restart(&name, now()));
        let loaded = mpsc::unbounded_channel();
        let deliveries =
            client.map(|client| cluster::follow(config, &name, &shared.plugins, client, &loaded.0));
        let mut planner = Planner::new(name.clone());
        if client.is_some() {
            planner = planner.with_delay(config.new_address_delay_ms.saturating_mul(1_000));
        }
        let gossip = Gossip::alone(&name, &config.gossip, wire)?;
        let node = Node::new(gossip, announcers, planner, name);
        Ok(Self {
            config: config.clone(),
            source,
            state,
            shared,
            node,
            links,
            responder,
            streams,
            groups,
            gossip_key,
            _occupied: occupied,
            reports,
            sent,
            memory: Memory::default(),
            loaded,
            deliveries,
            follower: None,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            report_due: None,
            reported_us: 0,
        })
    }

    /// Serves until SIGTERM or SIGINT, then hands its addresses over and returns.
    pub async fn serve(mut self) -> anyhow::Result<()> {
        tracing::info!(node = self.node.name, manifests = ?self.config.manifests, "serving");
        if let Source::Cluster(watches) = &mut self.source {
            let changes = cluster::listed(watches, &self.state).await;
            self.take_facts(changes);
        }
        self.take_links();
        self.read_facts();
        // Acts on these facts now: no other event may follow that would wake the loop.
        self.settle();
        while !self.node.stopped(now().monotonic_us) {
            match self.wait().await {
                Wake::Facts => {
                    // Kubelets report an unchanged node every few seconds.
                    if !self.read_facts() {
                        continue;
                    }
                }
                Wake::ChangeSubscriber(follower) => self.follow(follower),
                Wake::Links => self.take_links(),
                Wake::Gossip(Some(change)) => self.node.view_changed(&change),
                Wake::Gossip(None) => {
                    anyhow::bail!("the membership thread ended unexpectedly: report this as a bug")
                }
                Wake::Reports => self.take_reports(),
                Wake::Loaded(name) => self.plugin_loaded(&name),
                Wake::ReportDue => {
                    self.write_report();
                    continue;
                }
                Wake::Asked(question) => {
                    // The send fails if the connection that asked has closed.
                    let details = question.details.then(|| self.details().to_string());
                    let _ = question.answer.send(Health { details, ..self.health() });
                    continue;
                }
                Wake::MemoryDue => {
                    self.memory.write(&self.source, &self.state);
                    if self.sent.is_some() {
                        self.keep_report();
                    }
                    outrigger_net::give_back();
                    continue;
                }
                // `settle` below does the work.
                Wake::PlanDue | Wake::Overdue => {}
                Wake::Stop(why) => self.stop(why),
                Wake::StopDeadline => {
                    tracing::warn!("stopping before all addresses were handed over")
                }
            }
            self.settle();
        }
        self.end().await;
        Ok(())
    }

    /// Waits for the next event.
    async fn wait(&mut self) -> Wake {
        let (report_due, stop_deadline) = (self.report_due, self.node.stop_deadline());
        let plan_due = self.node.next_deadline();
        let overdue = self.node.overdue;
        tokio::select! {
            biased;
            change = self.node.gossip.changed() => Wake::Gossip(change),
            _ = self.terminate.recv() => Wake::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wake::Stop("SIGINT"),
            () = at(overdue) => Wake::Overdue,
            _ = self.links.changed() => Wake::Links,
            () = self.reports.notified() => Wake::Reports,
            Some(name) = self.loaded.1.recv() => Wake::Loaded(name),
            Some(follower) = next(&mut self.shared.followers) => Wake::ChangeSubscriber(follower),
            () = self.source.changed() => Wake::Facts,
            Some(question) = self.shared.questions.recv() => Wake::Asked(question),
            () = at(plan_due) => Wake::PlanDue,
            () = at(report_due) => Wake::ReportDue,
            () = at(stop_deadline) => Wake::StopDeadline,
            () = at(self.memory.due) => Wake::MemoryDue,
        }
    }

    /// Runs after every wake: brings instances in line with the facts, informs the members and schedules a report.
    fn settle(&mut self) {
        let now = now().monotonic_us;
        self.node.settle(now);
        if self.node.gossip() {
            self.node.settle(now);
        }
        self.node.gossip.settled();
        let micros = |time: Duration| time.as_micros() as u64;
        let earliest = self.reported_us + micros(REPORT_INTERVAL);
        self.report_due.get_or_insert(earliest.max(now + micros(REPORT_DELAY)));
    }

    /// Reads new facts and applies them. Returns true if there were any.
    fn read_facts(&mut self) -> bool {
        let Some(changes) = self.source.read() else { return false };
        self.pass_on(&changes);
        self.take_facts(changes);
        true
    }

    /// Passes changes to the controller of this process, if it leads.
    fn pass_on(&mut self, changes: &[Change]) {
        let (Some(follower), Some(folder)) = (&self.follower, self.source.folder()) else { return };
        if !changes.is_empty() && !follower.tell(changes.to_vec(), folder.complete()) {
            self.follower = None;
        }
    }

    /// Starts to follow. Facts written before that are part of the first message.
    fn follow(&mut self, follower: ChangeSubscriber) {
        self.read_facts();
        let told = |folder: &Folder| follower.tell(folder.told(), folder.complete());
        let listens = self.source.folder().is_some_and(told);
        self.follower = listens.then_some(follower);
    }

    fn take_facts(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.memory.changed();
        if let Some(deliveries) = &mut self.deliveries {
            changes.iter().for_each(|change| deliveries.follow(change));
        }
        let ToDo { deliveries, withdrawn, peers } = self.node.apply(changes);
        for delivery in deliveries {
            self.load(delivery);
        }
        for name in withdrawn {
            self.shared.plugins.forget_first_run(&name);
            if let Err(error) = self.shared.plugins.withdraw(&name) {
                tracing::error!(plugin = name, "the embedded plugin cannot be restored: {error}");
            }
            self.plugin_loaded(&name);
        }
        if peers {
            self.find_peers();
        }
    }

    fn load(&self, delivery: Arc<facts::Plugin>) {
        let (name, done) = (delivery.name.clone(), self.loaded.0.clone());
        // The send fails only when the daemon has ended.
        self.shared.plugins.clone().run(delivery, move || drop(done.send(name)));
    }

    /// Takes in the reports of plugins; where a candidate failed, the active build takes over.
    fn take_reports(&mut self) {
        self.node.reports(now().monotonic_us);
        for (plugin, digest, verdict) in self.node.failed_trials() {
            if self.shared.plugins.fail_trial(&plugin, &digest, verdict) {
                self.plugin_loaded(&plugin);
            }
        }
    }

    fn plugin_loaded(&mut self, name: &str) {
        self.node.plugin_changed(name);
        self.shared.plugins_changed.notify_one();
    }

    fn take_links(&mut self) {
        let links = self.links.borrow_and_update().clone();
        let failures = self.responder.handle().set_links(&links);
        self.groups.set_links(&links);
        self.node.link_problems = failures.into_iter().map(report::link_problem).collect();
        self.node.links(links);
    }

    /// Joins the other nodes once Node objects name some; a lone machine sends no gossip.
    fn find_peers(&mut self) {
        let Node { name, cluster, planner, gossip, gossip_problem, .. } = &mut self.node;
        *gossip_problem = None;
        if gossip.is_alone() && cluster.nodes.keys().any(|other| other != name) {
            let (settings, key) = (&self.config.gossip, self.gossip_key);
            let wire = gossip.wire();
            match Gossip::join(name, cluster, settings, key, planner.claims(), wire) {
                Ok(joined) => *gossip = joined,
                Err(error) => *gossip_problem = Some(report::cannot_join(name, &error)),
            }
        }
        if !self.node.gossip.is_alone() {
            self.node.gossip.peers(&self.node.cluster);
        }
    }

    fn stop(&mut self, why: &str) {
        if self.node.stop_deadline().is_some() {
            return;
        }
        tracing::info!("{why}: handing over all addresses");
        let now = now().monotonic_us;
        self.node.stop(now, self.config.stop_within_seconds * 1_000_000);
    }

    async fn end(mut self) {
        if self.node.stop_reason() == StopReason::Restart
            && let Err(error) = self.state.expect_restart(&self.node.name, now())
        {
            tracing::warn!(
                "the restart cannot be recorded, so BGP peers will not be notified of it: {error}"
            );
        }
        self.node.end();
        self.shared.plugins.end_first_runs();
        self.node.gossip.goodbye();
        self.write_report();
        // Dropping the streams flushes the last messages before the process ends.
        drop(self.streams);
        if let Some(sent) = self.sent {
            sent.end().await;
        }
        tracing::info!("stopped");
    }
}
