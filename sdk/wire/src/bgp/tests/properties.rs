//! Properties: every encoded message decodes to itself, and no input makes the decoder panic.
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use super::{external, internal};

fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![1_u32..65536, 1..=u32::MAX]
}

fn four() -> impl Strategy<Value = IpNet> {
    (any::<u32>(), 0_u8..=32).prop_map(|(address, length)| {
        Ipv4Net::new(Ipv4Addr::from(address), length).expect("at most 32").trunc().into()
    })
}

fn six() -> impl Strategy<Value = IpNet> {
    (any::<u128>(), 0_u8..=128).prop_map(|(address, length)| {
        Ipv6Net::new(Ipv6Addr::from(address), length).expect("at most 128").trunc().into()
    })
}

fn as_path() -> impl Strategy<Value = AsPath> {
    let kind = prop_oneof![Just(SegmentKind::Sequence), Just(SegmentKind::Set)];
    let segment = (kind, vec(asn(), 1..40)).prop_map(|(kind, asns)| Segment { kind, asns });
    vec(segment, 0..4).prop_map(AsPath)
}

fn other() -> impl Strategy<Value = Vec<RawAttribute>> {
    let raw = (100_u8..=127, prop::bool::ANY, vec(any::<u8>(), 0..300));
    vec(raw, 0..3).prop_map(|list| {
        let mut list: Vec<RawAttribute> = list
            .into_iter()
            .map(|(code, transitive, value)| RawAttribute {
                flags: if transitive { 0xc0 } else { 0x80 },
                code,
                value,
            })
            .collect();
        list.sort_by_key(|raw| raw.code);
        list.dedup_by_key(|raw| raw.code);
        list
    })
}

prop_compose! {
    fn attributes()(
        origin in prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)],
        as_path in as_path(),
        med in any::<Option<u32>>(),
        atomic_aggregate in any::<bool>(),
        aggregator in prop::option::of((asn(), any::<u32>())),
        communities in vec(any::<u32>(), 0..20),
        extended in vec(any::<[u8; 8]>(), 0..5),
        large in vec(any::<[u32; 3]>(), 0..5),
        only_to_customer in any::<Option<u32>>(),
        other in other(),
    ) -> Attributes {
        Attributes {
            origin,
            as_path,
            med,
            local_pref: None,
            atomic_aggregate,
            aggregator: aggregator.map(|(asn, id)| Aggregator { asn, router_id: id.into() }),
            communities: communities.into_iter().map(Community).collect(),
            extended_communities: extended.into_iter().map(ExtendedCommunity).collect(),
            large_communities: large.into_iter().map(LargeCommunity).collect(),
            only_to_customer,
            other,
        }
    }
}

fn next_hop() -> impl Strategy<Value = NextHop> {
    let four = (1_u32..0xe000_0000).prop_map(|address| NextHop::V4(address.into()));
    let global = (1_u128..1 << 120).prop_map(Ipv6Addr::from);
    let link_local = prop::option::of(any::<u64>())
        .prop_map(|id| id.map(|id| Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(id))));
    let six =
        (global, link_local).prop_map(|(address, link_local)| NextHop::V6 { address, link_local });
    prop_oneof![four, six]
}

/// Formats a community, parses it and formats it again. Extended communities may have several spellings of the same
/// meaning.
fn respelled(community: ExtendedCommunity) -> String {
    let text = community.to_string();
    text.parse::<ExtendedCommunity>().expect("what is shown can be written").to_string()
}

fn capability() -> impl Strategy<Value = Capability> {
    let family = || (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| Family { afi, safi });
    let restart = (any::<bool>(), any::<bool>(), 0_u16..4096, vec((family(), any::<bool>()), 0..5));
    prop_oneof![
        family().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        vec((family(), any::<u16>()), 0..5).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessage),
        any::<u8>().prop_map(Capability::Role),
        restart.prop_map(|(restarted, notification, restart_time, families)| {
            let restart = GracefulRestart { restarted, notification, restart_time, families };
            Capability::GracefulRestart(restart)
        }),
        vec((family(), any::<u8>()), 0..5).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        ("[a-z]{0,64}", "[a-z.]{0,64}")
            .prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (100_u8..=255, vec(any::<u8>(), 0..=255))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// Generates any combination of session parameters.
fn negotiated() -> impl Strategy<Value = Negotiated> {
    (any::<[bool; 6]>(), 0_u8..3).prop_map(|(flags, families)| Negotiated {
        remote_as: if flags[0] { 64512 } else { 64513 },
        families: [Family::IPV4_UNICAST, Family::IPV6_UNICAST][usize::from(families == 2)..]
            .iter()
            .take(usize::from(families) + 1)
            .copied()
            .collect(),
        four_octet_as: flags[1],
        ipv6_next_hop: flags[2],
        receive_limit: if flags[3] { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE },
        route_refresh: flags[4],
        enhanced_route_refresh: flags[5],
        ..external()
    })
}

proptest! {
    #[test]
    fn an_open_is_read_back(
        asn in asn(),
        hold_time in prop_oneof![Just(0_u16), 3..=u16::MAX],
        id in 1..=u32::MAX,
        mut capabilities in vec(capability(), 0..8),
    ) {
        capabilities.push(Capability::FourOctetAs(asn));
        let open = Open { asn, hold_time, router_id: id.into(), capabilities };
        let read = decode(&open.encode(), &Negotiated::default());
        prop_assert_eq!(read, Ok(Message::Open(open)));
    }

    #[test]
    fn a_notification_is_read_back(code: u8, subcode: u8, data in vec(any::<u8>(), 0..300)) {
        let notification = Notification { error: ErrorCode { code, subcode }, data };
        prop_assert!(!notification.to_string().is_empty());
        let read = decode(&notification.encode(), &Negotiated::default());
        prop_assert_eq!(read, Ok(Message::Notification(notification)));
    }

    #[test]
    fn announcements_are_read_back(
        attributes in attributes(),
        next_hop in next_hop(),
        routes in prop_oneof![vec(four(), 1..2000), vec(six(), 1..600)],
        four_octet_as: bool,
    ) {
        let negotiated = Negotiated { four_octet_as, ..external() };
        // For a path with sets, an OLD speaker receives the best approximation that RFC 6793 allows, not the same
        // path.
        let wide = attributes.as_path.asns().any(|asn| asn > 65535);
        let sets = attributes.as_path.0.iter().any(|it| it.kind == SegmentKind::Set);
        let exact = four_octet_as || !wide || !sets;
        let next_hop = match (next_hop, &routes[0]) {
            (NextHop::V4(_), IpNet::V6(_)) => {
                NextHop::V6 { address: Ipv6Addr::LOCALHOST, link_local: None }
            }
            (next_hop, _) => next_hop,
        };
        let packed: Vec<_> = announcements(&attributes, next_hop, &routes, &negotiated)
            .expect("fits")
            .collect();
        let mut read = Vec::new();
        for Packed { message, prefixes } in &packed {
            prop_assert!(message.len() <= 4096);
            let Ok(Message::Update(update)) = decode(message, &negotiated) else {
                return Err(TestCaseError::fail("does not decode"));
            };
            prop_assert_eq!(&update.faults, &[]);
            prop_assert_eq!(update.announced.len(), 1);
            prop_assert_eq!(update.announced[0].next_hop, next_hop);
            prop_assert_eq!(&update.announced[0].prefixes, prefixes);
            if exact {
                let asns = |path: &AsPath| path.asns().collect::<Vec<_>>();
                prop_assert_eq!(asns(&update.attributes.as_path), asns(&attributes.as_path));
            }
            prop_assert_eq!(
                Attributes { as_path: AsPath::default(), ..update.attributes },
                Attributes { as_path: AsPath::default(), ..attributes.clone() }
            );
            read.extend(update.announced[0].prefixes.clone());
        }
        prop_assert_eq!(&read, &routes);
        // There are as few messages as possible: no two adjacent ones would fit into one.
        for pair in packed.windows(2) {
            prop_assert!(pair[0].message.len() + 17 > 4096 - 1);
        }
        let again = announcements(&attributes, next_hop, &routes, &negotiated).expect("fits");
        prop_assert_eq!(again.collect::<Vec<_>>(), packed);
    }

    #[test]
    fn withdrawals_are_read_back(routes in prop_oneof![vec(four(), 0..2000), vec(six(), 0..600)]) {
        let mut read = Vec::new();
        for Packed { message, prefixes } in withdrawals(&routes, &internal()) {
            let Ok(Message::Update(update)) = decode(&message, &internal()) else {
                return Err(TestCaseError::fail("does not decode"));
            };
            prop_assert_eq!((&update.faults[..], &update.announced[..]), (&[][..], &[][..]));
            prop_assert_eq!(&update.withdrawn, prefixes);
            read.extend(update.withdrawn);
        }
        prop_assert_eq!(read, routes);
    }

    #[test]
    fn communities_are_what_they_are_written_as(one: u32, three: [u32; 3], eight: [u8; 8]) {
        prop_assert_eq!(Community(one).to_string().parse(), Ok(Community(one)));
        prop_assert_eq!(LargeCommunity(three).to_string().parse(), Ok(LargeCommunity(three)));
        let community = ExtendedCommunity(eight);
        prop_assert_eq!(respelled(community), community.to_string());
    }

    #[test]
    fn no_octets_make_the_decoder_panic(
        kind in 0_u8..8,
        body in vec(any::<u8>(), 0..200),
        negotiated in negotiated(),
    ) {
        let octets = super::message(kind, &body);
        let _ = frame(&octets, negotiated.receive_limit);
        let _ = frame(&body, negotiated.receive_limit);
        let _ = decode(&body, &negotiated);
        if let Err(fault) = decode(&octets, &negotiated) {
            prop_assert_eq!(fault.action, Action::SessionReset);
            prop_assert!(fault.notification.encode().len() <= 4096);
        }
    }

    #[test]
    fn damage_to_a_message_is_never_a_panic(
        attributes in attributes(),
        next_hop in next_hop(),
        routes in vec(prop_oneof![four(), six()], 1..20),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        negotiated in negotiated(),
    ) {
        let packed: Vec<_> = announcements(&attributes, next_hop, &routes, &external())
            .expect("fits")
            .collect();
        let mut octets = packed[0].message.clone();
        for (place, octet) in damage {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        if let Ok(Message::Update(update)) = decode(&octets, &negotiated) {
            let withdrawn = update.faults.iter().any(|it| it.action == Action::TreatAsWithdraw);
            prop_assert!(!withdrawn || update.announced.is_empty());
            for fault in update.faults {
                prop_assert!(fault.action < Action::SessionReset);
            }
        }
    }
}
