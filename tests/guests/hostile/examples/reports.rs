//! Reports new peers, conditions, metrics and events about Services without end.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::report::MetricValue;
use outrigger_sdk::{Condition, Effect, Event, PeerReport, Report, ServiceEvent};

/// Number of reports per call; each has a text of the greatest allowed length.
const EACH: u32 = 2_000;

struct Reports {
    said: u32,
    /// Namespace and name of a Service from its events.
    service: (String, String),
}

impl Harm for Reports {
    fn start(_config: &str) -> Self {
        Self { said: 0, service: Default::default() }
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        for event in events {
            let Event::DesiredChanged(change) = event else { continue };
            let told = change.upsert.into_iter().flat_map(|entry| entry.services).next();
            self.service = told.map_or(self.service.clone(), |it| (it.namespace, it.name));
        }
        let mut effects = Vec::new();
        for _ in 0..EACH {
            self.said += 1;
            let name = format!("{:050}", self.said);
            let last_error = "x".repeat(500);
            let report = match self.said % 4 {
                0 => Report::Peer(PeerReport {
                    peer: name,
                    protocol: "bgp".to_owned(),
                    state: "Idle".to_owned(),
                    last_error,
                    ..PeerReport::default()
                }),
                1 => Report::Condition(Condition {
                    kind: format!("C{name}"),
                    status: None,
                    reason: "Hostile".to_owned(),
                    message: last_error,
                }),
                2 => Report::Event(ServiceEvent {
                    namespace: self.service.0.clone(),
                    name: self.service.1.clone(),
                    warning: true,
                    reason: "Hostile".to_owned(),
                    message: name,
                }),
                _ => Report::Metric {
                    name: format!("m{name}"),
                    labels: Vec::new(),
                    value: MetricValue::Add(1.0),
                },
            };
            effects.push(Effect::Report(report));
        }
        effects
    }
}

outrigger_sdk::announcer!(Hostile<Reports>);
