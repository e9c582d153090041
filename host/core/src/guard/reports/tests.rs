//! Tests of reports: kept within the limits, taken back, and repeated by a new instance.
use proptest::prelude::*;

use super::super::budget::EVENTS;
use super::*;

fn peer(name: &str) -> Report {
    let about = PeerReport {
        peer: name.to_owned(),
        protocol: "bgp".to_owned(),
        state: "Idle".to_owned(),
        ..PeerReport::default()
    };
    Report::Peer(about)
}

fn metric(name: &str, labels: &[(&str, &str)], value: MetricValue) -> Report {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Report::Metric { name: name.to_owned(), labels: labels.iter().map(pair).collect(), value }
}

fn keep(reports: &mut Reports, report: Report) -> Result<(), Reason> {
    reports.keep(report, Time::default())
}

fn names(reports: &Reports) -> Vec<&str> {
    reports.peers().map(|report| &*report.peer).collect()
}

#[test]
fn endless_peers_are_refused_and_those_that_stand_are_renewed() {
    let mut reports = Reports::default();
    for number in 0..PEERS {
        keep(&mut reports, peer(&format!("p{number}"))).unwrap();
    }
    assert_eq!(keep(&mut reports, peer("one-more")), Err(Reason::TooMuchSaid));
    keep(&mut reports, peer("p7")).expect("it stands already");
    assert_eq!(reports.peer_count(), PEERS);
}

#[test]
fn what_a_plugin_takes_back_is_gone() {
    let mut reports = Reports::default();
    keep(&mut reports, peer("tor-a")).unwrap();
    keep(&mut reports, metric("queue", &[], MetricValue::Set(3.0))).unwrap();
    let mut gone = peer("tor-a");
    if let Report::Peer(about) = &mut gone {
        about.state.clear();
    }
    keep(&mut reports, gone).unwrap();
    keep(&mut reports, metric("queue", &[], MetricValue::Set(f64::NAN))).unwrap();
    assert_eq!((reports.peer_count(), reports.metrics().count()), (0, 0));
}

#[test]
fn silence_removes_nothing_and_a_new_instance_has_ten_seconds_to_say_it_again() {
    let mut reports = Reports::default();
    reports.begin(0);
    keep(&mut reports, peer("a")).unwrap();
    keep(&mut reports, peer("b")).unwrap();
    assert_eq!(reports.sweep(10_000_000), None);
    assert_eq!(reports.sweep(3_600_000_000), None);
    assert_eq!(names(&reports), ["a", "b"]);

    reports.begin(4_000_000_000);
    keep(&mut reports, peer("b")).unwrap();
    assert_eq!(reports.sweep(4_009_999_999), Some(4_010_000_000));
    assert_eq!(names(&reports), ["a", "b"]);
    assert_eq!(reports.sweep(4_010_000_000), None);
    assert_eq!(names(&reports), ["b"]);
}

#[test]
fn metrics_are_series_by_name_and_labels_in_any_order() {
    let mut reports = Reports::default();
    let one = [("pool", "a"), ("zone", "b")];
    let other = [("zone", "b"), ("pool", "a")];
    keep(&mut reports, metric("probes_sent", &one, MetricValue::Add(2.0))).unwrap();
    keep(&mut reports, metric("probes_sent", &other, MetricValue::Add(3.0))).unwrap();
    let all: Vec<f64> = reports.metrics().map(|(_, value)| value).collect();
    assert_eq!(all, [5.0]);
}

#[test]
fn a_name_that_a_page_of_metrics_cannot_have_is_refused() {
    let mut reports = Reports::default();
    let long = "a".repeat(NAME + 1);
    for name in ["", "Queue", "queue-length", "a b", "a\nb", "0a", &long] {
        let refused = keep(&mut reports, metric(name, &[], MetricValue::Set(1.0)));
        assert_eq!(refused, Err(Reason::NotWellFormed), "{name:?}");
    }
    for labels in [&[("announcer", "x")][..], &[("a", "1"), ("a", "2")]] {
        let refused = keep(&mut reports, metric("queue", labels, MetricValue::Set(1.0)));
        assert_eq!(refused, Err(Reason::NotWellFormed), "{labels:?}");
    }
    let refused = keep(&mut reports, peer("a\nforged 1"));
    assert_eq!(refused, Err(Reason::NotWellFormed), "a line break");
}

#[test]
fn a_router_that_says_much_or_control_characters_keeps_no_report_from_being_kept() {
    let mut reports = Reports::default();
    let mut about = peer("tor-a");
    if let Report::Peer(about) = &mut about {
        about.last_error = "a\nforged line \u{1b}[31m".to_owned();
        about.ext = vec![("capabilities-received".to_owned(), "ä".repeat(TEXT))];
    }
    keep(&mut reports, about).unwrap();
    let kept = reports.peers().next().unwrap();
    assert_eq!(kept.last_error, "a forged line  [31m");
    assert_eq!(kept.ext[0].1.len(), TEXT);
}

fn condition(kind: &str, reason: &str) -> Report {
    let (kind, reason) = (kind.to_owned(), reason.to_owned());
    Report::Condition(Condition { kind, status: Some(true), reason, message: "well".to_owned() })
}

#[test]
fn a_condition_is_one_that_the_api_server_takes_or_is_refused() {
    let mut reports = Reports::default();
    keep(&mut reports, condition("ZonesServed", "AllPublished")).unwrap();
    for (kind, reason) in [
        ("Ready", "Fine"),
        ("zones served", "Fine"),
        ("9Lives", "Fine"),
        ("", "Fine"),
        ("ZonesServed", "not one word"),
    ] {
        let refused = keep(&mut reports, condition(kind, reason));
        assert_eq!(refused, Err(Reason::NotWellFormed), "{kind:?} {reason:?}");
    }
    keep(&mut reports, condition("ZonesServed", "")).unwrap();
    assert_eq!(reports.conditions().count(), 0, "taken back");
}

fn event(name: &str, message: &str) -> ServiceEvent {
    ServiceEvent {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        warning: true,
        reason: "NameTaken".to_owned(),
        message: message.to_owned(),
    }
}

#[test]
fn an_event_is_about_a_service_that_was_told_and_stands_once_for_ten_minutes() {
    let mut reports = Reports::default();
    let say = |reports: &mut Reports, at_us: u64, event: ServiceEvent| {
        let report = reports.admit(at_us, Report::Event(event), |it| it.name == "web")?;
        reports.keep(report, Time { monotonic_us: at_us, utc_us: at_us })
    };
    assert_eq!(say(&mut reports, 0, event("other", "")), Err(Reason::AddressNotDesired));
    say(&mut reports, 1_000_000, event("web", "one\ntwo")).unwrap();
    say(&mut reports, 2_000_000, event("web", "one\ntwo")).unwrap();
    let standing: Vec<_> = reports.events().cloned().collect();
    assert_eq!(standing.len(), 1, "said twice");
    assert_eq!((standing[0].0.utc_us, &*standing[0].1.message), (1_000_000, "one two"));
    for number in 1..EVENTS {
        say(&mut reports, 3_000_000, event("web", &number.to_string())).unwrap();
    }
    let more = say(&mut reports, 4_000_000, event("web", "one more"));
    assert_eq!(more, Err(Reason::TooMuchSaid));
    assert_eq!(reports.sweep(5_000_000), Some(601_000_000));
    assert_eq!(reports.sweep(601_000_000), Some(603_000_000));
    assert_eq!(reports.events().count(), EVENTS - 1);
    say(&mut reports, 602_000_000, event("web", "one more")).unwrap();
}

#[test]
fn events_about_services_that_nobody_knows_are_soon_not_looked_for() {
    let mut reports = Reports::default();
    let mut looked_for = 0;
    for _ in 0..10_000 {
        let event = Report::Event(event("nobody", ""));
        let refused = reports.admit(0, event, |_| {
            looked_for += 1;
            false
        });
        assert!(refused.is_err());
    }
    assert!(looked_for < 100, "{looked_for}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_said_the_host_keeps_no_more_than_the_table_says(
        said in proptest::collection::vec((0_u8..4, ".{0,80}", 0_u32..5_000, any::<f64>()), 0..4_000),
    ) {
        let mut reports = Reports::default();
        for (kind, text, number, value) in said {
            let _ = keep(&mut reports, match kind {
                0 => peer(&format!("{text}{number}")),
                1 => metric(&format!("m{number}"), &[], MetricValue::Add(value)),
                2 => Report::Event(event("web", &format!("{text}{number}"))),
                _ => Report::Condition(Condition {
                    kind: format!("C{number}"),
                    status: None,
                    reason: "R".to_owned(),
                    message: String::new(),
                }),
            });
        }
        prop_assert!(reports.peer_count() <= PEERS);
        prop_assert!(reports.conditions().count() <= CONDITIONS);
        prop_assert!(reports.events().count() <= EVENTS);
        prop_assert!(reports.metrics().count() <= SERIES);
        prop_assert!(reports.metrics().all(|(_, value)| value.is_finite()));
    }
}
