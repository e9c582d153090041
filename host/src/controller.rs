//! The controller role: asks the allocation policies and writes Service status, over a folder or over the API server.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, mpsc};

use outrigger_core::allocation::{Allocations, Condition, Question};
use outrigger_core::facts::ServiceKey;
use outrigger_net::now;
use outrigger_runtime::Limits;
use outrigger_sdk::Outcome;
use tokio::sync::oneshot;

use crate::plugins::{Kind, Plugins};
use crate::trial;

mod cluster;
mod events;
mod folder;
mod rollouts;
mod statuses;

pub use cluster::{ClusterController, Standing};
pub use folder::{FolderController, Follower};
pub use rollouts::MEMBER;

/// Pools that are not in force as written, and why. Empty in processes that do not lead.
pub type Problems = Arc<Mutex<BTreeMap<String, String>>>;

/// For so many microseconds policies are asked before the answers so far are written.
const SHARE_US: u64 = 50_000;

/// A line in the log about what came of a Service.
fn tell(service: &ServiceKey, addresses: &[IpAddr], condition: &Condition) {
    let Condition { status, reason, message } = condition;
    match (status, condition.warns()) {
        (true, false) => tracing::info!(%service, ?addresses, "allocated"),
        (true, true) => tracing::warn!(%service, ?addresses, reason, "allocated, but {message}"),
        (false, _) => tracing::warn!(%service, reason, "not allocated: {message}"),
    }
}

/// The thread that allocation policies run on. It is one, so that what they leave in the allocator's arena of a thread is left once,
/// and not the controller's, so that what else that one does (renewing the Lease is part of it) goes on while a policy thinks.
pub struct Policies {
    asked: mpsc::Sender<Asked>,
}

struct Asked {
    question: Question,
    answer: oneshot::Sender<Answered>,
}

type Answered = (Question, Result<Outcome, String>);

impl Policies {
    /// Starts the thread. It ends when nobody can ask it any more.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(plugins: Arc<Plugins>) -> std::io::Result<Self> {
        let (asked, questions) = mpsc::channel::<Asked>();
        std::thread::Builder::new().name("policies".to_owned()).spawn(move || {
            for Asked { question, answer } in questions {
                let outcome = ask(&plugins, &question);
                // Nobody listens only when the controller has ended.
                drop(answer.send((question, outcome)));
            }
        })?;
        Ok(Self { asked })
    }

    async fn ask(&self, question: Question) -> Answered {
        let (answer, answered) = oneshot::channel();
        // It lives as long as this, and a panic in it is one here.
        self.asked.send(Asked { question, answer }).expect("nothing panics while it asks a policy");
        answered.await.expect("nothing panics while it asks a policy")
    }

    /// Asks until nothing is left to ask, or for [`SHARE_US`]. True: something is left.
    async fn decide(&self, allocations: &mut Allocations) -> bool {
        let begun_us = now().monotonic_us;
        while let Some(question) = allocations.poll(now()) {
            let (question, outcome) = self.ask(question).await;
            if let Err(fault) = &outcome {
                let (service, pool, plugin) =
                    (&question.service, &question.pool, &question.plugin.plugin);
                tracing::warn!(%service, pool, plugin, "policy failed: {fault}");
            }
            allocations.answer(question, outcome, now());
            if now().monotonic_us.saturating_sub(begun_us) >= SHARE_US {
                return true;
            }
        }
        false
    }
}

/// Asks until nothing is left to ask, on this thread, for whoever does nothing else meanwhile.
pub fn decide_now(plugins: &Plugins, allocations: &mut Allocations) {
    while let Some(question) = allocations.poll(now()) {
        let outcome = ask(plugins, &question);
        allocations.answer(question, outcome, now());
    }
}

fn ask(plugins: &Plugins, question: &Question) -> Result<Outcome, String> {
    let name = &question.plugin.plugin;
    let in_force = match question.built_in {
        true => plugins.embedded(name)?,
        false => plugins.need(Kind::Allocator, name)?,
    };
    let pool = Arc::new(question.view.clone());
    match in_force.plugin.allocate(&question.request, pool, &Limits::default()) {
        Ok(outcome) => Ok(outcome),
        // A candidate that fails costs nobody an address: what was active decides.
        Err(fault)
            if in_force.on_trial
                && plugins.fail_trial(
                    name,
                    &in_force.plugin.inspection().digest,
                    trial::of_fault(&fault),
                ) =>
        {
            ask(plugins, question)
        }
        Err(fault) => Err(fault.to_string()),
    }
}
