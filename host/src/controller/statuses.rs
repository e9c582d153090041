//! Status of pools and announcers: counts, and conditions that explain a problem and its fix.
use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use outrigger_core::allocation::{Allocations, Counts, PoolCondition, PoolStatus};
use outrigger_core::facts::{Change, Cluster, Fact, FactKey};
use outrigger_kube::api::{
    Events, Lead, ObjectCondition, ObjectStatus, Objects, Reported, Watches,
};
use outrigger_kube::convert::pool_spec;
use outrigger_net::now;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

mod nodes;

/// Shortest time between two rounds of writes, so that many Services that arrive at once change a pool's counts once.
const INTERVAL: Duration = Duration::from_millis(500);
/// Delay before a write that failed is retried.
const RETRY: Duration = Duration::from_secs(5);

/// Returns pools and announcers as [`crate::plugins::Plugins::wrong`] expects them.
pub fn cluster(watches: &Watches) -> Cluster {
    let mut cluster = Cluster::default();
    for fact in watches.own_facts() {
        cluster.apply(Change::Upsert(fact.clone()));
    }
    cluster
}

/// Returns the status that every object should have now. `wrong` names objects whose plugin cannot serve them.
pub fn objects(
    allocations: &Allocations,
    watches: &Watches,
    wrong: &[(FactKey, String)],
) -> Vec<ObjectStatus> {
    let plugin = |key: &FactKey| {
        let found = wrong.iter().find(|(object, _)| object == key);
        found.map(|(_, message)| not_ready("PluginUnknown", message))
    };
    let invalid = |key: &FactKey| {
        let message = watches.problem_of(key)?;
        Some(not_ready("Invalid", &format!("{message}; the last valid version stays active")))
    };
    let status = |fact: &Fact| {
        let key = fact.key();
        let worse = invalid(&key).or_else(|| plugin(&key));
        match fact {
            Fact::Pool(pool) => {
                let status = allocations.pool_status(&pool.name)?;
                let in_use = !allocations.pool_users(&pool.name).is_empty();
                let mut object = pool_status(&pool.name, &status, worse, in_use);
                if let Some(last) = allocations.last_valid(&pool.name) {
                    object.rest.insert("lastValid".to_owned(), json!(pool_spec(last)));
                }
                Some(object)
            }
            Fact::Announcer(announcer) => Some(ObjectStatus {
                kind: "Announcer",
                name: announcer.name.clone(),
                conditions: announcer_conditions(worse, watches.reported_of(&announcer.name)),
                rest: Map::new(),
                in_use: None,
            }),
            _ => None,
        }
    };
    let unread = watches.unread().map(|(kind, name, message)| ObjectStatus {
        kind,
        name,
        conditions: vec![not_ready("Invalid", &message)],
        rest: Map::new(),
        in_use: None,
    });
    watches.own_facts().filter_map(status).chain(unread).collect()
}

fn announcer_conditions(
    worse: Option<ObjectCondition>,
    reported: &BTreeMap<String, Reported>,
) -> Vec<ObjectCondition> {
    let ready = worse.or_else(|| nodes::failing(reported)).unwrap_or_else(ready);
    std::iter::once(ready).chain(nodes::of_plugin(reported)).collect()
}

fn pool_status(
    name: &str,
    status: &PoolStatus,
    worse: Option<ObjectCondition>,
    in_use: bool,
) -> ObjectStatus {
    let own = |condition: &PoolCondition| ObjectCondition {
        kind: condition.kind.name().into(),
        holds: Some(condition.status),
        reason: condition.reason.to_owned(),
        message: condition.message.clone(),
        warns: condition.warns(),
    };
    let mut conditions: Vec<ObjectCondition> = status.conditions.iter().map(own).collect();
    if let Some(worse) = worse {
        conditions.retain(|condition| condition.kind != worse.kind);
        conditions.push(worse);
    }
    let mut rest = Map::new();
    let number = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
    let Counts { capacity, allocated, free } = status.ipv4;
    if capacity > 0 || allocated > 0 {
        let counts = json!({
            "capacity": number(capacity), "allocated": number(allocated), "free": number(free),
        });
        rest.insert("ipv4".to_owned(), counts);
    }
    let Counts { capacity, allocated, free } = status.ipv6;
    if capacity > 0 || allocated > 0 {
        // The counts may exceed 64 bits, so they are text.
        let text = |count: u128| Value::String(count.to_string());
        let counts = json!({
            "capacity": text(capacity), "allocated": number(allocated), "free": text(free),
        });
        rest.insert("ipv6".to_owned(), counts);
    }
    ObjectStatus {
        kind: "AddressPool",
        name: name.to_owned(),
        conditions,
        rest,
        in_use: Some(in_use),
    }
}

fn ready() -> ObjectCondition {
    ObjectCondition {
        kind: "Ready".into(),
        holds: Some(true),
        reason: "InForce".to_owned(),
        message: "it is active".to_owned(),
        warns: false,
    }
}

fn not_ready(reason: &str, message: &str) -> ObjectCondition {
    let (reason, message) = (reason.to_owned(), message.to_owned());
    ObjectCondition { kind: "Ready".into(), holds: Some(false), reason, message, warns: true }
}

/// Writes wanted statuses until the sender is dropped.
pub async fn write(
    client: Client,
    lead: Lead,
    events: Events,
    mut wanted: watch::Receiver<Vec<ObjectStatus>>,
) {
    let mut objects = Objects::new(client, lead, events);
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
