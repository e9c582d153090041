//! Any number of further inputs: well-formed messages of random content, damaged in one way whose answer is known. The same seed
//! gives the same inputs.
use super::octets::digits;
use super::{Answer, Case, Stage};

/// So many, from this seed.
pub fn generated(seed: u64, count: usize) -> Vec<Case> {
    let mut random = Random(seed);
    (0..count)
        .map(|number| {
            // Inputs that end no session are three of four, for each that does costs a new one.
            let damage = match random.below(4) {
                0 => random.pick(&ENDING),
                _ => random.pick(&STAYING),
            };
            let mut case = damage(&mut random);
            case.name = format!("generated {number} of seed {seed:#x}: {}", case.name);
            case
        })
        .collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

type Damage = fn(&mut Random) -> Case;

const STAYING: [Damage; 9] = [
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

const ENDING: [Damage; 11] = [
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

/// One attribute: flags, type code, value.
#[derive(Clone)]
struct Attribute(u8, u8, Vec<u8>);

/// Attributes of a route that nothing is wrong with: the mandatory ones first.
fn attributes(random: &mut Random) -> Vec<Attribute> {
    let mut path = vec![2, 1, 0, 0, 0xfc, 0x01];
    for _ in 0..random.below(5) {
        path[1] += 1;
        let asn = 64_600 + random.below(200) as u32;
        path.extend(asn.to_be_bytes());
    }
    let origin = random.below(3) as u8;
    let mut list = vec![
        Attribute(0x40, 1, vec![origin]),
        Attribute(0x40, 2, path),
        Attribute(0x40, 3, vec![]),
    ];
    for (flags, code, unit) in
        [(0x80, 4, 4), (0xc0, 8, 4), (0xc0, 16, 8), (0xc0, 32, 12), (0xc0, 110, 1)]
    {
        if random.below(3) == 0 {
            let count = if code == 4 { 1 } else { random.between(1, 6) };
            // Communities of our own AS, so that none of them is one that a speaker acts upon.
            let one = |random: &mut Random| match code {
                8 => [&[0xfc, 1], random.octets(2).as_slice()].concat(),
                16 => [&[0, 2, 0xfc, 1], random.octets(4).as_slice()].concat(),
                _ => random.octets(unit),
            };
            let value = (0..count).flat_map(|_| one(random)).collect();
            list.push(Attribute(flags, code, value));
        }
    }
    list
}

fn field(attributes: &[Attribute]) -> String {
    let one = |Attribute(flags, code, value): &Attribute| match (*code, value.as_slice()) {
        // The next hop is the prober, unless something is put there.
        (3, []) => format!("{flags:02x} 03 04 {{us}} "),
        (code, value) => format!("{flags:02x} {code:02x} {:02x} {} ", value.len(), digits(value)),
    };
    attributes.iter().map(one).collect()
}

fn size(text: &str) -> usize {
    let word = |word: &str| if word.starts_with('{') { 4 } else { word.len() / 2 };
    text.split_whitespace().map(word).sum()
}

fn update(attributes: &str, nlri: &str) -> String {
    format!("marker length 02 0000 {:04x} {attributes} {nlri}", size(attributes))
}

const NLRI: &str = "18c63364";

fn case(name: impl Into<String>, at: Stage, send: String, answer: Answer, clause: &str) -> Case {
    Case {
        name: name.into(),
        at,
        send: vec![send],
        answers: vec![answer],
        clause: clause.to_owned(),
        semantic: false,
        hold: 90,
    }
}

/// An UPDATE that ends nothing.
fn stays(name: impl Into<String>, attributes: &[Attribute], present: bool, clause: &str) -> Case {
    let send = update(&field(attributes), NLRI);
    case(name, Stage::Established, send, Answer::Up(Some(present)), clause)
}

fn notification(code: u8, subcode: u8, data: Option<Vec<u8>>) -> Answer {
    Answer::Notification { code, subcode, data }
}

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

/// (flags, code, length unit or exact length, whether a list, whether the route stays, clause)
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
    // RFC 7606 section 3 f: what these two say is not worth a route.
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

fn unknown_well_known(random: &mut Random) -> Case {
    let code = random.between(100, 109);
    let length = random.between(0, 20);
    let strange = format!("40{code:02x}{length:02x}{}", digits(&random.octets(length)));
    let send = update(&(field(&attributes(random)) + &strange), NLRI);
    let data = super::octets::hex(&strange).expect("made of octets");
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

/// Anywhere: the header is read before anything else.
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
    let data = super::octets::hex(&whole).expect("made of octets");
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

/// A NOTIFICATION is not answered, whatever it says.
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
