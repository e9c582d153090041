//! Damage that ends no session (RFC 7606), and undamaged inputs.
use super::*;

pub(super) const ALL: [Damage; 9] = [
    nothing_wrong,
    missing,
    bad_origin,
    bad_length,
    bad_flags,
    twice,
    bad_path,
    cut_off,
    strange_refresh,
];

fn nothing_wrong(random: &mut Random) -> Case {
    stays("nothing is wrong", &attributes(random), true, "RFC 4271 section 9")
}

fn missing(random: &mut Random) -> Case {
    let mut list = attributes(random);
    let Attribute(_, code, _) = list.remove(random.below(3));
    stays(format!("attribute {code} is missing"), &list, false, "RFC 7606 section 3 d")
}

fn bad_origin(random: &mut Random) -> Case {
    let mut list = attributes(random);
    let value = random.between(3, 255) as u8;
    list[0].2 = vec![value];
    stays(format!("ORIGIN {value}"), &list, false, "RFC 7606 section 7.1")
}

/// (flags, code, length unit or exact length, true for a list, true if the route stays, clause)
const LENGTHS: [(u8, u8, usize, bool, bool, &str); 9] = [
    (0x40, 1, 1, false, false, "RFC 7606 section 7.1"),
    (0x40, 3, 4, false, false, "RFC 7606 section 7.3"),
    (0x80, 4, 4, false, false, "RFC 7606 section 7.4"),
    (0x40, 6, 0, false, true, "RFC 7606 section 7.6"),
    (0xc0, 7, 8, false, true, "RFC 7606 section 7.7"),
    (0xc0, 8, 4, true, false, "RFC 7606 section 7.8"),
    (0xc0, 16, 8, true, false, "RFC 7606 section 7.14"),
    (0xc0, 32, 12, true, false, "RFC 8092 section 6"),
    (0x80, 9, 4, false, true, "RFC 7606 section 7.9"),
];

fn bad_length(random: &mut Random) -> Case {
    let (flags, code, unit, list, stay, clause) = random.pick(&LENGTHS);
    let length = loop {
        // NEXT_HOP of length 0 has another meaning to `field`.
        let length = random.between(usize::from(code == 3), 40);
        let right = if list { length > 0 && length.is_multiple_of(unit) } else { length == unit };
        if !right {
            break length;
        }
    };
    let mut attributes = attributes(random);
    attributes.retain(|Attribute(_, other, _)| *other != code);
    attributes.push(Attribute(flags, code, random.octets(length)));
    stays(format!("attribute {code} of {length} octets"), &attributes, stay, clause)
}

fn bad_flags(random: &mut Random) -> Case {
    let (flags, code, unit, _, _, _) = random.pick(&LENGTHS[..8]);
    let wrong = flags ^ random.pick(&[0x80, 0x40, 0xc0]);
    let mut attributes = attributes(random);
    attributes.retain(|Attribute(_, other, _)| *other != code);
    let value = match code {
        1 => vec![0],
        3 => vec![10, 77, 0, 1],
        _ => random.octets(unit),
    };
    attributes.push(Attribute(wrong, code, value));
    // RFC 7606 section 3 f: these two attributes are discarded, and the route stays.
    let stay = matches!(code, 6 | 7);
    let name = format!("attribute {code} with flags {wrong:#04x}");
    stays(name, &attributes, stay, "RFC 7606 section 3 c")
}

fn twice(random: &mut Random) -> Case {
    let mut list = attributes(random);
    let again = list[random.below(list.len())].clone();
    let name = format!("attribute {} twice", again.1);
    list.push(again);
    stays(name, &list, true, "RFC 7606 section 3 g")
}

fn bad_path(random: &mut Random) -> Case {
    let mut list = attributes(random);
    let path = &mut list[1].2;
    let (name, clause) = match random.below(5) {
        0 => {
            path[0] = random.between(5, 255) as u8;
            ("a segment of an unknown type", "RFC 7606 section 7.2")
        }
        1 => {
            path[1] = path[1].saturating_add(random.between(1, 200) as u8);
            ("a segment past the end", "RFC 7606 section 7.2")
        }
        2 => {
            path.push(2);
            ("a segment without a length", "RFC 7606 section 7.2")
        }
        3 => {
            path.extend([2, 0]);
            ("a segment without an AS", "RFC 7606 section 7.2")
        }
        _ => {
            path[1] += 1;
            path.extend([0; 4]);
            ("AS 0", "RFC 7607 section 2")
        }
    };
    stays(format!("AS_PATH: {name}"), &list, false, clause)
}

fn cut_off(random: &mut Random) -> Case {
    let list = attributes(random);
    let value = random.between(0, 10);
    let claims = random.between(value + 1, 255);
    let tail = match random.below(3) {
        0 => "c0".to_owned(),
        1 => "c0 6e".to_owned(),
        _ => format!("c0 6f {claims:02x} {}", digits(&random.octets(value))),
    };
    let send = update(&(field(&list) + &tail), NLRI);
    let answer = Answer::Up(Some(false));
    case("the last attribute is cut off", Stage::Established, send, answer, "RFC 7606 section 4")
}

fn strange_refresh(random: &mut Random) -> Case {
    let (afi, safi) = (random.between(100, 16_000), random.between(130, 200));
    let subtype = random.between(3, 254);
    let send = match random.below(2) {
        0 => format!("marker length 05 {afi:04x} 00 {safi:02x}"),
        _ => format!("marker length 05 0001 {subtype:02x} 01"),
    };
    let answer = Answer::Up(Some(false));
    case("ROUTE-REFRESH of nothing known", Stage::Established, send, answer, "RFC 2918 section 4")
}
