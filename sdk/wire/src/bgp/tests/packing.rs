//! Encoding of UPDATEs: full messages, one order, the right attribute for each family and peer.
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::super::*;
use super::{external, hex, internal, message};

fn addresses(count: u32) -> Vec<IpNet> {
    let address = |number: u32| Ipv4Addr::from(0x0a00_0000 + number);
    (0..count).map(|number| Ipv4Net::from(address(number)).into()).collect()
}

fn ours() -> Attributes {
    Attributes { as_path: AsPath::sequence([64512]), ..Attributes::default() }
}

fn next_hop() -> NextHop {
    NextHop::V4(Ipv4Addr::new(10, 77, 0, 1))
}

fn six() -> NextHop {
    NextHop::V6 { address: "2001:db8::1".parse().expect("an address"), link_local: None }
}

#[test]
fn a_hundred_thousand_routes_take_124_messages() {
    let routes = addresses(100_000);
    let packed: Vec<_> = announcements(&ours(), next_hop(), &routes, &external())
        .expect("short attributes")
        .collect();
    assert_eq!(packed.len(), 124);
    assert!(packed[..123].iter().all(|it| it.message.len() > 4096 - 5));
    let total: usize = packed.iter().map(|it| it.message.len()).sum();
    assert!(total < 506_000, "{total}");
    let withdrawn: Vec<_> = withdrawals(&routes, &external()).collect();
    assert_eq!(withdrawn.len(), 123);
    let extended = Negotiated { send_limit: MAX_EXTENDED_MESSAGE, ..external() };
    let packed = announcements(&ours(), next_hop(), &routes, &extended).expect("short attributes");
    assert_eq!(packed.count(), 8);
}

#[test]
fn an_announcement_is_written_in_one_way() {
    let routes = ["198.51.100.7/32".parse().expect("a prefix")];
    let attributes = Attributes {
        local_pref: Some(100),
        med: Some(5),
        communities: vec![Community::NO_EXPORT],
        large_communities: vec![LargeCommunity([64512, 1, 2])],
        ..ours()
    };
    let packed: Vec<_> =
        announcements(&attributes, next_hop(), &routes, &internal()).expect("short").collect();
    let expected = "0000 0038 400101 00 4002 06 02 01 0000fc00 4003 04 0a4d0001 8004 04 00000005 \
                    4005 04 00000064 c008 04 ffffff01 c020 0c 0000fc000000000100000002 20 c6336407";
    assert_eq!(packed[0].message, message(2, &hex(expected)));
    assert_eq!(packed[0].prefixes, routes);
}

#[test]
fn routes_over_ipv6_go_into_mp_reach_which_comes_first() {
    let routes = ["2001:db8:7::/48".parse().expect("a prefix")];
    let packed: Vec<_> =
        announcements(&ours(), six(), &routes, &external()).expect("short").collect();
    let expected = "0000 002c 800e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80007 \
                    400101 00 4002 06 02 01 0000fc00";
    assert_eq!(packed[0].message, message(2, &hex(expected)));
    let four = ["198.51.100.0/24".parse().expect("a prefix")];
    let packed: Vec<_> =
        announcements(&ours(), six(), &four, &external()).expect("short").collect();
    let Ok(Message::Update(update)) = decode(&packed[0].message, &external()) else { panic!() };
    assert_eq!(
        (update.announced[0].next_hop, update.announced[0].prefixes.as_slice()),
        (six(), &four[..])
    );
    let withdrawn: Vec<_> = withdrawals(&routes, &external()).collect();
    assert_eq!(withdrawn[0].message, message(2, &hex("0000 000d 800f 0a 0002 01 30 20010db80007")));
    let withdrawn: Vec<_> = withdrawals(&four, &external()).collect();
    assert_eq!(withdrawn[0].message, message(2, &hex("0004 18 c63364 0000")));
}

#[test]
fn an_old_speaker_gets_as_trans_and_the_as4_attributes() {
    let old = Negotiated { four_octet_as: false, ..external() };
    let routes = addresses(1);
    let attributes = Attributes {
        as_path: AsPath::sequence([64512, 65536]),
        aggregator: Some(Aggregator { asn: 65537, router_id: Ipv4Addr::LOCALHOST }),
        ..Attributes::default()
    };
    let packed: Vec<_> =
        announcements(&attributes, next_hop(), &routes, &old).expect("short").collect();
    let expected = "0000 0035 400101 00 4002 06 02 02 fc00 5ba0 4003 04 0a4d0001 c007 06 5ba0 7f000001 \
                    c011 0a 02 02 0000fc00 00010000 c012 08 00010001 7f000001 20 0a000000";
    assert_eq!(packed[0].message, message(2, &hex(expected)));
    let narrow: Vec<_> =
        announcements(&ours(), next_hop(), &routes, &old).expect("short").collect();
    assert_eq!(narrow[0].message.len(), 19 + 4 + 4 + 7 + 7 + 5);
}

#[test]
fn attributes_that_fill_a_message_are_refused_before_anything_is_written() {
    let routes = addresses(1);
    let with = |count| Attributes { communities: vec![Community(1); count], ..ours() };
    assert!(announcements(&with(1000), next_hop(), &routes, &external()).is_ok());
    let error = announcements(&with(1100), next_hop(), &routes, &external()).err().expect("long");
    assert!(error.needed > error.limit && error.limit == 4096, "{error}");
    let extended = Negotiated { send_limit: MAX_EXTENDED_MESSAGE, ..external() };
    assert!(announcements(&with(1100), next_hop(), &routes, &extended).is_ok());
    assert!(announcements(&with(20_000), next_hop(), &routes, &extended).is_err());
}

#[test]
fn each_family_gets_messages_of_its_own() {
    let mut routes = addresses(2);
    routes.push("2001:db8::/32".parse().expect("a prefix"));
    routes.extend(addresses(1));
    let counts =
        |packed: Vec<Packed<'_>>| packed.iter().map(|it| it.prefixes.len()).collect::<Vec<_>>();
    let packed = announcements(&ours(), six(), &routes, &external()).expect("short").collect();
    assert_eq!(counts(packed), [2, 1, 1]);
    assert_eq!(counts(withdrawals(&routes, &external()).collect()), [2, 1, 1]);
    assert_eq!(withdrawals(&[], &external()).count(), 0);
}
