//! UPDATE as it comes: routes, and what RFC 7606 leaves of them. How single attributes are read is in `path`.
use ipnet::IpNet;

use super::octets::Octets;
use super::path::{Path, Reach};
use super::{Action, Attributes, ErrorCode, Family, Fault, Negotiated, NextHop, nlri};

/// A decoded UPDATE, after what its faults demand was done: what was to be treated as withdrawn is in `withdrawn`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Routes that are no more, of any family.
    pub withdrawn: Vec<IpNet>,
    /// Routes that are: at most one list per family.
    pub announced: Vec<Announced>,
    /// What is said about all of `announced`.
    pub attributes: Attributes,
    /// The initial routes of this family are complete (RFC 4724 section 2).
    pub end_of_rib: Option<Family>,
    /// Families that this message has routes of without having been negotiated. The routes were not read.
    pub not_negotiated: Vec<Family>,
    /// What was wrong and yet does not end the session. A [`Action::DisableFamily`] among them is for the receiver to remember.
    pub faults: Vec<Fault>,
}

/// Routes of one family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Announced {
    /// Where their traffic goes.
    pub next_hop: NextHop,
    /// In the order they came.
    pub prefixes: Vec<IpNet>,
}

impl Update {
    pub(crate) fn decode_body(body: &[u8], negotiated: &Negotiated) -> Result<Self, Fault> {
        let (withdrawn, attributes, announced) = split(body).ok_or_else(|| {
            Fault::reset(
                ErrorCode::MALFORMED_ATTRIBUTE_LIST,
                [],
                "the lengths of withdrawn routes and attributes exceed the message",
                "RFC 4271 section 6.3",
            )
        })?;
        let plain = |field: &[u8], name: &str| {
            nlri::decode(field, Family::IPV4_UNICAST).map_err(|wrong| {
                let words = format!("{name} have {wrong}");
                Fault::reset(ErrorCode::INVALID_NETWORK, [], words, "RFC 7606 section 5.3")
            })
        };
        let withdrawn = plain(withdrawn, "withdrawn routes")?;
        let announced = plain(announced, "network layer reachability information")?;
        let has_attributes = !attributes.is_empty();
        let path = Path::decode(attributes, negotiated)?;
        let mut update = Self::default();
        if withdrawn.is_empty() && announced.is_empty() && !has_attributes {
            update.end_of_rib = Some(Family::IPV4_UNICAST);
        }
        if !negotiated.carries(Family::IPV4_UNICAST) {
            if !withdrawn.is_empty() || !announced.is_empty() {
                update.not_negotiated.push(Family::IPV4_UNICAST);
            }
            return update.finish(path, Vec::new(), negotiated);
        }
        update.withdrawn = withdrawn;
        update.finish(path, announced, negotiated)
    }

    /// Puts together the plain fields and the attributes, which may hold routes as well.
    fn finish(
        mut self,
        mut path: Path,
        plain: Vec<IpNet>,
        negotiated: &Negotiated,
    ) -> Result<Self, Fault> {
        for family in path.not_negotiated.drain(..) {
            if !self.not_negotiated.contains(&family) {
                self.not_negotiated.push(family);
            }
        }
        if let Some((family, prefixes)) = path.unreach.take() {
            let alone = path.only_withdraws() && plain.is_empty() && self.withdrawn.is_empty();
            if prefixes.is_empty() && alone {
                self.end_of_rib = Some(family);
            }
            self.withdrawn.extend(prefixes);
        }
        if plain.is_empty() && !path.has_reach() {
            path.check_without_routes()?;
        } else {
            path.check_mandatory(!plain.is_empty(), negotiated.is_internal());
        }
        let reach = path.reach.take();
        self.faults = std::mem::take(&mut path.faults);
        let withdraw = self.faults.iter().any(|fault| fault.action == Action::TreatAsWithdraw);
        if withdraw {
            self.withdrawn.extend(plain);
            self.withdrawn.extend(reach.into_iter().flat_map(|reach| reach.prefixes));
            return Ok(self);
        }
        if let Some(next_hop) = path.next_hop.filter(|_| !plain.is_empty()) {
            self.announced.push(Announced { next_hop: NextHop::V4(next_hop), prefixes: plain });
        }
        if let Some(Reach { next_hop, prefixes }) = reach.filter(|it| !it.prefixes.is_empty()) {
            self.announced.push(Announced { next_hop, prefixes });
        }
        self.attributes = path.into_attributes(negotiated.four_octet_as);
        Ok(self)
    }
}

/// Withdrawn routes, path attributes, and the rest.
fn split(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut octets = Octets(body);
    let length = octets.u16()?;
    let withdrawn = octets.take(length.into())?;
    let length = octets.u16()?;
    let attributes = octets.take(length.into())?;
    Some((withdrawn, attributes, octets.0))
}
