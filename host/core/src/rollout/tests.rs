//! Roll-outs in virtual time, over nodes that run the candidate well, badly or not at all.
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;
const SETTINGS: Settings = Settings { settle_us: 5 * SECOND, patience_us: 60 * SECOND };

fn build(name: &str) -> Build {
    Build::Delivered(name.repeat(8))
}

fn offer(name: &str) -> Offer {
    Offer::Build { build: build(name), delivery: format!("delivery of {name}") }
}

/// The behaviour of a node with a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Well,
    /// Fails this many seconds after it began.
    Fails(u64),
    /// Runs, and loses this many of its ten addresses.
    Loses(u32),
    Nothing,
    /// Crashes the daemon.
    Dies,
}

struct World {
    now: u64,
    rollout: Rollout,
    nodes: BTreeMap<NodeName, (Does, u32)>,
    down: BTreeSet<NodeName>,
    /// The nodes that a candidate crashed.
    died: BTreeSet<NodeName>,
    began: BTreeMap<(u32, NodeName), u64>,
    /// The nodes that tried each attempt, in the order in which they were selected.
    tried: Vec<(u32, BTreeSet<NodeName>)>,
}

impl World {
    fn new(nodes: &[(Does, u32)]) -> Self {
        let record = Record { active: Some(Build::Embedded), ..Record::default() };
        let named = nodes.iter().enumerate().map(|(at, node)| (format!("n{at}"), *node));
        Self {
            now: 0,
            rollout: Rollout::new(record, SETTINGS, 0),
            nodes: named.collect(),
            down: BTreeSet::new(),
            died: BTreeSet::new(),
            began: BTreeMap::new(),
            tried: Vec::new(),
        }
    }

    fn members(&mut self) -> BTreeMap<NodeName, RolloutMember> {
        let record = self.rollout.record().clone();
        let (mut members, mut died) = (BTreeMap::new(), Vec::new());
        for (node, (does, announces)) in &self.nodes {
            let up = !self.down.contains(node);
            let tries = record.candidate.as_ref().is_some_and(|it| it.nodes.contains(node));
            let mut standing = CandidateState::Silent;
            if tries && up {
                let began = *self.began.entry((record.attempt, node.clone())).or_insert(self.now);
                standing = match does {
                    Does::Well => CandidateState::Running { wanted: 10, missing: 0 },
                    Does::Loses(missing) => {
                        CandidateState::Running { wanted: 10, missing: *missing }
                    }
                    Does::Fails(after) if self.now >= began + after * SECOND => {
                        let (reason, message) = ("Trapped".to_owned(), "boom".to_owned());
                        CandidateState::Failed { reason, message }
                    }
                    Does::Fails(_) => CandidateState::Running { wanted: 10, missing: 0 },
                    Does::Nothing | Does::Dies => CandidateState::Silent,
                };
                if *does == Does::Dies && self.now > began {
                    died.push(node.clone());
                }
            }
            members.insert(node.clone(), RolloutMember { up, announces: *announces, standing });
        }
        self.died.extend(died.iter().cloned());
        self.down.extend(died);
        members
    }

    fn step(&mut self) {
        let members = self.members();
        self.rollout.advance(self.now, &members);
        if let Some(candidate) = &self.rollout.record().candidate {
            let attempt = (self.rollout.record().attempt, candidate.nodes.clone());
            if self.tried.last() != Some(&attempt) {
                self.tried.push(attempt);
            }
        }
        self.now += SECOND;
    }

    /// Steps until there is no candidate; returns the seconds that this took.
    fn run(&mut self, at_most: u64) -> u64 {
        let start = self.now;
        loop {
            self.step();
            let seconds = (self.now - start) / SECOND;
            if self.rollout.record().candidate.is_none() || seconds >= at_most {
                return seconds;
            }
        }
    }

    fn deliver(&mut self, name: &str) {
        self.rollout.offer(self.now, &offer(name), SETTINGS);
    }

    fn active(&self) -> Option<&Build> {
        self.rollout.record().active.as_ref()
    }

    fn reason(&self) -> &str {
        self.rollout.record().failed.as_ref().map_or("", |failed| &failed.reason)
    }
}

#[test]
fn a_good_build_goes_to_one_node_then_to_a_quarter_then_to_the_rest() {
    let mut world = World::new(&[(Does::Well, 3); 9]);
    world.deliver("a");
    assert!(world.run(100) < 25);
    assert_eq!(world.active(), Some(&build("a")));
    assert_eq!(world.rollout.record().previous, Some(Build::Embedded));
    let sizes: Vec<_> = world.tried.iter().map(|(_, nodes)| nodes.len()).collect();
    // The first node is chosen in the first step, so `tried` contains it from the first step on.
    assert_eq!(sizes, [1, 3, 9]);
}

#[test]
fn the_first_node_answers_for_two_addresses_at_least_and_for_few() {
    for (announces, first) in
        [(&[0, 7, 2, 3][..], "n2"), (&[0, 1, 0], "n1"), (&[0, 0], "n0"), (&[1, 1], "n0")]
    {
        let nodes: Vec<_> = announces.iter().map(|count| (Does::Well, *count)).collect();
        let mut world = World::new(&nodes);
        world.deliver("a");
        world.step();
        assert_eq!(world.tried[0].1, [first.to_owned()].into(), "{announces:?}");
    }
}

#[test]
fn what_fails_on_the_first_node_goes_nowhere_else_and_is_not_tried_again() {
    let mut world = World::new(&[(Does::Fails(2), 3), (Does::Well, 4), (Does::Well, 4)]);
    world.deliver("a");
    world.run(100);
    assert_eq!((world.active(), world.reason()), (Some(&Build::Embedded), "Trapped"));
    assert_eq!(world.tried, [(1, ["n0".to_owned()].into())]);
    world.run(50);
    assert_eq!(world.rollout.record().attempt, 1, "it is remembered");
    let again = Offer::Build { build: build("a"), delivery: "forced".to_owned() };
    world.rollout.offer(world.now, &again, SETTINGS);
    world.run(50);
    assert_eq!(world.rollout.record().attempt, 2, "another delivery is another chance");
}

#[test]
fn what_fails_later_on_any_node_goes_back_everywhere() {
    let mut world = World::new(&[(Does::Well, 3), (Does::Well, 4), (Does::Fails(1), 4)]);
    world.deliver("a");
    world.run(100);
    assert_eq!((world.active(), world.reason()), (Some(&Build::Embedded), "Trapped"));
    assert!(world.rollout.record().candidate.is_none());
}

#[test]
fn a_build_that_loses_a_tenth_and_two_at_least_goes_back_and_one_that_loses_less_does_not() {
    for (missing, reason) in [(0, ""), (1, ""), (2, "NotAnnouncing"), (10, "NotAnnouncing")] {
        let mut world = World::new(&[(Does::Loses(missing), 3)]);
        world.deliver("a");
        world.run(200);
        assert_eq!(world.reason(), reason, "{missing} of 10");
    }
    assert!(!too_many(20, 2) && too_many(19, 2) && !too_many(1, 1));
}

#[test]
fn a_node_that_is_down_is_not_waited_for_and_one_that_says_nothing_not_for_ever() {
    let mut world = World::new(&[(Does::Well, 3), (Does::Well, 4), (Does::Nothing, 4)]);
    world.down.insert("n1".to_owned());
    world.deliver("a");
    let seconds = world.run(200);
    assert_eq!(world.active(), Some(&build("a")));
    assert!((60..80).contains(&seconds), "{seconds}");
}

#[test]
fn a_node_that_goes_while_it_tries_a_candidate_is_the_verdict_and_no_other_tries_it() {
    let mut world = World::new(&[(Does::Dies, 2), (Does::Dies, 4), (Does::Dies, 4)]);
    world.deliver("a");
    let seconds = world.run(500);
    assert!(seconds < 10, "{seconds}");
    assert_eq!((world.active(), world.reason()), (Some(&Build::Embedded), CRASHED));
    // The node comes back, and the same delivery is still there.
    world.down.clear();
    world.deliver("a");
    world.run(500);
    assert_eq!(world.died.len(), 1, "{:?}", world.tried);
    // A new delivery is another chance, on the same first node only.
    let again = Offer::Build { build: build("a"), delivery: "again".to_owned() };
    world.rollout.offer(world.now, &again, SETTINGS);
    world.run(500);
    assert_eq!((world.died.len(), world.reason()), (1, CRASHED), "the same first node");
}

#[test]
fn a_node_that_goes_the_moment_it_was_chosen_is_the_verdict_too() {
    let mut world = World::new(&[(Does::Well, 2), (Does::Well, 4)]);
    world.deliver("a");
    world.step();
    world.down.insert("n0".to_owned());
    world.step();
    assert_eq!(world.reason(), CRASHED);
}

#[test]
fn a_node_that_has_confirmed_may_go_and_with_nobody_there_it_waits() {
    let mut world = World::new(&[(Does::Well, 2), (Does::Well, 4)]);
    world.down = ["n0".to_owned(), "n1".to_owned()].into();
    world.deliver("a");
    assert_eq!(world.run(500), 500, "nobody has tried it");
    assert_eq!(world.active(), Some(&Build::Embedded));
    world.down.clear();
    while world.rollout.confirmed() == 0 {
        world.step();
    }
    world.down.insert("n0".to_owned());
    assert!(world.run(200) < 100);
    assert_eq!(world.active(), Some(&build("a")));
}

#[test]
fn a_delivery_that_changes_or_is_taken_back_in_the_middle_begins_anew() {
    let mut world = World::new(&[(Does::Well, 3), (Does::Well, 4)]);
    world.deliver("a");
    world.step();
    world.deliver("b");
    world.step();
    let record = world.rollout.record();
    assert_eq!(record.candidate.as_ref().map(|it| &it.build), Some(&build("b")));
    assert_eq!(record.attempt, 2);
    let embedded = Offer::Build { build: Build::Embedded, delivery: String::new() };
    world.rollout.offer(world.now, &embedded, SETTINGS);
    world.step();
    assert_eq!(world.rollout.record().candidate, None, "what is active stays");
    world.deliver("c");
    world.step();
    world.rollout.offer(world.now, &Offer::Nothing, SETTINGS);
    world.step();
    assert_eq!(world.rollout.record().candidate, None, "what came instead is of no use");
    assert_eq!(world.active(), Some(&Build::Embedded));
}

#[test]
fn another_leader_goes_on_where_the_one_before_stopped() {
    let mut world = World::new(&[(Does::Well, 3); 9]);
    world.deliver("a");
    (0..8).for_each(|_| world.step());
    let record = world.rollout.record().clone();
    assert!(record.candidate.as_ref().is_some_and(|it| it.nodes.len() == 3));
    world.rollout = Rollout::new(record.clone(), SETTINGS, world.now);
    world.step();
    assert_eq!(world.rollout.record(), &record, "before it knows the deliveries it keeps all");
    world.deliver("a");
    world.run(100);
    assert_eq!(world.active(), Some(&build("a")));
}

fn any_does() -> impl Strategy<Value = Does> {
    prop_oneof![
        6 => Just(Does::Well),
        1 => (0_u64..12).prop_map(Does::Fails),
        1 => (0_u32..11).prop_map(Does::Loses),
        1 => Just(Does::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Nodes go and come back, and deliveries arrive in any order: an active build was run well by some node for the
    /// required time, a failed build is not active, and a roll-out begins with one node and only grows.
    #[test]
    fn whatever_happens_only_what_has_proved_itself_becomes_active(
        nodes in prop::collection::vec((any_does(), 0_u32..5), 1..9),
        events in prop::collection::vec((1_u64..90, 0_usize..9, any::<bool>(), 0_usize..4), 1..12),
    ) {
        let mut world = World::new(&nodes);
        for (seconds, node, down, name) in events {
            let node = format!("n{}", node % nodes.len());
            if down { world.down.insert(node); } else { world.down.remove(&node); }
            if let Some(name) = ["a", "b", "c"].get(name) {
                world.deliver(name);
            }
            for _ in 0..seconds {
                let before = world.rollout.record().clone();
                world.step();
                let after = world.rollout.record().clone();
                if before.active != after.active {
                    let candidate = before.candidate.expect("what becomes active was tried");
                    prop_assert_eq!(after.active.as_ref(), Some(&candidate.build));
                    prop_assert_eq!(&after.previous, &before.active);
                    let proved = candidate.nodes.iter().any(|node| {
                        world.began.get(&(before.attempt, node.clone())).is_some_and(|began| {
                            world.now - began > SETTINGS.settle_us
                                && !matches!(world.nodes[node].0, Does::Nothing)
                        })
                    });
                    prop_assert!(proved, "nobody ran it well for long enough");
                    for node in candidate.nodes.difference(&world.down) {
                        prop_assert!(!matches!(world.nodes[node].0, Does::Fails(after) if
                            world.now > world.began[&(before.attempt, node.clone())] + (after + 2) * SECOND));
                    }
                }
                if let Some(failed) = &after.failed {
                    prop_assert!(after.candidate.is_none());
                    prop_assert!(after.active.as_ref() != Some(&failed.build));
                }
            }
        }
        for pair in world.tried.windows(2) {
            let [(attempt, few), (next, more)] = pair else { continue };
            if attempt != next {
                prop_assert!(more.len() <= 1, "it begins with one node");
            } else if few.len() > 1 {
                prop_assert!(few.is_subset(more), "it only grows");
            }
        }
    }

    /// Regardless of what the nodes do, every roll-out ends while they are up; if all of them run the candidate well,
    /// it succeeds.
    #[test]
    fn every_roll_out_ends(nodes in prop::collection::vec((any_does(), 0_u32..5), 1..40)) {
        let mut world = World::new(&nodes);
        world.deliver("a");
        // Each timeout is used at most once per batch, and once per node that reports nothing while there is no first
        // node.
        let most = 70 * (nodes.len() as u64 + 4);
        let speaks = nodes.iter().any(|(does, _)| *does != Does::Nothing);
        let seconds = world.run(most);
        prop_assert!(seconds < most || !speaks);
        if nodes.iter().all(|(does, _)| *does == Does::Well) {
            prop_assert_eq!(world.active(), Some(&build("a")));
            prop_assert!(seconds < 25, "{}", seconds);
        }
        if !speaks {
            prop_assert_eq!(world.active(), Some(&Build::Embedded), "nobody has tried it");
        }
    }
}
