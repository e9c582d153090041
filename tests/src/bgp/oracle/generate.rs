//! Generates any number of further inputs: well-formed messages of random content, damaged in one way whose answer is known.
//! The same seed gives the same inputs.
use super::octets::{self, digits};
use super::{Answer, Case, Stage};

mod ending;
mod staying;

/// Generates this number of cases from a seed.
pub fn generated(seed: u64, count: usize) -> Vec<Case> {
    let mut random = Random(seed);
    (0..count)
        .map(|number| {
            // Three of four inputs end no session, because each that does costs a new one.
            let damage = match random.below(4) {
                0 => random.pick(&ending::ALL),
                _ => random.pick(&staying::ALL),
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

/// Attribute: flags, type code, value.
#[derive(Clone)]
struct Attribute(u8, u8, Vec<u8>);

/// Returns the attributes of a valid route, the mandatory ones first.
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
        // The next hop is the prober, unless a value is given.
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

/// Returns a case with an UPDATE that ends no session.
fn stays(name: impl Into<String>, attributes: &[Attribute], present: bool, clause: &str) -> Case {
    let send = update(&field(attributes), NLRI);
    case(name, Stage::Established, send, Answer::Up(Some(present)), clause)
}

fn notification(code: u8, subcode: u8, data: Option<Vec<u8>>) -> Answer {
    Answer::Notification { code, subcode, data }
}
