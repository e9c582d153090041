//! Kubernetes Events about Services.
use outrigger_core::allocation::Condition;
use outrigger_core::facts::ServiceKey;
use outrigger_core::guard::budget::EVENTS;
use outrigger_kube::api::{Events, Told, Watches};

/// Publishes the events that plugins reported about Services.
pub fn publish(events: &Events, watches: &Watches, told: &Told) {
    let Told::Report(node, Some(report)) = told else { return };
    for announcer in &report.announcers {
        for said in announcer.events.iter().take(EVENTS) {
            let service = ServiceKey::new(&said.namespace, &said.name);
            let Some(observed) = watches.observed(&service) else { continue };
            let (events, uid) = (events.clone(), observed.uid().to_owned());
            let (node, announcer, said) = (node.clone(), announcer.name.clone(), said.clone());
            tokio::spawn(async move { events.of_plugin(&uid, &node, &announcer, &said).await });
        }
    }
}

/// Publishes an Event, unless the status already has the same condition: then it was published before.
pub fn warn(events: &Events, watches: &Watches, service: &ServiceKey, condition: &Condition) {
    let Some(observed) = watches.observed(service) else { return };
    if observed.says(&condition.reason, &condition.message) {
        return;
    }
    let (events, uid) = (events.clone(), observed.uid().to_owned());
    let (service, Condition { reason, message, .. }) = (service.clone(), condition.clone());
    tokio::spawn(async move { events.service(&service, &uid, &reason, &message).await });
}
