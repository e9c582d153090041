//! Tests of watch events in any order and after any failure, and of the changes that are reported for them.
use k8s_openapi::api::core::v1::{Node, Service};
use serde::de::DeserializeOwned;

use super::kind::{see_plugin, see_report, see_service};
use super::*;
use crate::convert;
use crate::problem::Problem;

struct Bench {
    says: mpsc::UnboundedSender<KindEvent>,
    watches: Watches,
}

impl Bench {
    fn new(kinds: &[Kind]) -> Self {
        let (says, said) = mpsc::unbounded_channel();
        Self { says, watches: Watches::hear(kinds.iter().copied(), said) }
    }

    /// Delivers an event and returns the reported changes in short form.
    fn say(&mut self, kind: Kind, heard: WatchEvent<Seen>) -> Vec<String> {
        assert!(self.says.send((kind, heard)).is_ok());
        self.watches.read().iter().map(short).collect()
    }

    fn problems(&self) -> Vec<String> {
        let line = |problem: Problem| format!("{}: {}", problem.object.unwrap(), problem.message);
        self.watches.problems().into_iter().map(line).collect()
    }
}

fn short(change: &Change) -> String {
    let name = |key: &FactKey| match key {
        FactKey::Service(key) => key.to_string(),
        FactKey::Node(name) | FactKey::Published(name) => name.clone(),
        other => format!("{other:?}"),
    };
    match change {
        Change::Upsert(fact) => format!("+{}", name(&fact.key())),
        Change::Remove(key) => format!("-{}", name(key)),
        Change::Synced => "synced".to_owned(),
    }
}

fn yaml<K: DeserializeOwned>(text: &str) -> K {
    serde_saphyr::from_str(text).unwrap()
}

fn node(name: &str, address: &str) -> Seen {
    let node: Node = yaml(&format!(
        "{{metadata: {{name: {name}}}, status: {{addresses: [{{type: InternalIP, address: {address}}}]}}}}"
    ));
    let key = ServiceKey::new("", name);
    Seen::new(key, convert::node(&node))
}

fn service(name: &str, version: u64, kind: &str) -> Seen {
    let service: Service = yaml(&format!(
        "{{metadata: {{namespace: a, name: {name}, resourceVersion: '{version}'}}, spec: {{type: {kind}}}}}"
    ));
    see_service(&service, &ServiceClasses::default(), true)
}

fn plugin(name: &str, digit: &str) -> Seen {
    let digest = digit.repeat(64);
    let object: crate::crd::Plugin = yaml(&format!(
        "{{apiVersion: a, kind: b, metadata: {{name: {name}, resourceVersion: '3'}}, spec: {{}}, status: {{active: {{build: b, digest: '{digest}'}}}}}}"
    ));
    see_plugin(&object, true)
}

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("a", name)
}

#[test]
fn nothing_is_synced_before_every_kind_has_been_listed() {
    let mut bench = Bench::new(&[Kind::Nodes, Kind::Services]);
    let nodes = WatchEvent::Listed(vec![node("n1", "10.0.0.1")]);
    assert_eq!(bench.say(Kind::Nodes, nodes), ["+n1"]);
    assert_eq!(bench.watches.missing().collect::<Vec<_>>(), [Kind::Services]);
    let services = WatchEvent::Listed(vec![service("web", 1, "LoadBalancer")]);
    assert_eq!(bench.say(Kind::Services, services), ["+a/web", "synced"]);
    assert!(bench.watches.complete());
}

#[test]
fn a_second_listing_removes_what_is_gone_and_repeats_nothing() {
    let mut bench = Bench::new(&[Kind::Nodes]);
    let both = vec![node("n1", "10.0.0.1"), node("n2", "10.0.0.2")];
    bench.say(Kind::Nodes, WatchEvent::Listed(both));
    let one = WatchEvent::Listed(vec![node("n2", "10.0.0.2"), node("n3", "10.0.0.3")]);
    assert_eq!(bench.say(Kind::Nodes, one), ["-n1", "+n3"]);
    assert_eq!(
        bench.watches.retell().iter().map(short).collect::<Vec<_>>(),
        ["+n2", "+n3", "synced"]
    );
}

#[test]
fn an_object_that_cannot_be_read_keeps_what_it_said_before() {
    let mut bench = Bench::new(&[Kind::Nodes]);
    bench.say(Kind::Nodes, WatchEvent::Listed(vec![node("n1", "10.0.0.1")]));
    assert!(bench.say(Kind::Nodes, WatchEvent::Seen(node("n1", "10.0.0.300"))).is_empty());
    assert_eq!(
        bench.problems(),
        ["Node n1: status.addresses[0].address: \"10.0.0.300\" is not an IP address: correct it"]
    );
    assert_eq!(bench.say(Kind::Nodes, WatchEvent::Seen(node("n1", "10.0.0.3"))), ["+n1"]);
    assert!(bench.problems().is_empty());
}

#[test]
fn an_object_that_says_what_it_said_before_differs_in_nothing() {
    let mut bench = Bench::new(&[Kind::Nodes]);
    bench.say(Kind::Nodes, WatchEvent::Listed(vec![node("n1", "10.0.0.1")]));
    assert!(bench.watches.differ(), "it is missing no more");
    assert!(bench.say(Kind::Nodes, WatchEvent::Seen(node("n1", "10.0.0.1"))).is_empty());
    assert!(!bench.watches.differ());
    for news in [
        WatchEvent::Seen(node("n1", "10.0.0.300")),
        WatchEvent::Failed("connection refused".to_owned()),
        WatchEvent::Recovered,
        WatchEvent::Gone(ServiceKey::new("", "n1")),
    ] {
        bench.say(Kind::Nodes, news);
        assert!(bench.watches.differ(), "what is wrong differs");
        assert!(!bench.watches.differ(), "and is asked for once");
    }
}

#[tokio::test]
async fn what_follows_at_once_is_looked_at_together() {
    let Bench { says, mut watches } = Bench::new(&[Kind::Nodes]);
    assert!(says.send((Kind::Nodes, WatchEvent::Listed(vec![node("n1", "10.0.0.1")]))).is_ok());
    let looks = async {
        watches.changed_together().await;
        watches.read()
    };
    // The waiting future is polled first, and must not be done by then.
    let (looked, sent) = tokio::join!(looks, async {
        says.send((Kind::Nodes, WatchEvent::Seen(node("n2", "10.0.0.2"))))
    });
    assert!(sent.is_ok());
    assert_eq!(looked.iter().map(short).collect::<Vec<_>>(), ["+n1", "+n2", "synced"]);
}

#[test]
fn a_controller_does_not_watch_what_only_decides_where_an_address_is_announced() {
    let kinds = |reader: Reader| reader.kinds().collect::<BTreeSet<_>>();
    assert!(!kinds(Reader::Controller).contains(&Kind::EndpointSlices));
    assert!(kinds(Reader::Controller).contains(&Kind::NodeReports));
    for reader in [Reader::Node, Reader::Person] {
        assert!(kinds(reader).contains(&Kind::EndpointSlices), "{reader:?}");
        assert!(!kinds(reader).contains(&Kind::NodeReports), "{reader:?}");
    }
}

#[test]
fn a_watch_that_fails_changes_nothing_and_says_so() {
    let mut bench = Bench::new(&[Kind::Nodes]);
    bench.say(Kind::Nodes, WatchEvent::Listed(vec![node("n1", "10.0.0.1")]));
    assert!(bench.say(Kind::Nodes, WatchEvent::Failed("connection refused".to_owned())).is_empty());
    assert_eq!(
        bench.problems(),
        [
            "watch of nodes: connection refused; until it works again, the last known state stays active"
        ]
    );
    bench.say(Kind::Nodes, WatchEvent::Recovered);
    assert!(bench.problems().is_empty());
}

#[test]
fn what_is_remembered_serves_until_the_api_server_has_been_heard() {
    let mut bench = Bench::new(&[Kind::Nodes, Kind::Plugins]);
    let mut earlier = Bench::new(&[Kind::Nodes, Kind::Plugins]);
    earlier
        .say(Kind::Nodes, WatchEvent::Listed(vec![node("n1", "10.0.0.1"), node("n2", "10.0.0.2")]));
    earlier.say(Kind::Plugins, WatchEvent::Listed(vec![plugin("mine", "a")]));
    let facts: Vec<Fact> = earlier.watches.facts().cloned().collect();
    let told: Vec<_> = bench.watches.remember(facts).iter().map(short).collect();
    assert_eq!(told, ["+n1", "+n2", "+mine", "synced"]);
    assert!(bench.watches.is_remembered());
    let nodes = WatchEvent::Listed(vec![node("n2", "10.0.0.2")]);
    assert_eq!(
        bench.say(Kind::Nodes, nodes),
        ["-n1"],
        "one kind is corrected as soon as it is listed"
    );
    assert!(bench.say(Kind::Plugins, WatchEvent::Listed(vec![plugin("mine", "a")])).is_empty());
    assert!(!bench.watches.is_remembered());
}

#[test]
fn a_status_that_somebody_changed_is_pointed_out_once() {
    let mut bench = Bench::new(&[Kind::Services]);
    bench.say(Kind::Services, WatchEvent::Listed(vec![service("web", 7, "LoadBalancer")]));
    assert_eq!(bench.watches.touched(), BTreeSet::from([key("web")]));
    bench.say(Kind::Services, WatchEvent::Seen(service("web", 7, "LoadBalancer")));
    assert!(bench.watches.touched().is_empty(), "the same version again");
    bench.say(Kind::Services, WatchEvent::Seen(service("web", 6, "LoadBalancer")));
    assert_eq!(bench.watches.observed(&key("web")).unwrap().version, 7, "an older one is late");
    assert_eq!(
        bench.say(Kind::Services, WatchEvent::Seen(service("web", 8, "ClusterIP"))),
        ["-a/web"]
    );
    assert!(bench.watches.observed(&key("web")).is_none());
    assert_eq!(bench.watches.touched(), BTreeSet::from([key("web")]));
}

#[test]
fn what_nodes_report_of_an_announcer_is_kept_by_node_until_they_say_otherwise() {
    let report = |node: &str, announcers: &str| -> Seen {
        see_report(&yaml(&format!(
            "{{apiVersion: a, kind: b, metadata: {{name: {node}}}, spec: {{}}, status: {{node: {node}, version: v, ready: true, announcers: [{announcers}]}}}}"
        )))
    };
    let lan = |rest: &str| {
        format!(
            "{{name: lan, plugin: layer2, digest: d, restarts: 1, quarantined: 0, lastFault: old, {rest}}}"
        )
    };
    let mut bench = Bench::new(&[Kind::Nodes, Kind::NodeReports]);
    let told = |bench: &Bench| -> Vec<String> {
        let reported = bench.watches.reported_of("lan").iter();
        let failures = reported.filter_map(|(node, it)| Some((node, it.failure.as_ref()?)));
        failures.map(|(node, it)| format!("{node} {} {}", it.reason, it.message)).collect()
    };
    let all = vec![
        report("n1", &lan("phase: Running")),
        report("n2", &lan("phase: Running, refused: 'validate failed: x'")),
        report("n3", &lan("phase: Held")),
        report("n4", &lan("phase: NotStarted")),
    ];
    assert_eq!(bench.say(Kind::NodeReports, WatchEvent::Listed(all)), [""; 0], "decides nothing");
    assert_eq!(told(&bench), ["n2 Refused validate failed: x", "n3 Failing old"]);
    bench.say(Kind::NodeReports, WatchEvent::Seen(report("n2", &lan("phase: Running"))));
    assert_eq!(bench.say(Kind::Nodes, WatchEvent::Listed(vec![])), ["synced"]);
    bench.say(Kind::NodeReports, WatchEvent::Gone(ServiceKey::new("", "n3")));
    assert_eq!(told(&bench), [""; 0]);
}

#[test]
fn roll_outs_hear_of_an_object_once_as_it_is_and_a_new_leader_hears_everything_again() {
    let report = |node: &str| -> Seen {
        see_report(&yaml(&format!(
            "{{apiVersion: a, kind: b, metadata: {{name: {node}}}, spec: {{}}, status: {{node: {node}, version: v, ready: true}}}}"
        )))
    };
    let told = |bench: &mut Bench| -> Vec<String> {
        let told = bench.watches.told().map(|told| match told {
            Told::Report(name, report) => format!("{name} {}", report.is_some()),
            Told::Plugin(name, it) => format!("{name} {:?}", it.map(|(version, _)| version)),
            Told::Listed(kind) => format!("all {}", kind.plural()),
        });
        told.collect()
    };
    let mut bench = Bench::new(&[Kind::Nodes, Kind::Plugins, Kind::NodeReports]);
    bench.say(Kind::Nodes, WatchEvent::Listed(vec![node("n1", "10.0.0.1")]));
    assert_eq!(told(&mut bench), [""; 0], "of Nodes they hear in another way");
    bench.say(Kind::NodeReports, WatchEvent::Listed(vec![report("n1"), report("n2")]));
    bench.say(Kind::NodeReports, WatchEvent::Seen(report("n1")));
    assert_eq!(told(&mut bench), ["n1 true", "n2 true", "all nodereports"]);
    assert_eq!(told(&mut bench), [""; 0]);
    bench.say(Kind::NodeReports, WatchEvent::Listed(vec![report("n2")]));
    assert_eq!(
        bench.say(Kind::Plugins, WatchEvent::Listed(vec![plugin("mine", "a")])),
        ["+mine", "synced"]
    );
    assert_eq!(told(&mut bench), ["mine Some(\"3\")", "n1 false", "n2 true", "all plugins"]);
    let mine = ServiceKey::new("", "mine");
    bench.say(Kind::Plugins, WatchEvent::Gone(mine));
    bench.watches.retell();
    assert_eq!(told(&mut bench), ["mine None", "n2 true", "all plugins", "all nodereports"]);
}
