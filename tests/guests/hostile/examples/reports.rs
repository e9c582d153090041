//! Reports ever new peers, conditions and metrics.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::report::MetricValue;
use outrigger_sdk::{Condition, Effect, Event, PeerReport, Report};

/// In one call; each has a text as long as may be.
const EACH: u32 = 2_000;

struct Reports {
    said: u32,
}

impl Harm for Reports {
    fn start(_config: &str) -> Self {
        Self { said: 0 }
    }

    fn strike(&mut self, _events: Vec<Event>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for _ in 0..EACH {
            self.said += 1;
            let name = format!("{:050}", self.said);
            let last_error = "x".repeat(500);
            let report = match self.said % 3 {
                0 => Report::Peer(PeerReport {
                    peer: name,
                    protocol: "bgp".to_owned(),
                    state: "Idle".to_owned(),
                    last_error,
                    ..PeerReport::default()
                }),
                1 => Report::Condition(Condition {
                    kind: name,
                    status: None,
                    reason: "Hostile".to_owned(),
                    message: last_error,
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
