//! Inputs that end the session: damage that is answered with a NOTIFICATION, and a NOTIFICATION from the peer.
use super::*;

pub(super) const ALL: [Damage; 11] = [
    unknown_well_known,
    bad_prefix,
    overrun,
    without_route,
    bad_marker,
    bad_header_length,
    bad_type,
    bad_refresh,
    out_of_place,
    bad_open,
    farewell,
];

fn unknown_well_known(random: &mut Random) -> Case {
    let code = random.between(100, 109);
    let length = random.between(0, 20);
    let strange = format!("40{code:02x}{length:02x}{}", digits(&random.octets(length)));
    let send = update(&(field(&attributes(random)) + &strange), NLRI);
    let data = octets::hex(&strange).expect("made of octets");
    let answer = notification(3, 2, Some(data));
    let name = format!("unknown well-known attribute {code}");
    case(name, Stage::Established, send, answer, "RFC 4271 section 6.3")
}

fn bad_prefix(random: &mut Random) -> Case {
    let long = random.between(33, 255);
    let nlri = match random.below(2) {
        0 => format!("{long:02x}{}", digits(&random.octets(long.div_ceil(8)))),
        _ => format!("{:02x}c6", random.between(9, 32)),
    };
    let send = update(&field(&attributes(random)), &nlri);
    let mut case = case(
        "a prefix that is none",
        Stage::Established,
        send,
        notification(3, 10, None),
        "RFC 7606 section 5.3",
    );
    case.answers.push(notification(3, 1, None));
    case
}

fn overrun(random: &mut Random) -> Case {
    let list = field(&attributes(random));
    let beyond = size(&list) + random.between(5, 60_000);
    let send = match random.below(2) {
        0 => format!("marker length 02 0000 {beyond:04x} {list} {NLRI}"),
        _ => format!("marker length 02 {beyond:04x} 0000 {list} {NLRI}"),
    };
    let answer = notification(3, 1, None);
    case("lengths exceed the message", Stage::Established, send, answer, "RFC 4271 section 6.3")
}

fn without_route(random: &mut Random) -> Case {
    let mut list = attributes(random);
    list[0].2 = vec![random.between(3, 255) as u8];
    let send = update(&field(&list), "");
    let answer = notification(3, 6, None);
    let mut case = case(
        "malformed, without a route",
        Stage::Established,
        send,
        answer,
        "RFC 7606 section 5.2",
    );
    case.answers.push(notification(3, 1, None));
    case
}

/// Returns any stage: the header is read before anything else.
fn stage(random: &mut Random) -> Stage {
    random.pick(&[Stage::OpenSent, Stage::OpenConfirm, Stage::Established])
}

fn bad_marker(random: &mut Random) -> Case {
    let mut marker = [0xff; 16];
    marker[random.below(16)] = random.between(0, 254) as u8;
    let send = format!("{} length 04", digits(&marker));
    let at = stage(random);
    case("a bad marker", at, send, notification(1, 1, None), "RFC 4271 section 6.1")
}

fn bad_header_length(random: &mut Random) -> Case {
    let (kind, length) = match random.below(5) {
        0 => (random.between(1, 5), random.between(0, 18)),
        1 => (random.between(1, 5), random.between(4097, 65535)),
        2 => (1, random.between(19, 28)),
        3 => (2, random.between(19, 22)),
        _ => (4, random.between(20, 60)),
    };
    let rest = if length <= 60 { length.saturating_sub(19) } else { 0 };
    let send = format!("marker {length:04x} {kind:02x} {}", "00 ".repeat(rest));
    let data = (length as u16).to_be_bytes().to_vec();
    let at = stage(random);
    let name = format!("message type {kind} of length {length}");
    case(name, at, send, notification(1, 2, Some(data)), "RFC 4271 section 6.1")
}

fn bad_type(random: &mut Random) -> Case {
    let kind = random.pick(&[0, 6, 7, 9, 100, 128, 255]);
    let rest = random.below(20);
    let send = format!("marker length {kind:02x} {}", digits(&random.octets(rest)));
    let at = stage(random);
    let answer = notification(1, 3, Some(vec![kind]));
    case(format!("message type {kind}"), at, send, answer, "RFC 4271 section 6.1")
}

fn bad_refresh(random: &mut Random) -> Case {
    let length = random.pick(&[0, 1, 2, 3, 5, 6, 9, 20]);
    let body = digits(&random.octets(length));
    let whole = format!("{}{:04x}05{body}", "ff".repeat(16), 19 + length);
    let data = octets::hex(&whole).expect("made of octets");
    let send = format!("marker length 05 {body}");
    let answer = notification(7, 1, Some(data));
    let name = format!("ROUTE-REFRESH with a body of {length} octets");
    case(name, Stage::Established, send, answer, "RFC 7313 section 5")
}

fn out_of_place(random: &mut Random) -> Case {
    let route = update(&field(&attributes(random)), NLRI);
    let refresh = "marker length 05 0001 00 01".to_owned();
    let keepalive = "marker length 04".to_owned();
    let open = "marker length 01 04 fc01 005a {us} 00".to_owned();
    let (name, at, send, subcode) = match random.below(7) {
        0 => ("UPDATE in OpenSent", Stage::OpenSent, route, 1),
        1 => ("KEEPALIVE in OpenSent", Stage::OpenSent, keepalive, 1),
        2 => ("ROUTE-REFRESH in OpenSent", Stage::OpenSent, refresh, 1),
        3 => ("UPDATE in OpenConfirm", Stage::OpenConfirm, route, 2),
        4 => ("ROUTE-REFRESH in OpenConfirm", Stage::OpenConfirm, refresh, 2),
        5 => ("OPEN in OpenConfirm", Stage::OpenConfirm, open, 2),
        _ => ("OPEN in Established", Stage::Established, open, 3),
    };
    case(name, at, send, notification(5, subcode, None), "RFC 6608 section 3")
}

fn bad_open(random: &mut Random) -> Case {
    let version = random.pick(&[0, 1, 2, 3, 5, 77, 255]);
    let kind = random.pick(&[0, 1, 3, 9, 100, 254]);
    let long = random.between(9, 255);
    let asn = random.between(64_514, 65_000);
    let (name, rest, answer) = match random.below(7) {
        0 => ("version", format!("{version:02x} fc01 005a {{us}} 00"), (2, 1, Some(vec![0, 4]))),
        1 => ("hold time", format!("04 fc01 {:04x} {{us}} 00", random.between(1, 2)), (2, 6, None)),
        2 => ("identifier", "04 fc01 005a 00000000 00".to_owned(), (2, 3, None)),
        3 => ("AS", format!("04 {asn:04x} 005a {{us}} 00"), (2, 2, None)),
        4 => ("parameter type", format!("04 fc01 005a {{us}} 02 {kind:02x} 00"), (2, 4, None)),
        5 => {
            ("parameter length", format!("04 fc01 005a {{us}} 04 02 {long:02x} 0200"), (2, 0, None))
        }
        _ => (
            "capability length",
            format!("04 fc01 005a {{us}} 06 02 04 ef {long:02x} 0000"),
            (2, 0, None),
        ),
    };
    let send = format!("marker length 01 {rest}");
    let (code, subcode, data) = answer;
    let name = format!("OPEN with a bad {name}");
    case(name, Stage::OpenSent, send, notification(code, subcode, data), "RFC 4271 section 6.2")
}

/// Returns a case with a NOTIFICATION, which is never answered, whatever its content.
fn farewell(random: &mut Random) -> Case {
    let length = random.below(30);
    let send = format!(
        "marker length 03 {:02x}{:02x} {}",
        random.below(12),
        random.below(12),
        digits(&random.octets(length))
    );
    let at = stage(random);
    case("NOTIFICATION", at, send, Answer::Closed, "RFC 4271 section 6.4")
}
