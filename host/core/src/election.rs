//! Election of the node that answers for an address: one decision table, the same on every node. Pure: no clock, no
//! state, no I/O.
//!
//! Sticky: a claimant that may continue does continue. Balanced: an address without a claimant goes to the candidate
//! with the lowest SHA-256 of `node#address`, which is also how MetalLB ranks nodes, so that fresh addresses are
//! placed on the same nodes as with MetalLB. Make before break: a claimant that must not continue waits until the
//! winner has announced.
use std::cmp::Reverse;
use std::net::IpAddr;

use outrigger_sdk::Duty;
use sha2::{Digest, Sha256};

use crate::membership::Claim;

#[cfg(test)]
mod tests;

/// Standing of an alive node for an address; better standings sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateRank {
    /// The node may answer for the address.
    Candidate,
    /// The node may answer for the address while there is no candidate.
    LastResort,
    /// The node could answer, but is leaving: it continues only if no other node can.
    Leaving,
    /// The node may answer, but reports that it cannot.
    Unable,
    /// The node may not answer.
    Ineligible,
}

/// An alive node that claims the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// The node's claim on the address.
    pub claim: Claim,
    /// The node's standing for the address.
    pub standing: CandidateRank,
}

/// Returns the duty of `me` for `address`.
///
/// `claimants` are all alive nodes that claim the address, including `me` if it claims it. `of_standing` returns
/// every alive node of a standing; it is only called if no claimant has that standing or a better one. A claimant
/// must not continue if the winner's standing is better than its own, or if it is leaving or ineligible.
///
/// | winner | I claim | others claim | duty |
/// |---|---|---|---|
/// | me | | none, or rivals of worse rank | announce |
/// | me | | one that must not continue | take over from it |
/// | another | no | | stand by |
/// | another | yes, and may continue: a rival of worse rank | | stand by at once |
/// | another | yes, and must not continue | winner not announced | hand over |
/// | another | yes, and must not continue | winner announced | stand by |
/// | none | | | stand by |
pub fn elect<'a, C>(
    address: IpAddr,
    me: &str,
    claimants: &[Claimant<'a>],
    of_standing: impl Fn(CandidateRank) -> C,
) -> Duty
where
    C: IntoIterator<Item = &'a str>,
{
    let Some((winner, standing)) = winner(address, claimants, of_standing) else {
        return Duty::Standby(String::new());
    };
    let must_end = |claimant: &&Claimant<'_>| {
        let may_not =
            matches!(claimant.standing, CandidateRank::Leaving | CandidateRank::Ineligible);
        claimant.standing > standing || may_not
    };
    if winner == me {
        let others = claimants.iter().filter(|claimant| claimant.node != me);
        return match best(address, others.filter(must_end)) {
            Some(other) => Duty::TakeOver(other.to_owned()),
            None => Duty::Announce,
        };
    }
    let announced = claimants.iter().any(|other| other.node == winner && other.claim.announced);
    let waits = claimants.iter().filter(must_end).any(|mine| mine.node == me) && !announced;
    if waits { Duty::HandOver(winner.to_owned()) } else { Duty::Standby(winner.to_owned()) }
}

fn winner<'a, C>(
    address: IpAddr,
    claimants: &[Claimant<'a>],
    of_standing: impl Fn(CandidateRank) -> C,
) -> Option<(&'a str, CandidateRank)>
where
    C: IntoIterator<Item = &'a str>,
{
    let of = |standing| claimants.iter().filter(move |claimant| claimant.standing == standing);
    let fresh = |standing| {
        of_standing(standing).into_iter().min_by_key(|node| (score(node, address), *node))
    };
    let with = |standing| move |node| (node, standing);
    [CandidateRank::Candidate, CandidateRank::LastResort]
        .into_iter()
        .find_map(|one| best(address, of(one)).or_else(|| fresh(one)).map(with(one)))
        .or_else(|| best(address, of(CandidateRank::Leaving)).map(with(CandidateRank::Leaving)))
        .or_else(|| {
            let unable =
                best(address, of(CandidateRank::Unable)).or_else(|| fresh(CandidateRank::Unable));
            unable.map(with(CandidateRank::Unable))
        })
}

/// Returns the best of several rivals: the one with the highest term, because it took over from the others, then the
/// one with the lowest score.
fn best<'a, 'b>(
    address: IpAddr,
    claimants: impl Iterator<Item = &'b Claimant<'a>>,
) -> Option<&'a str>
where
    'a: 'b,
{
    claimants
        .min_by_key(|rival| (Reverse(rival.claim.term), score(rival.node, address), rival.node))
        .map(|claimant| claimant.node)
}

fn score(node: &str, address: IpAddr) -> [u8; 32] {
    Sha256::digest(format!("{node}#{address}")).into()
}
