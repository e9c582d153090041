use std::collections::BTreeMap;

use proptest::prelude::*;

use super::CandidateRank::{Candidate, Ineligible, LastResort, Leaving};
use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn claimant(node: &str, term: u32, announced: bool, standing: CandidateRank) -> Claimant<'_> {
    Claimant { node, claim: Claim { term, announced }, standing }
}

#[test]
fn every_row_of_the_table() {
    // For 10.0.0.6 the nodes rank b, a, c.
    let check = |claimants: &[Claimant<'_>], candidates: &[&'static str], expected: [&str; 3]| {
        let duties = ["a", "b", "c"].map(|me| {
            let of_standing = |one| if one == Candidate { candidates.to_vec() } else { Vec::new() };
            match elect(address("10.0.0.6"), me, claimants, of_standing) {
                Duty::Announce => "announce".to_owned(),
                Duty::TakeOver(node) => format!("take over {node}"),
                Duty::HandOver(node) => format!("hand over {node}"),
                Duty::Standby(node) => format!("standby {node}"),
            }
        });
        assert_eq!(duties, expected.map(str::to_owned), "{claimants:?} of {candidates:?}");
    };
    let nobody = ["standby "; 3];
    check(&[], &[], nobody);
    check(&[], &["a", "b", "c"], ["standby b", "announce", "standby b"]);
    check(&[], &["a", "c"], ["announce", "standby a", "standby a"]);

    // Sticky, regardless of the rank.
    let c = claimant("c", 1, true, Candidate);
    check(&[c], &["a", "b", "c"], ["standby c", "standby c", "announce"]);

    // A leaving node waits until its successor has announced.
    let a = claimant("a", 1, true, Leaving);
    check(&[a], &["b", "c"], ["hand over b", "take over a", "standby b"]);
    let b = claimant("b", 2, false, Candidate);
    check(&[a, b], &["b", "c"], ["hand over b", "take over a", "standby b"]);
    let b = claimant("b", 2, true, Candidate);
    check(&[a, b], &["b", "c"], ["standby b", "take over a", "standby b"]);
    check(&[b], &["b", "c"], ["standby b", "announce", "standby b"]);
    check(&[a], &[], ["announce", "standby a", "standby a"]);

    // An ineligible node waits as well, but stops if there is no successor.
    let a = claimant("a", 1, true, Ineligible);
    check(&[a], &["b", "c"], ["hand over b", "take over a", "standby b"]);
    check(&[a], &[], nobody);
    let b = claimant("b", 1, true, Leaving);
    check(&[a, b], &[], ["standby b", "take over a", "standby b"]);

    // Of rivals the one with the higher term wins, then the one with the better rank; the others yield at once.
    let a = claimant("a", 2, false, Candidate);
    let b = claimant("b", 1, true, Candidate);
    check(&[a, b], &["a", "b", "c"], ["announce", "standby a", "standby a"]);
    let a = claimant("a", 1, true, Candidate);
    check(&[a, b], &["a", "b", "c"], ["standby b", "announce", "standby b"]);
}

#[test]
fn fresh_addresses_land_where_metallb_puts_them() {
    for (text, nodes, expected) in [
        ("10.0.0.1", &["node-a", "node-b", "node-c"][..], "node-b"),
        ("10.0.0.2", &["node-a", "node-b", "node-c"], "node-b"),
        ("10.0.0.2", &["node-a", "node-c"], "node-c"),
        ("10.20.30.1", &["edge-a", "edge-b"], "edge-b"),
    ] {
        let all = |standing| if standing == Candidate { nodes.to_vec() } else { Vec::new() };
        let duty = elect(address(text), "me", &[], all);
        assert_eq!(duty, Duty::Standby(expected.to_owned()), "{text} over {nodes:?}");
    }
}

#[test]
fn a_node_of_last_resort_answers_only_while_there_is_no_candidate() {
    // For 10.0.0.6 the nodes rank b, a, c.
    let duties =
        |claimants: &[Claimant<'_>], candidates: &[&'static str], last: &[&'static str]| {
            let of = |standing| match standing {
                Candidate => candidates.to_vec(),
                LastResort => last.to_vec(),
                _ => Vec::new(),
            };
            ["a", "b", "c"].map(|me| elect(address("10.0.0.6"), me, claimants, of))
        };
    let standby = |node: &str| Duty::Standby(node.to_owned());
    let hand_over = |node: &str| Duty::HandOver(node.to_owned());
    let take_over = |node: &str| Duty::TakeOver(node.to_owned());
    assert_eq!(
        duties(&[], &["c"], &["a", "b"]),
        [standby("c"), standby("c"), Duty::Announce],
        "not by rank"
    );
    assert_eq!(
        duties(&[], &[], &["a", "b"]),
        [standby("b"), Duty::Announce, standby("b")],
        "somebody answers though all are unfit"
    );
    let a = claimant("a", 1, true, LastResort);
    assert_eq!(
        duties(&[a], &["c"], &["a", "b"]),
        [hand_over("c"), standby("c"), take_over("a")],
        "make before break"
    );
    assert_eq!(
        duties(&[a], &[], &["a", "b"]),
        [Duty::Announce, standby("a"), standby("a")],
        "sticky among equals"
    );
    let b = claimant("b", 1, true, Leaving);
    assert_eq!(
        duties(&[b], &[], &["a"]),
        [take_over("b"), hand_over("a"), standby("a")],
        "before one that goes"
    );
}

#[test]
fn many_addresses_are_spread_evenly() {
    let nodes: Vec<String> = (0..10).map(|index| format!("node-{index}")).collect();
    let mut load = BTreeMap::new();
    for last in 0..=255 {
        let all = |_| nodes.iter().map(String::as_str);
        let (winner, _) = winner(IpAddr::from([10, 0, 0, last]), &[], all).unwrap();
        *load.entry(winner).or_insert(0) += 1;
    }
    assert_eq!(load.len(), 10);
    assert!(load.values().all(|count| (10..=42).contains(count)), "{load:?}");
}

proptest! {
    /// Nodes with the same knowledge make the same decision: at most one candidate announces, and all nodes name it.
    #[test]
    fn all_nodes_agree(
        nodes in prop::collection::btree_map("[a-f]", (0..4u8, prop::option::of((0..4u32, any::<bool>()))), 1..6),
        last in any::<u8>(),
    ) {
        let address = IpAddr::from([10, 0, 0, last]);
        let standing = |code: u8| [Candidate, Leaving, Ineligible, LastResort][usize::from(code)];
        let claimants: Vec<_> = nodes.iter().filter_map(|(node, (code, claim))| {
            claim.map(|(term, announced)| claimant(node, term, announced, standing(*code)))
        }).collect();
        let of_standing = |one| {
            let nodes = nodes.iter().filter(move |(_, (code, _))| standing(*code) == one);
            nodes.map(|(node, _)| node.as_str())
        };
        let won = winner(address, &claimants, of_standing);
        let expected = won.map(|(node, _)| node);
        for (node, (code, claim)) in &nodes {
            let duty = elect(address, node, &claimants, of_standing);
            match &duty {
                Duty::Announce | Duty::TakeOver(_) => prop_assert_eq!(Some(node.as_str()), expected),
                Duty::HandOver(to) => {
                    prop_assert_eq!(Some(to.as_str()), expected);
                    prop_assert!(*code != 0 && claim.is_some());
                }
                Duty::Standby(to) => prop_assert_eq!(to.as_str(), expected.unwrap_or("")),
            }
        }
    }
}
