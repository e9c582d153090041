//! Who answers for an address: one decision table, the same on every node. Pure: no clock, no state, no I/O.
//!
//! Sticky: a claimant that may go on goes on. Balanced: an address that nobody claims goes to the candidate with the
//! lowest SHA-256 of `node#address`, which is also how MetalLB ranks nodes, so that fresh addresses land where they
//! landed there. Make before break: a claimant that must not go on waits until the winner has announced.
use std::cmp::Reverse;
use std::net::IpAddr;

use outrigger_sdk::Duty;
use sha2::{Digest, Sha256};

use crate::membership::Claim;

#[cfg(test)]
mod tests;

/// How an alive node stands to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// May answer for it.
    Candidate,
    /// Could, but is leaving: only if nobody else can.
    Leaving,
    /// May not.
    Ineligible,
}

/// An alive node that claims the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant<'a> {
    /// Its name.
    pub node: &'a str,
    /// Its claim.
    pub claim: Claim,
    /// How it stands.
    pub standing: Standing,
}

/// What `me` is to do about `address`.
///
/// `claimants` are all alive nodes that claim it, `me` too if so. `candidates` names every alive node of standing
/// [`Standing::Candidate`]; it is asked only when no claimant is one.
///
/// | winner | I claim | others claim | duty |
/// |---|---|---|---|
/// | me | | none, or rivals of worse rank | announce |
/// | me | | one that must not go on | take over from it |
/// | another | no | | stand by |
/// | another | yes, and may go on: a rival of worse rank | | stand by at once |
/// | another | yes, and must not go on | winner not announced | hand over |
/// | another | yes, and must not go on | winner announced | stand by |
/// | none | | | stand by |
pub fn elect<'a, C>(
    address: IpAddr,
    me: &str,
    claimants: &[Claimant<'a>],
    candidates: impl FnOnce() -> C,
) -> Duty
where
    C: IntoIterator<Item = &'a str>,
{
    let Some(winner) = winner(address, claimants, candidates) else {
        return Duty::Standby(String::new());
    };
    if winner == me {
        let others = claimants.iter().filter(|claimant| claimant.node != me);
        let must_end = others.filter(|other| other.standing != Standing::Candidate);
        return match best(address, must_end) {
            Some(other) => Duty::TakeOver(other.to_owned()),
            None => Duty::Announce,
        };
    }
    let announced = claimants.iter().any(|other| other.node == winner && other.claim.announced);
    let waits = claimants
        .iter()
        .any(|mine| mine.node == me && mine.standing != Standing::Candidate && !announced);
    if waits { Duty::HandOver(winner.to_owned()) } else { Duty::Standby(winner.to_owned()) }
}

fn winner<'a, C>(
    address: IpAddr,
    claimants: &[Claimant<'a>],
    candidates: impl FnOnce() -> C,
) -> Option<&'a str>
where
    C: IntoIterator<Item = &'a str>,
{
    let of = |standing| claimants.iter().filter(move |claimant| claimant.standing == standing);
    best(address, of(Standing::Candidate))
        .or_else(|| candidates().into_iter().min_by_key(|node| (score(node, address), *node)))
        .or_else(|| best(address, of(Standing::Leaving)))
}

/// Of rivals the one with the highest term is right, as it took over from the others.
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
