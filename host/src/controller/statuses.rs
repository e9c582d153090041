//! What is said about pools and announcers in their status: counts, and conditions that say what is wrong and how to mend
//! it.
use std::time::Duration;

use kube::Client;
use outrigger_core::allocation::Allocations;
use outrigger_core::facts::{Change, Cluster, Fact, FactKey};
use outrigger_kube::api::{Lead, ObjectStatus, Objects, Watches};
use outrigger_net::now;
use serde_json::Map;
use tokio::sync::watch;

/// Between two rounds of writes at least: many Services that come at once change a pool's counts once.
const INTERVAL: Duration = Duration::from_millis(500);
/// After a write that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Pools and announcers, as [`crate::plugins::Plugins::wrong`] looks at them.
pub fn cluster(watches: &Watches) -> Cluster {
    let mut cluster = Cluster::default();
    for fact in watches.facts().filter(|fact| matches!(fact, Fact::Pool(_) | Fact::Announcer(_))) {
        cluster.apply(Change::Upsert(fact.clone()));
    }
    cluster
}

/// Everything that is to be said now. `wrong` names objects whose plugin cannot serve them.
pub fn objects(
    allocations: &Allocations,
    watches: &Watches,
    wrong: &[(FactKey, String)],
) -> Vec<ObjectStatus> {
    let problems = allocations.problems();
    let status = |fact: &Fact| {
        let (kind, name) = match fact {
            Fact::Pool(pool) => ("AddressPool", &pool.name),
            Fact::Announcer(announcer) => ("Announcer", &announcer.name),
            _ => return None,
        };
        let key = fact.key();
        let plugin = wrong.iter().find(|(object, _)| *object == key).map(|(_, message)| message);
        let own = problems.get(name).filter(|_| kind == "AddressPool");
        let object = watches.problem_of(&key);
        let ready = match (object, own, plugin) {
            (Some(message), _, _) => ("Ready", false, "Invalid".to_owned(), message),
            (_, Some(message), _) => ("Ready", false, "NotInForce".to_owned(), message.clone()),
            (_, _, Some(message)) => ("Ready", false, "Plugin".to_owned(), message.clone()),
            _ => ("Ready", true, "Ready".to_owned(), String::new()),
        };
        Some(ObjectStatus {
            kind,
            name: name.clone(),
            conditions: vec![ready],
            rest: Map::new(),
            in_use: None,
        })
    };
    watches.facts().filter_map(status).collect()
}

/// Writes what is wanted, until the sender is dropped.
pub async fn write(client: Client, lead: Lead, mut wanted: watch::Receiver<Vec<ObjectStatus>>) {
    let mut objects = Objects::new(client, lead);
    while wanted.changed().await.is_ok() {
        loop {
            let statuses = wanted.borrow_and_update().clone();
            if objects.write(&statuses, now()).await {
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
