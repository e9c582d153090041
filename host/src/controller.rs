//! The controller role: asks the allocation policies and writes Service status, over a folder or over the API server.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use outrigger_core::allocation::{Allocations, Condition, Question};
use outrigger_core::facts::ServiceKey;
use outrigger_net::now;
use outrigger_runtime::Limits;
use outrigger_sdk::Outcome;

use crate::plugins::{Kind, Plugins};

mod cluster;
mod folder;
mod statuses;

pub use cluster::{ClusterController, Standing};
pub use folder::FolderController;

/// Pools that are not in force as written, and why. Empty in processes that do not lead.
pub type Problems = Arc<Mutex<BTreeMap<String, String>>>;

/// A line in the log about what came of a Service.
fn tell(service: &ServiceKey, addresses: &[IpAddr], condition: &Condition) {
    let Condition { status, reason, message } = condition;
    match (status, condition.warns()) {
        (true, false) => tracing::info!(%service, ?addresses, "allocated"),
        (true, true) => tracing::warn!(%service, ?addresses, reason, "allocated, but {message}"),
        (false, _) => tracing::warn!(%service, reason, "not allocated: {message}"),
    }
}

/// Asks the policies until nothing is left to ask.
pub fn decide(plugins: &Plugins, allocations: &mut Allocations) {
    while let Some(question) = allocations.poll(now()) {
        let outcome = ask(plugins, &question);
        allocations.answer(question, outcome, now());
    }
}

fn ask(plugins: &Plugins, question: &Question) -> Result<Outcome, String> {
    let in_force = plugins.need(Kind::Allocator, &question.plugin.plugin)?;
    let pool = Arc::new(question.view.clone());
    in_force
        .plugin
        .allocate(&question.request, pool, &Limits::default())
        .map_err(|fault| fault.to_string())
}
