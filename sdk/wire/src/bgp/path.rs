//! Decodes the path attributes of an UPDATE by the rules of RFC 7606. The message around them is decoded in `update`.
use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::attribute::code;
use super::octets::Octets;
use super::{
    Action, Aggregator, AsPath, Attributes, ErrorCode, Family, Fault, Negotiated, NextHop,
    Notification, nlri,
};
use values::{aggregator, is_a_hosts, mp_next_hop, next_hop, origin, read_lists};
use wire::{Wire, cut_off, duplicate, flags, is_internal_only, mildest, take};

mod values;
mod wire;

/// The decoded attributes of one UPDATE, before its routes are known.
#[derive(Debug, Default)]
pub(crate) struct Path {
    attributes: Attributes,
    /// NEXT_HOP.
    pub(crate) next_hop: Option<Ipv4Addr>,
    /// MP_REACH_NLRI of a negotiated family.
    pub(crate) reach: Option<Reach>,
    /// MP_UNREACH_NLRI of a negotiated family.
    pub(crate) unreach: Option<(Family, Vec<IpNet>)>,
    /// Families in MP_REACH_NLRI or MP_UNREACH_NLRI that were not negotiated.
    pub(crate) not_negotiated: Vec<Family>,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
    /// Type codes of all attributes present, malformed or not.
    seen: Vec<u8>,
    /// Errors that do not reset the session.
    pub(crate) faults: Vec<Fault>,
}

/// MP_REACH_NLRI.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) next_hop: NextHop,
    pub(crate) prefixes: Vec<IpNet>,
}

impl Path {
    pub(crate) fn decode(field: &[u8], negotiated: &Negotiated) -> Result<Self, Fault> {
        let mut path = Self::default();
        let mut octets = Octets(field);
        while !octets.is_empty() {
            let before = octets.0;
            let Some(wire) = take(&mut octets) else {
                path.faults.push(cut_off(before)?);
                break;
            };
            match path.apply(wire, negotiated) {
                Ok(()) => {}
                Err(fault) if fault.action == Action::SessionReset => return Err(fault),
                Err(fault) => path.faults.push(fault),
            }
        }
        Ok(path)
    }

    /// Returns true if MP_UNREACH_NLRI is the only attribute.
    pub(crate) fn only_withdraws(&self) -> bool {
        self.seen == [code::MP_UNREACH]
    }

    /// Returns true if MP_REACH_NLRI has routes, including routes that could not be decoded.
    pub(crate) fn has_reach(&self) -> bool {
        let empty = self.reach.as_ref().is_some_and(|reach| reach.prefixes.is_empty());
        self.seen.contains(&code::MP_REACH) && !empty
    }

    /// Adds a fault for each mandatory attribute missing from an announcement (RFC 7606 section 3 d).
    pub(crate) fn check_mandatory(&mut self, plain: bool, internal: bool) {
        let mandatory = [
            (code::ORIGIN, true, "RFC 7606 section 3 d"),
            (code::AS_PATH, true, "RFC 7606 section 3 d"),
            (code::NEXT_HOP, plain, "RFC 7606 section 3 d"),
            // Required on iBGP by the table in RFC 4271 section 5.
            (code::LOCAL_PREF, internal, "RFC 4271 section 5.1.5"),
        ];
        for (code, needed, clause) in mandatory {
            if needed && !self.seen.contains(&code) {
                self.faults.push(Fault {
                    action: Action::TreatAsWithdraw,
                    notification: Notification::with(ErrorCode::MISSING_WELL_KNOWN, [code]),
                    words: format!("{} is missing", code::name(code)),
                    clause,
                });
            }
        }
    }

    /// Checks an UPDATE that has attributes but no route (RFC 7606 section 5.2): any fault stronger than an attribute
    /// discard is a reset, because the error may have hidden the routes.
    pub(crate) fn check_without_routes(&mut self) -> Result<(), Fault> {
        let strong = |fault: &Fault| fault.action > Action::AttributeDiscard;
        let Some(strong) = self.faults.iter().position(strong) else { return Ok(()) };
        if self.only_withdraws() {
            return Ok(());
        }
        let fault = self.faults.swap_remove(strong);
        Err(Fault { action: Action::SessionReset, clause: "RFC 7606 section 5.2", ..fault })
    }

    /// Returns the attributes, merged with the AS4 attributes of an OLD speaker (RFC 6793 section 4.2.3).
    pub(crate) fn into_attributes(self, four_octet: bool) -> Attributes {
        let mut attributes = self.attributes;
        if four_octet {
            return attributes;
        }
        let trans = u32::from(super::AS_TRANS);
        if let (Some(aggregator), Some(wide)) = (attributes.aggregator, self.as4_aggregator) {
            // The last speaker to aggregate was an OLD speaker, so the AS4 attributes are older.
            if aggregator.asn != trans {
                return attributes;
            }
            attributes.aggregator = Some(wide);
        }
        if let Some(as4_path) = self.as4_path {
            attributes.as_path = attributes.as_path.merged_with(as4_path);
        }
        attributes
    }

    fn apply(&mut self, wire: Wire<'_>, negotiated: &Negotiated) -> Result<(), Fault> {
        let known = flags(wire.code);
        if known.is_none() && wire.flags & code::OPTIONAL == 0 {
            return Err(wire.fault(
                Action::SessionReset,
                ErrorCode::UNRECOGNIZED_WELL_KNOWN,
                "well-known by its flags, but unknown",
                "RFC 4271 section 6.3",
            ));
        }
        if self.seen.contains(&wire.code) {
            return Err(duplicate(&wire));
        }
        self.seen.push(wire.code);
        let internal = negotiated.is_internal();
        if !internal && is_internal_only(wire.code) {
            let clause = match wire.code {
                code::LOCAL_PREF => "RFC 7606 section 7.5",
                code::ORIGINATOR_ID => "RFC 7606 section 7.9",
                _ => "RFC 7606 section 7.10",
            };
            let error = ErrorCode::OPTIONAL_ATTRIBUTE;
            return Err(wire.fault(Action::AttributeDiscard, error, "from another AS", clause));
        }
        let conflict = known.is_some_and(|known| wire.flags & 0xc0 != known);
        let fault = conflict.then(|| {
            let words = format!("flags {:#04x}", wire.flags);
            let action = mildest(wire.code);
            wire.fault(action, ErrorCode::ATTRIBUTE_FLAGS, words, "RFC 7606 section 3 c")
        });
        match fault {
            // The routes are still needed, so that they can be withdrawn.
            Some(fault) if matches!(wire.code, code::MP_REACH | code::MP_UNREACH) => {
                self.read(wire, negotiated).and(Err(fault))
            }
            Some(fault) => Err(fault),
            None => self.read(wire, negotiated),
        }
    }

    fn read(&mut self, wire: Wire<'_>, negotiated: &Negotiated) -> Result<(), Fault> {
        let four_octet = negotiated.four_octet_as;
        let attributes = &mut self.attributes;
        match wire.code {
            code::ORIGIN => attributes.origin = origin(&wire)?,
            code::AS_PATH => {
                attributes.as_path = AsPath::decode(wire.value, four_octet).map_err(|wrong| {
                    let error = ErrorCode::MALFORMED_AS_PATH;
                    wire.fault(Action::TreatAsWithdraw, error, wrong, "RFC 7606 section 7.2")
                })?;
            }
            code::NEXT_HOP => self.next_hop = Some(next_hop(&wire)?),
            code::MULTI_EXIT_DISC => {
                attributes.med = Some(u32::from_be_bytes(wire.fixed("RFC 7606 section 7.4")?));
            }
            code::LOCAL_PREF => {
                let value = wire.fixed("RFC 7606 section 7.5")?;
                attributes.local_pref = Some(u32::from_be_bytes(value));
            }
            code::ATOMIC_AGGREGATE if wire.value.is_empty() => attributes.atomic_aggregate = true,
            code::ATOMIC_AGGREGATE => {
                return Err(wire.length(Action::AttributeDiscard, "RFC 7606 section 7.6"));
            }
            code::AGGREGATOR => {
                let clause = "RFC 7606 section 7.7";
                attributes.aggregator = Some(aggregator(&wire, four_octet, clause)?);
            }
            code::MP_REACH => self.read_reach(&wire, negotiated)?,
            code::MP_UNREACH => self.read_unreach(&wire, negotiated)?,
            code::AS4_PATH | code::AS4_AGGREGATOR => self.read_as4(&wire, four_octet)?,
            _ => read_lists(attributes, &wire)?,
        }
        Ok(())
    }

    /// Reads AS4_PATH and AS4_AGGREGATOR. They are discarded if malformed (RFC 6793 section 6) or
    /// sent by a NEW speaker (section 4.1).
    fn read_as4(&mut self, wire: &Wire<'_>, four_octet: bool) -> Result<(), Fault> {
        let discard = |words: &str, clause| {
            let error = ErrorCode::OPTIONAL_ATTRIBUTE;
            Err(wire.fault(Action::AttributeDiscard, error, words, clause))
        };
        if four_octet {
            return discard("from a speaker of 4-octet AS numbers", "RFC 6793 section 4.1");
        }
        if wire.code == code::AS4_AGGREGATOR {
            self.as4_aggregator = Some(aggregator(wire, true, "RFC 6793 section 6")?);
            return Ok(());
        }
        match AsPath::decode(wire.value, true) {
            Ok(path) if !path.0.is_empty() => self.as4_path = Some(path),
            Ok(_) => return discard("without a segment", "RFC 6793 section 6"),
            Err(wrong) => return discard(wrong, "RFC 6793 section 6"),
        }
        Ok(())
    }

    fn read_reach(&mut self, wire: &Wire<'_>, negotiated: &Negotiated) -> Result<(), Fault> {
        let mut octets = Octets(wire.value);
        let Some(family) = self.family(wire, &mut octets, negotiated)? else { return Ok(()) };
        let disable = |words: &str, clause| {
            let action = Action::DisableFamily(family);
            wire.fault(action, ErrorCode::OPTIONAL_ATTRIBUTE, words, clause)
        };
        let length = octets.u8();
        let next_hop = length.and_then(|length| octets.take(length.into()));
        let next_hop = next_hop.and_then(|next_hop| mp_next_hop(next_hop, family, negotiated));
        let Some(next_hop) = next_hop else {
            let words = format!("{family} with a next hop of {} octets", length.unwrap_or(0));
            return Err(disable(&words, "RFC 7606 section 7.11"));
        };
        // The reserved octet is 0 and is ignored (RFC 4760 section 3).
        let reserved = octets.u8();
        let prefixes = reserved.ok_or("no octet after the next hop".to_owned());
        let prefixes = prefixes.and_then(|_| nlri::decode(octets.0, family));
        let prefixes = prefixes.map_err(|wrong| disable(&wrong, "RFC 7606 section 5.3"))?;
        self.reach = Some(Reach { next_hop, prefixes });
        let address = next_hop.address();
        if !is_a_hosts(address) {
            let words = format!("next hop {address}");
            let error = ErrorCode::INVALID_NEXT_HOP;
            let clause = "RFC 4271 section 6.3";
            return Err(wire.fault(Action::TreatAsWithdraw, error, words, clause));
        }
        Ok(())
    }

    fn read_unreach(&mut self, wire: &Wire<'_>, negotiated: &Negotiated) -> Result<(), Fault> {
        let mut octets = Octets(wire.value);
        let Some(family) = self.family(wire, &mut octets, negotiated)? else { return Ok(()) };
        let prefixes = nlri::decode(octets.0, family).map_err(|wrong| {
            let action = Action::DisableFamily(family);
            wire.fault(action, ErrorCode::OPTIONAL_ATTRIBUTE, wrong, "RFC 7606 section 5.3")
        })?;
        self.unreach = Some((family, prefixes));
        Ok(())
    }

    /// Reads the family at the start of an MP attribute. `None` if it was not negotiated, in which case its routes
    /// are ignored (RFC 4760 section 8).
    fn family(
        &mut self,
        wire: &Wire<'_>,
        octets: &mut Octets<'_>,
        negotiated: &Negotiated,
    ) -> Result<Option<Family>, Fault> {
        let Some((afi, safi)) = octets.u16().zip(octets.u8()) else {
            let error = ErrorCode::OPTIONAL_ATTRIBUTE;
            let words = "it ends before its family does";
            return Err(wire.fault(Action::SessionReset, error, words, "RFC 7606 section 5.3"));
        };
        let family = Family { afi, safi };
        let ours = matches!(family, Family::IPV4_UNICAST | Family::IPV6_UNICAST);
        if ours && negotiated.carries(family) {
            return Ok(Some(family));
        }
        self.not_negotiated.push(family);
        Ok(None)
    }
}
