//! Decodes UPDATEs: the routes that remain after the rules of RFC 7606. Single attributes are decoded in `path`.
use ipnet::IpNet;

use super::octets::Octets;
use super::path::{Path, Reach};
use super::{Action, Attributes, ErrorCode, Family, Fault, Negotiated, NextHop, nlri};

/// A decoded UPDATE. The reactions that its faults require have been applied: routes to be treated as withdrawn are
/// in `withdrawn`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Withdrawn routes, of any family.
    pub withdrawn: Vec<IpNet>,
    /// Announced routes, at most one list per family.
    pub announced: Vec<Announced>,
    /// The attributes of all routes in `announced`.
    pub attributes: Attributes,
    /// The family whose initial routes are complete (RFC 4724 section 2); `None` if the message is no End-of-RIB
    /// marker.
    pub end_of_rib: Option<Family>,
    /// Families that were not negotiated but have routes in this message. The routes were not decoded.
    pub not_negotiated: Vec<Family>,
    /// Errors that do not end the session. The receiver must remember any [`Action::DisableFamily`] among them.
    pub faults: Vec<Fault>,
}

/// Announced routes of one family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Announced {
    /// The next hop of the routes.
    pub next_hop: NextHop,
    /// Prefixes in the order received.
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

    /// Combines the plain fields with the attributes, which may also hold routes.
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

/// Splits the body into withdrawn routes, path attributes and announced routes; `None` if the lengths exceed it.
fn split(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut octets = Octets(body);
    let length = octets.u16()?;
    let withdrawn = octets.take(length.into())?;
    let length = octets.u16()?;
    let attributes = octets.take(length.into())?;
    Some((withdrawn, attributes, octets.0))
}
