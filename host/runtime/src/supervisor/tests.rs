//! A scripted plugin under supervision: whatever it does, the surviving state is the sum of the events that were not
//! quarantined.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use outrigger_sdk::{Effect, FieldError, SavedState};
use proptest::prelude::*;

use super::*;

mod patience;
mod swapped;

const SECOND: u64 = 1_000_000;

/// The scripted failures of the instances of one build, counted over all of them.
#[derive(Default)]
struct Script {
    /// Numbers of the `handle` calls that fault once, whatever their events are.
    transient: BTreeSet<u64>,
    handled: u64,
    /// The number of the `handle` call from which on every call faults.
    broken_from: Option<u64>,
    /// True if snapshots fault.
    mute: bool,
    /// True if instances cannot be created.
    gone: bool,
    instances: u64,
}

/// A build that keeps every event it receives; an event whose text begins with "poison" makes it trap.
struct Build {
    digest: &'static str,
    script: Mutex<Script>,
}

impl Build {
    fn new(digest: &'static str) -> Arc<Self> {
        Self::scripted(digest, Script::default())
    }

    fn scripted(digest: &'static str, script: Script) -> Arc<Self> {
        Arc::new(Self { digest, script: Mutex::new(script) })
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A factory that hands the build to its instances.
struct Maker(Arc<Build>);

impl Factory for Maker {
    fn instantiate(&self) -> Result<Box<dyn PluginInstance>, Fault> {
        let mut script = self.0.script();
        script.instances += 1;
        if script.gone {
            return Err(Fault::Memory { limit_mib: 64 });
        }
        Ok(Box::new(Fake { build: Arc::clone(&self.0), heard: Vec::new(), started: false }))
    }

    fn digest(&self) -> &str {
        self.0.digest
    }
}

struct Fake {
    build: Arc<Build>,
    heard: Vec<String>,
    started: bool,
}

fn trap() -> Fault {
    Fault::Trap { message: "scripted".into() }
}

impl PluginInstance for Fake {
    fn validate(&mut self, config: &str) -> Result<Result<(), Vec<FieldError>>, Fault> {
        Ok(match config {
            "wrong" => Err(vec![FieldError { path: "/x".into(), message: "is wrong".into() }]),
            _ => Ok(()),
        })
    }

    fn start(
        &mut self,
        context: &Context,
        origin: &Origin,
    ) -> Result<Result<(), StartError>, Fault> {
        assert!(!self.started, "started twice");
        self.started = true;
        if context.config == "trap" {
            return Err(trap());
        }
        let Origin::Restored(state) = origin else { return Ok(Ok(())) };
        if state.format != "fake" || context.config == "amnesia" {
            return Ok(Err(StartError::UnknownSnapshot(state.format.clone())));
        }
        let text = String::from_utf8(state.data.clone()).expect("its own state");
        self.heard = text.lines().map(ToOwned::to_owned).collect();
        Ok(Ok(()))
    }

    fn handle(&mut self, _now: Time, events: &[Event]) -> Result<Reply, Fault> {
        let mut script = self.build.script();
        script.handled += 1;
        let number = script.handled;
        if script.transient.contains(&number)
            || script.broken_from.is_some_and(|from| number >= from)
        {
            return Err(Fault::Deadline { after_ms: 50 });
        }
        let mut effects = Vec::new();
        for event in events {
            let mut text = report::summary(event);
            if let Event::DesiredChanged(changed) = event {
                text.extend(
                    changed.upsert.iter().map(|entry| format!(" {} {}", entry.address, entry.pool)),
                );
            }
            if text.contains("poison") {
                return Err(trap());
            }
            effects.push(Effect::Unsupported { effect: "echo".into(), subject: text.clone() });
            self.heard.push(text);
        }
        let wake = Wake::After { ms: 10, reason: format!("after {}", self.heard.len()) };
        Ok(Reply { effects, wake })
    }

    fn snapshot(&mut self) -> Result<SavedState, Fault> {
        if self.build.script().mute {
            return Err(trap());
        }
        Ok(SavedState { format: "fake".into(), data: self.heard.join("\n").into_bytes() })
    }
}

fn at(seconds: u64) -> Time {
    Time { monotonic_us: seconds * SECOND, utc_us: 0 }
}

fn started(build: &Arc<Build>) -> Supervisor {
    Supervisor::start(Arc::new(Maker(Arc::clone(build))), Context::default()).expect("it starts")
}

fn event(text: impl Into<String>) -> Event {
    Event::Other(text.into())
}

fn events(texts: &[&str]) -> Vec<Event> {
    texts.iter().map(|text| event(*text)).collect()
}

/// Returns the events that the running instance has received.
fn heard(supervised: &mut Supervisor) -> Vec<String> {
    let machine = supervised.machine.as_mut().expect("an instance runs");
    let state = machine.snapshot().expect("it can say");
    String::from_utf8(state.data)
        .expect("text")
        .lines()
        .map(|line| line.replace("other, ", ""))
        .collect()
}

fn echoed(delivered: &Delivered) -> Vec<String> {
    let subject = |effect: &Effect| match effect {
        Effect::Unsupported { subject, .. } => subject.replace("other, ", ""),
        other => panic!("not an echo: {other:?}"),
    };
    delivered.effects.iter().map(subject).collect()
}

#[test]
fn what_goes_well_is_passed_on() {
    let mut supervised = started(&Build::new("a"));
    let out = supervised.deliver(at(1), events(&["x", "y"]));
    assert_eq!(echoed(&out), ["x", "y"]);
    assert_eq!(out.wake, Some((SECOND + 10_000, "after 2".into())));
    assert!(out.incidents.is_empty() && !out.needs_full);
    // No events: the plugin is not called, and its timer stays set.
    assert_eq!(supervised.deliver(at(2), vec![]).wake, out.wake);
}

#[test]
fn events_are_cut_into_calls_of_a_thousand() {
    let build = Build::new("a");
    let mut supervised = started(&build);
    supervised.deliver(at(1), (0..2_500).map(|n| event(n.to_string())).collect());
    assert_eq!(build.script().handled, 3);
    let frame =
        |octets: usize| Event::Frame(outrigger_sdk::Frame { link: 1, data: vec![0; octets] });
    supervised.deliver(at(2), vec![frame(600_000), frame(600_000), frame(2_000_000), frame(1)]);
    assert_eq!(build.script().handled, 7);
}

#[test]
fn a_call_that_faults_once_happens_all_the_same_and_only_once() {
    let build = Build::scripted("a", Script { transient: [2].into(), ..Script::default() });
    let mut supervised = started(&build);
    supervised.deliver(at(1), events(&["x"]));
    let out = supervised.deliver(at(2), events(&["y", "z"]));
    assert_eq!(echoed(&out), ["y", "z"]);
    assert_eq!(heard(&mut supervised), ["x", "y", "z"]);
    assert_eq!(out.incidents, [Incident::Restarted { why: Fault::Deadline { after_ms: 50 } }]);
    assert!(out.needs_full);
}

#[test]
fn the_event_that_faults_again_is_set_aside_alone() {
    let mut supervised = started(&Build::new("a"));
    supervised.deliver(at(1), events(&["w"]));
    let out = supervised.deliver(at(2), events(&["x", "poison 1", "y"]));
    assert_eq!(echoed(&out), ["x", "y"]);
    assert_eq!(heard(&mut supervised), ["w", "x", "y"]);
    let quarantined: Vec<_> =
        out.incidents.iter().filter(|i| matches!(i, Incident::Quarantined { .. })).collect();
    assert_eq!(
        quarantined,
        [&Incident::Quarantined { event: "other, poison 1".into(), why: trap() }]
    );
    let state = supervised.state();
    assert_eq!((state.quarantined, state.restarts, state.phase), (1, 2, Phase::Running));
    assert_eq!(state.last_fault.as_deref(), Some("the plugin crashed: scripted"));
}

#[test]
fn a_wake_that_faults_is_not_asked_for_again() {
    let mut supervised = started(&Build::new("a"));
    supervised.deliver(at(1), events(&["x"]));
    let out = supervised.deliver(at(2), vec![Event::Wake("poison".into())]);
    assert_eq!(out.wake, None);
    assert_eq!(heard(&mut supervised), ["x"]);
}

/// Returns a full list of these addresses; the pool's name distinguishes an entry from a changed one.
fn full(entries: &[(u8, &str)]) -> Vec<Event> {
    let upsert = entries.iter().map(|&(last, pool)| outrigger_sdk::DesiredAddress {
        address: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
        pool: pool.into(),
        services: vec![],
        duty: outrigger_sdk::Duty::Announce,
        local_endpoints: outrigger_sdk::EndpointCount::default(),
        ext: vec![],
    });
    let upsert = upsert.collect();
    vec![Event::DesiredChanged(outrigger_sdk::DesiredChanged {
        reset: true,
        remove: vec![],
        upsert,
        more: false,
    })]
}

#[test]
fn one_bad_entry_of_a_list_stops_only_itself_however_often_the_list_comes() {
    let mut supervised = started(&Build::new("a"));
    let list = full(&[(1, "p"), (2, "poison"), (3, "p")]);
    let out = supervised.deliver(at(1), list.clone());
    assert_eq!(supervised.state().quarantined, 1);
    assert!(out.needs_full);
    let words = heard(&mut supervised).join(";");
    assert!(
        words.contains("192.0.2.1") && words.contains("192.0.2.3") && !words.contains("192.0.2.2")
    );
    // Delivered as requested, and harmless now.
    let out = supervised.deliver(at(2), list.clone());
    assert!(out.incidents.is_empty() && !out.needs_full);
    // The entry changes: it is accepted again.
    let out = supervised.deliver(at(3), full(&[(2, "p")]));
    assert!(out.incidents.is_empty());
    assert!(heard(&mut supervised).join(";").contains("192.0.2.2"));
    // After a minute of health it gets another chance.
    let out = supervised.deliver(at(62), vec![]);
    assert!(out.needs_full);
    supervised.deliver(at(63), list);
    assert_eq!(supervised.state().quarantined, 2);
}

#[test]
fn a_full_journal_becomes_a_snapshot() {
    let build = Build::new("a");
    let mut supervised = started(&build);
    for n in 0..1_001 {
        supervised.deliver(at(1), vec![event(n.to_string())]);
    }
    assert_eq!(supervised.journal.calls().len(), 1, "the thousandth call made room");
    assert!(matches!(supervised.base, Origin::Restored(_)));
    supervised.deliver(at(2), events(&["poison"]));
    assert_eq!(heard(&mut supervised).len(), 1_001);
    // The calls after the snapshot were replayed: one for each of the two rebuilds.
    assert_eq!(build.script().handled, 1_001 + 2 + 2);
}

#[test]
fn too_many_effects_are_a_fault() {
    struct Flood;
    impl PluginInstance for Flood {
        fn validate(&mut self, _: &str) -> Result<Result<(), Vec<FieldError>>, Fault> {
            Ok(Ok(()))
        }
        fn start(&mut self, _: &Context, _: &Origin) -> Result<Result<(), StartError>, Fault> {
            Ok(Ok(()))
        }
        fn handle(&mut self, _: Time, _: &[Event]) -> Result<Reply, Fault> {
            Ok(Reply { effects: vec![Effect::Drained; 10_001], wake: Wake::Never })
        }
        fn snapshot(&mut self) -> Result<SavedState, Fault> {
            Ok(SavedState { format: String::new(), data: vec![0; (16 << 20) + 1] })
        }
    }
    struct Floods;
    impl Factory for Floods {
        fn instantiate(&self) -> Result<Box<dyn PluginInstance>, Fault> {
            Ok(Box::new(Flood))
        }
        fn digest(&self) -> &str {
            "flood"
        }
    }
    let mut supervised =
        Supervisor::start(Arc::new(Floods), Context::default()).expect("it starts");
    let out = supervised.deliver(at(1), events(&["x"]));
    assert!(out.effects.is_empty());
    assert!(matches!(&out.incidents[0], Incident::Restarted { why: Fault::Garbage(_) }));
    // A snapshot that is too large to keep is not taken either: the next build starts without.
    supervised
        .swap(at(2), Arc::new(Maker(Build::new("a"))), Context::default(), vec![])
        .expect("swaps");
    assert!(heard(&mut supervised).is_empty());
}

#[test]
fn every_incident_can_be_said_in_one_line() {
    let why = trap();
    let incidents = [
        Incident::Restarted { why: why.clone() },
        Incident::Quarantined { event: "frame".into(), why: why.clone() },
        Incident::FellBack { from: "b".into(), to: "a".into(), fresh: true, why },
        Incident::Held { until_us: 1, why: "gone".into() },
        Incident::Revived { digest: "a".into() },
        Incident::Swapped { from: "a".into(), to: "b".into(), fresh: false },
    ];
    let lines: BTreeMap<_, _> = incidents.iter().map(|i| (i.to_string(), ())).collect();
    assert_eq!(lines.len(), 6);
    assert!(lines.keys().all(|line| !line.contains('\n')));
}

proptest! {
    /// Deliveries far enough apart, with at most one poison and at most one chance fault in each.
    #[test]
    fn whatever_faults_the_survivor_is_the_sum_of_what_was_not_set_aside(
        deliveries in proptest::collection::vec((0_usize..6, proptest::option::of(0_usize..6), proptest::bool::ANY), 1..40),
        offset in 0_u64..4,
    ) {
        let build = Build::new("a");
        let mut supervised = started(&build);
        let (mut expected, mut acted) = (Vec::new(), Vec::new());
        for (round, (count, poison, chance)) in deliveries.into_iter().enumerate() {
            let mut texts: Vec<_> = (0..count).map(|n| format!("{round}.{n}")).collect();
            expected.extend(texts.clone());
            if let Some(place) = poison {
                texts.insert(place.min(count), format!("poison {round}"));
            }
            let next = build.script().handled + 1 + offset;
            build.script().transient = chance.then_some(next).into_iter().collect();
            let out = supervised.deliver(at(11 * round as u64), texts.into_iter().map(event).collect());
            acted.extend(echoed(&out));
            for incident in &out.incidents {
                // A chance fault that hits a single event looks like poison: that event is quarantined, and no other.
                if let Incident::Quarantined { event, .. } = incident {
                    let text = event.replace("other, ", "");
                    expected.retain(|heard| *heard != text);
                }
                let gave_up = matches!(incident, Incident::FellBack { .. } | Incident::Held { .. });
                prop_assert!(!gave_up, "{incident}");
            }
        }
        prop_assert_eq!(&heard(&mut supervised), &expected);
        prop_assert_eq!(acted, expected);
    }
}
