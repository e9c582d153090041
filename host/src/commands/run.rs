//! `outrigger run`: the daemon, in one role or both.
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use outrigger_kube::State;
use outrigger_kube::api::{self, Reader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Log, LogFormat, Role};
use crate::controller::{
    ClusterController, ControllerStatus, FolderController, MEMBER, Policies, Problems,
};
use crate::daemon::{Daemon, Shared};
use crate::delivery::Deliveries;
use crate::http::{self, Health};
use crate::metrics::Page;
use crate::plugins;

/// Time that a stopping controller has to finish pending writes and to release its Lease.
const CONTROLLER_STOP: Duration = Duration::from_secs(5);

/// Serves until the process is signalled to stop.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config))?;
    // Background work (a compiling child, a controller that waits to lead) does not delay the exit.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut shared = Shared {
        plugins: Arc::new(plugins::open(config)?),
        plugins_changed: Arc::new(Notify::new()),
        pool_problems: Problems::default(),
        controller: None,
        followers: None,
        questions: http::serve(config.http).await?,
    };
    if config.manifests.is_some() {
        let (reader, followers) = mpsc::unbounded_channel();
        let controller = FolderController {
            reader,
            state: Arc::new(State::open(&config.state())?),
            plugins: shared.plugins.clone(),
            plugins_changed: shared.plugins_changed.clone(),
            problems: shared.pool_problems.clone(),
        };
        shared.followers = Some(followers);
        let daemon = Daemon::start(config, shared, None).await?;
        controller.spawn().context("the controller thread cannot be started")?;
        return daemon.serve().await;
    }
    let controller = match config.role {
        Role::Node => None,
        role => Some(ControllerThread::start(config, &shared, role == Role::Controller)?),
    };
    shared.controller = controller.as_ref().map(|controller| controller.standing.clone());
    let served = match config.role {
        Role::Controller => answer_until_signalled(shared).await,
        _ => serve_node(config, shared).await,
    };
    if let Some(controller) = controller {
        controller.stop().await;
    }
    served
}

async fn serve_node(config: &Config, shared: Shared) -> anyhow::Result<()> {
    let client = api::connect(config.kubeconfig.as_deref()).await?;
    Daemon::start(config, shared, Some(&client)).await?.serve().await
}

/// Answers health and metrics requests for the controller role, which runs on its own thread, until SIGTERM or SIGINT.
async fn answer_until_signalled(mut shared: Shared) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(question) = shared.questions.recv() => {
                let Some(standing) = &shared.controller else { continue };
                let standing = standing.borrow().clone();
                let mut page = Page::default();
                page.controller(&standing);
                // The send fails if the connection that asked has closed.
                let health = Health { missing: standing.missing, metrics: page.text(), details: None };
                let _ = question.answer.send(health);
            }
        }
    }
    tracing::info!("stop requested: giving up leadership");
    Ok(())
}

/// The controller role on a thread of its own, so that a slow policy does not delay announcements.
struct ControllerThread {
    standing: watch::Receiver<ControllerStatus>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<bool>,
}

impl ControllerThread {
    fn start(config: &Config, shared: &Shared, loads_plugins: bool) -> anyhow::Result<Self> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| anyhow::anyhow!("the kernel returned no random numbers: {error}"))?;
        let identity = format!("{}_{:08x}", config.node()?, u32::from_ne_bytes(random));
        let (says, standing) = watch::channel(ControllerStatus {
            missing: Reader::Controller.kinds().map(|kind| kind.plural().to_owned()).collect(),
            ..ControllerStatus::default()
        });
        let (stop, stopped) = watch::channel(false);
        let (finish, done) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (kubeconfig, classes) = (config.kubeconfig.clone(), config.classes());
        let (plugins, problems) = (shared.plugins.clone(), shared.pool_problems.clone());
        let plugins_changed = shared.plugins_changed.clone();
        let policies = Policies::start(plugins.clone())
            .context("the thread of the allocation policies cannot be started")?;
        let controller = async move {
            // It needs a client of its own: a client's connections are served by the runtime that created it.
            match api::connect(kubeconfig.as_deref()).await {
                Ok(client) => {
                    let standing = says;
                    let deliveries = loads_plugins.then(|| {
                        let changed = plugins_changed.clone();
                        let names = vec![MEMBER.to_owned()];
                        let changed = move |_: &str| changed.notify_one();
                        Deliveries::new(plugins.clone(), client.clone(), names, changed)
                    });
                    let controller = ClusterController {
                        client,
                        classes,
                        identity,
                        plugins,
                        policies,
                        plugins_changed,
                        deliveries: Mutex::new(deliveries),
                        problems,
                        standing,
                    };
                    controller.run(stopped).await;
                }
                Err(error) => tracing::error!("no addresses are allocated: {error}"),
            }
            finish.send_replace(true);
        };
        std::thread::Builder::new()
            .name("controller".to_owned())
            .spawn(move || runtime.block_on(controller))
            .context("the controller thread cannot be started")?;
        Ok(Self { standing, stop, done })
    }

    /// Signals the controller to stop and waits until it has released leadership, for [`CONTROLLER_STOP`] at most.
    async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(CONTROLLER_STOP, self.done.wait_for(|done| *done)).await;
    }
}

fn start_logging(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| {
        format!("log filter {:?} is not valid: write it as \"info,plugin=debug\"", log.filter)
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
