//! The text forms of communities and AS paths.
use super::super::*;

#[test]
fn communities_are_written_as_routers_write_them() {
    for (text, value) in [
        ("64512:100", 0xfc00_0064),
        ("0:0", 0),
        ("no-export", 0xffff_ff01),
        ("graceful-shutdown", 0xffff_0000),
        ("blackhole", 0xffff_029a),
    ] {
        assert_eq!(text.parse(), Ok(Community(value)));
        assert_eq!(Community(value).to_string(), text);
    }
    assert_eq!("65535:65281".parse(), Ok(Community::NO_EXPORT));
    for wrong in ["", "1", "1:2:3", "65536:0", "1:65536", "+1:2", "-1:2", " 1:2", "no_export"] {
        let error = wrong.parse::<Community>().expect_err(wrong).to_string();
        assert!(error.starts_with(&format!("{wrong:?} is not a community")), "{error}");
    }
    for wrong in ["1:2", "1:2:4294967296", "1:2:3:4", "a:b:c"] {
        assert!(wrong.parse::<LargeCommunity>().is_err(), "{wrong}");
    }
    for wrong in
        ["rt:1", "rt:65536:65536", "0x12", "0xzz00000000000000", "bandwidth:1:inf", "x:1:2"]
    {
        assert!(wrong.parse::<ExtendedCommunity>().is_err(), "{wrong}");
    }
}

#[test]
fn extended_communities_have_the_layouts_of_their_rfcs() {
    for (text, octets) in [
        ("rt:64512:100", [0, 2, 0xfc, 0, 0, 0, 0, 100]),
        ("rt:65536:100", [2, 2, 0, 1, 0, 0, 0, 100]),
        ("soo:64512:4294967295", [0, 3, 0xfc, 0, 255, 255, 255, 255]),
        ("bandwidth:64512:1250000", [0x40, 4, 0xfc, 0, 0x49, 0x98, 0x96, 0x80]),
        ("0x8006000000000000", [0x80, 6, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(text.parse(), Ok(ExtendedCommunity(octets)), "{text}");
        assert_eq!(ExtendedCommunity(octets).to_string(), text);
    }
    assert_eq!("large:1:2:3".parse(), Ok(LargeCommunity([1, 2, 3])));
}

#[test]
fn a_path_is_shown_and_counted_as_routers_do() {
    let set = Segment { kind: SegmentKind::Set, asns: vec![65001, 65002] };
    let mut path = AsPath::sequence([64512, 64513]);
    path.0.push(set);
    assert_eq!(path.to_string(), "64512 64513 {65001,65002}");
    assert_eq!(path.hops(), 3);
    assert_eq!(AsPath::sequence([]), AsPath::default());
}
