use std::time::Duration;

use outrigger_tests::clock;
use serde_json::json;

use super::creator::Created;
use super::figure;
use super::system::{Part, System};
use super::watch::Seen;

#[test]
fn a_service_counts_from_when_it_was_first_known_to_be() {
    let began = clock::now();
    let after = |milliseconds| began + Duration::from_millis(milliseconds);
    // Seen before its creator had an answer, and after.
    let created = Created { began, answers: vec![after(10), after(100)] };
    let seen = [(5, 15), (110, 130)].map(|(at, served)| Seen {
        at: after(at),
        address: None,
        served: Some(after(served)),
    });
    let latency = figure::latency(&created, &seen).unwrap();
    let expected = json!({ "services": 2, "median_ms": 10.0, "p95_ms": 30.0, "most_ms": 30.0 });
    assert_eq!(latency.values, expected);
    let burst = figure::burst(&created, &seen).unwrap();
    let expected = json!({ "services": 2, "after_last_create_s": 0.03, "creating_s": 0.1 });
    assert_eq!(burst.values, expected);
}

#[test]
fn processes_are_told_apart_by_their_arguments() {
    let node = ["/outrigger", "run", "--role", "node"];
    assert_eq!(System::Outrigger.part(&node), Some(Part::Node));
    let controller = ["/outrigger", "run", "--role", "controller"];
    assert_eq!(System::Outrigger.part(&controller), Some(Part::Controller));
    assert_eq!(System::Metallb.part(&["/speaker", "--port=7472"]), Some(Part::Node));
    assert_eq!(System::Metallb.part(&node), None);
}
