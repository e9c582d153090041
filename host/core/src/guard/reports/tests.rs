//! Levels: kept within the limits, taken back, and said again by a new instance.
use proptest::prelude::*;

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

fn names(reports: &Reports) -> Vec<&str> {
    reports.peers().map(|report| &*report.peer).collect()
}

#[test]
fn endless_peers_are_refused_and_those_that_stand_are_renewed() {
    let mut reports = Reports::default();
    for number in 0..PEERS {
        reports.keep(peer(&format!("p{number}"))).unwrap();
    }
    assert_eq!(reports.keep(peer("one-more")), Err(Reason::TooMuchSaid));
    reports.keep(peer("p7")).expect("it stands already");
    assert_eq!(reports.peer_count(), PEERS);
}

#[test]
fn what_a_plugin_takes_back_is_gone() {
    let mut reports = Reports::default();
    reports.keep(peer("tor-a")).unwrap();
    reports.keep(metric("queue", &[], MetricValue::Set(3.0))).unwrap();
    let mut gone = peer("tor-a");
    if let Report::Peer(about) = &mut gone {
        about.state.clear();
    }
    reports.keep(gone).unwrap();
    reports.keep(metric("queue", &[], MetricValue::Set(f64::NAN))).unwrap();
    assert_eq!((reports.peer_count(), reports.metrics().count()), (0, 0));
}

#[test]
fn silence_removes_nothing_and_a_new_instance_has_ten_seconds_to_say_it_again() {
    let mut reports = Reports::default();
    reports.begin(0);
    reports.keep(peer("a")).unwrap();
    reports.keep(peer("b")).unwrap();
    assert_eq!(reports.sweep(10_000_000), None);
    assert_eq!(reports.sweep(3_600_000_000), None);
    assert_eq!(names(&reports), ["a", "b"]);

    reports.begin(4_000_000_000);
    reports.keep(peer("b")).unwrap();
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
    reports.keep(metric("probes_sent", &one, MetricValue::Add(2.0))).unwrap();
    reports.keep(metric("probes_sent", &other, MetricValue::Add(3.0))).unwrap();
    let all: Vec<f64> = reports.metrics().map(|(_, value)| value).collect();
    assert_eq!(all, [5.0]);
}

#[test]
fn a_name_that_a_page_of_metrics_cannot_have_is_refused() {
    let mut reports = Reports::default();
    let long = "a".repeat(NAME + 1);
    for name in ["", "Queue", "queue-length", "a b", "a\nb", "0a", &long] {
        let refused = reports.keep(metric(name, &[], MetricValue::Set(1.0)));
        assert_eq!(refused, Err(Reason::NotWellFormed), "{name:?}");
    }
    for labels in [&[("announcer", "x")][..], &[("a", "1"), ("a", "2")]] {
        let refused = reports.keep(metric("queue", labels, MetricValue::Set(1.0)));
        assert_eq!(refused, Err(Reason::NotWellFormed), "{labels:?}");
    }
    let refused = reports.keep(peer("a\nforged 1"));
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
    reports.keep(about).unwrap();
    let kept = reports.peers().next().unwrap();
    assert_eq!(kept.last_error, "a forged line  [31m");
    assert_eq!(kept.ext[0].1.len(), TEXT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_said_the_host_keeps_no_more_than_the_table_says(
        said in proptest::collection::vec((0_u8..3, ".{0,80}", 0_u32..5_000, any::<f64>()), 0..4_000),
    ) {
        let mut reports = Reports::default();
        for (kind, text, number, value) in said {
            let _ = reports.keep(match kind {
                0 => peer(&format!("{text}{number}")),
                1 => metric(&format!("m{number}"), &[], MetricValue::Add(value)),
                _ => Report::Condition(Condition {
                    kind: format!("{text}{number}"),
                    status: None,
                    reason: "R".to_owned(),
                    message: String::new(),
                }),
            });
        }
        prop_assert!(reports.peer_count() <= PEERS);
        prop_assert!(reports.conditions().count() <= CONDITIONS);
        prop_assert!(reports.metrics().count() <= SERIES);
        prop_assert!(reports.metrics().all(|(_, value)| value.is_finite()));
    }
}
