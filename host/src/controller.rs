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

pub use cluster::{ClusterController, ControllerStatus};
pub use folder::{ChangeSubscriber, FolderController};
pub use rollouts::MEMBER;

/// Pools that are not applied as written, with the reason. Empty in processes that do not lead.
pub type Problems = Arc<Mutex<BTreeMap<String, String>>>;

/// Time for which policies are asked before the answers so far are written, in microseconds.
const SHARE_US: u64 = 50_000;

/// Logs the outcome of the allocation for a Service.
fn tell(service: &ServiceKey, addresses: &[IpAddr], condition: &Condition) {
    let Condition { status, reason, message } = condition;
    match (status, condition.warns()) {
        (true, false) => tracing::info!(%service, ?addresses, "allocated"),
        (true, true) => tracing::warn!(%service, ?addresses, reason, "allocated, but {message}"),
        (false, _) => tracing::warn!(%service, reason, "not allocated: {message}"),
    }
}

/// Handle of the thread that runs allocation policies. There is only one, so that the memory they leave in a per-thread
/// arena of the memory allocator is left once. It is not the controller's thread, so that the controller's other work,
/// such as renewing the Lease, continues while a policy computes.
pub struct Policies {
    asked: mpsc::Sender<PolicyCall>,
}

struct PolicyCall {
    question: Question,
    answer: oneshot::Sender<Answered>,
}

type Answered = (Question, Result<Outcome, String>);

impl Policies {
    /// Starts the thread. It ends when the handle is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(plugins: Arc<Plugins>) -> std::io::Result<Self> {
        let (asked, questions) = mpsc::channel::<PolicyCall>();
        std::thread::Builder::new().name("policies".to_owned()).spawn(move || {
            for PolicyCall { question, answer } in questions {
                let outcome = ask(&plugins, &question);
                // The send fails only when the controller has ended.
                drop(answer.send((question, outcome)));
            }
        })?;
        Ok(Self { asked })
    }

    async fn ask(&self, question: Question) -> Answered {
        let (answer, answered) = oneshot::channel();
        // The thread lives as long as `self`, and a panic in it is propagated here.
        self.asked
            .send(PolicyCall { question, answer })
            .expect("nothing panics while it asks a policy");
        answered.await.expect("nothing panics while it asks a policy")
    }

    /// Asks policies until no question is left, or for [`SHARE_US`]. Returns true if questions may be left.
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

/// Asks policies until no question is left, on the current thread, for callers that do nothing else meanwhile.
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
        // A failing candidate must not cost a Service its address: the active build decides.
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
