//! The controller role: asks the allocation policies and writes Service status, over a folder or over the API server.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use outrigger_core::allocation::{Allocations, Question};
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
